"""What Argo CD is told that must not stand in Git: how it reaches GitHub, and the clusters of other accounts."""

from __future__ import annotations

import aws_cdk as cdk
from parameters import Stage

from stacks.common import StageStack, accept, key, made_secret

OWNER = "argocd"
"""Names the stack, the key and the path of the secret, as an environment does with its own."""
GITHUB = ("app-id", "installation-id", "private-key", "events-token", "client-id", "client-secret")


class ArgoCdStack(StageStack):
    """One secret, which External Secrets of the managing cluster reads; an operator fills in what AWS cannot know."""

    def __init__(self, app: cdk.App, stage: Stage):
        super().__init__(app, stage, "secrets", "Secrets of Argo CD", owner=OWNER)
        encryption = key(self, "Key", f"alias/slipway-{OWNER}-data", "Secrets of Argo CD")
        clusters = [f"{name}-{field}" for _, name in stage.manages for field in ("server", "ca")]
        settings = made_secret(
            self,
            "Settings",
            name=f"slipway/{OWNER}/settings",
            description="GitHub App, sign-on and clusters of Argo CD; an operator fills in the rest",
            encryption=encryption,
            fields=dict.fromkeys((*GITHUB, *clusters), ""),
            generated="webhook-secret",
        )
        accept(
            settings,
            {
                "AwsSolutions-SMG4": "GitHub and Argo CD would have to change at one moment: the README says how an "
                "operator replaces it"
            },
        )
