"""Trap C5: an Application that does not retry a failed sync, or retries it for ever with the old commit."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import applications, sync_policy
from slipway.rules._facts import mapping, number


def check(repository: Repository) -> Iterator[Finding]:
    """Every Application without a bounded retry that takes the newest commit."""
    for subject, application in applications(repository):
        retry = mapping(sync_policy(application).get("retry"))
        limit = number(retry.get("limit"))
        if not limit:
            yield RULE.on(
                subject,
                "a failed sync is not tried again"
                if limit == 0 or not retry
                else "the retry has no limit above 0",
            )
        elif retry.get("refresh") is not True:
            yield RULE.on(subject, "the retry stays with the commit that failed")


RULE = Rule(
    id="sync-retry",
    why="Argo CD tries a commit once and no more, and a retry that keeps the old commit holds up the one that mends it.",
    fix="set syncPolicy.retry with a limit above 0, a backoff, and refresh: true",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/#automated-sync-semantics",
    check=check,
    scope="repository",
)
