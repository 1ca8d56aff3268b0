"""Deploy repositories with policies and Argo CD's projects, for what closes and opens environments."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from slipway.policy.environment import Environment, parse_policy
from slipway.policy.windows import Window, read, render, windows_path

KUSTOMIZATION = "resources:\n- project.yaml\npatches:\n- path: sync-windows.yaml\n"
HEAD = "# yaml-language-server: $schema=../environment.schema.json\n"
DELIVERY = {"dev": "direct", "staging": "direct", "prod": "pull-request"}


def policy_path(name: str) -> str:
    """Where an environment's policy is."""
    return f"overlays/{name}/environment.yaml"


def policy_text(name: str, lists: str = "freezes: []\nholds: []\n") -> str:
    """A policy with a comment that must survive."""
    order = list(DELIVERY).index(name) + 1
    return f"{HEAD}name: {name}\norder: {order}\ndelivery: {DELIVERY[name]}  # as agreed\n{lists}soak: 0s\n"


def environments(*names: str) -> dict[str, str]:
    """The files of environments without a freeze."""
    files = {}
    for name in names or DELIVERY:
        files[policy_path(name)] = policy_text(name)
        files[f"argocd/environments/{name}/kustomization.yaml"] = KUSTOMIZATION
        files[windows_path(name)] = render(name, []).decode()
    return files


def policy_of(deploy, name: str, revision: str = "main") -> Environment:
    """What an environment's policy says in a repository."""
    path = policy_path(name)
    return parse_policy(deploy.read(path, revision).encode(), environment=name, path=path)


def windows_of(deploy, name: str, revision: str = "main") -> list[Window]:
    """What Argo CD is told there."""
    return read(deploy.read(windows_path(name), revision).encode(), name)


def local(days: float) -> str:
    """The time in UTC that many days from now, as an option takes it."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%dT%H:%M}"
