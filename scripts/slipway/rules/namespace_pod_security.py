"""A Namespace that does not enforce the Pod Security Standard `restricted` of one release."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule

_PREFIX = "pod-security.kubernetes.io/"
_RELEASE = re.compile(r"v1\.\d+")


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every rendered Namespace without the level, or with one that changes as the cluster is upgraded."""
    for namespace in overlay.of_kind("Namespace"):
        level = namespace.labels.get(f"{_PREFIX}enforce")
        version = namespace.labels.get(f"{_PREFIX}enforce-version")
        if level != "restricted":
            yield RULE.on(namespace, f"it enforces {level or 'no standard'}")
        elif not _RELEASE.fullmatch(str(version)):
            message = "it enforces the standard of whatever release the cluster has"
            yield RULE.on(namespace, message, f"label it with {_PREFIX}enforce-version: v1.37")


RULE = Rule(
    id="namespace-pod-security",
    why="Without it the cluster admits Pods that may take over their node.",
    fix=f"label it with {_PREFIX}enforce: restricted",
    link="https://kubernetes.io/docs/concepts/security/pod-security-admission/",
    check=check,
)
