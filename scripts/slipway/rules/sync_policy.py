"""Automatic sync that heals and prunes, and none of the options that recreate objects."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import applications, sync_options, sync_policy
from slipway.rules._facts import mapping

_LABELS = ("elbv2.k8s.aws/pod-readiness-gate-inject", "pod-security.kubernetes.io/enforce")
_OPTIONS = "syncPolicy.syncOptions"


def check(repository: Repository) -> Iterator[Finding]:
    """Every Application that does not follow Git, or follows it with force."""
    for subject, application in applications(repository):
        policy = sync_policy(application)
        automated = mapping(policy.get("automated"))
        if "automated" not in policy or automated.get("enabled") is False:
            yield RULE.on(subject, "it does not sync by itself", "set syncPolicy.automated")
        else:
            for key, reason in (
                ("prune", "keeps what Git has removed"),
                ("selfHeal", "keeps what was changed by hand"),
            ):
                if automated.get(key) is not True:
                    yield RULE.on(
                        subject, f"without automated.{key} it {reason}", f"set automated.{key}: true"
                    )
            if automated.get("allowEmpty") is True:
                yield RULE.on(subject, "automated.allowEmpty lets an empty rendering remove everything")
        options = sync_options(application)
        for name in ("Replace", "Force"):
            if options.get(name) == "true":
                yield RULE.on(subject, f"{_OPTIONS} {name}=true recreates objects", f"remove {name}=true")
        labels = mapping(mapping(policy.get("managedNamespaceMetadata")).get("labels"))
        if options.get("CreateNamespace") == "true" and not all(label in labels for label in _LABELS):
            message = (
                f"{_OPTIONS} CreateNamespace=true makes a namespace without readiness gate and Pod Security"
            )
            yield RULE.on(subject, message, "render the Namespace, or set managedNamespaceMetadata")


RULE = Rule(
    id="sync-policy",
    why="The cluster is what Git says only while Argo CD applies every change by itself, and without recreating objects.",
    fix="set automated with prune: true, selfHeal: true and allowEmpty: false",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/",
    check=check,
    scope="repository",
)
