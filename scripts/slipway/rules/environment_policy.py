"""Trap C12: an environment without a policy, or with one that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import PolicyRefused
from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.policy.environment import parse_policy
from slipway.rules import Rule


def check(repository: Repository) -> Iterator[Finding]:
    """Every environment that has overlays and no policy to go by."""
    first = {overlay.environment: overlay for overlay in reversed(repository.overlays)}
    for environment, overlay in sorted(first.items()):
        if not environment:
            message = f"{overlay.path} belongs to no environment"
            yield RULE.at(
                overlay.kustomization, 1, message, "move it to overlays/<environment>/<application>"
            )
            continue
        path = f"overlays/{environment}/environment.yaml"
        data = repository.read(path)
        if data is None:
            message = f"the environment {environment} has no environment.yaml"
            yield RULE.at(overlay.kustomization, 1, message, f"create {path}")
        else:
            try:
                policy = parse_policy(data, environment=environment, path=path)
            except PolicyRefused as exc:
                yield RULE.at(path, exc.line or 1, exc.message, exc.fix)
                continue
            if (
                policy.from_ is not None
                and repository.read(f"overlays/{policy.from_}/environment.yaml") is None
            ):
                yield RULE.at(path, 1, f"it is fed from {policy.from_}, which is no environment here")


RULE = Rule(
    id="environment-policy",
    why="Freezes, holds and approvals are read from the policy: without one nothing may be written, or all the time.",
    fix="state the whole policy, as the environments beside it do",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/",
    check=check,
    scope="repository",
)
