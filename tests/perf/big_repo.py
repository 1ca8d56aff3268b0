"""A deploy repository of any size: applications of five objects each, in every environment.

`python -m tests.perf.big_repo FOLDER [APPS]` writes one. The applications are the backend that ships, renamed, so
that they are as long as real ones and pass every rule.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from slipway import paths

REPLICAS = {"dev": 2, "staging": 2, "prod": 3}
PARTS = ("deployment", "service", "service-account", "pod-disruption-budget", "network-policy")
REGISTRY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway"


def build(root: Path, apps: int = 1000) -> Path:
    """Write the repository into `root`, `apps` × 3 overlays and three for the namespaces; `root` itself."""
    checkout = paths.CHECKOUT
    shutil.copytree(checkout / "argocd", root / "argocd")
    shutil.copytree(checkout / "base" / "namespace", root / "base" / "namespace")
    templates = {part: (checkout / f"base/board/backend-{part}.yaml").read_text() for part in PARTS}
    # The namespace's own default-deny is in another overlay, so each application says it for itself.
    templates["network-policy"] = templates["network-policy"].replace("[Ingress]", "[Ingress, Egress]")
    for environment in REPLICAS:
        folder = root / "overlays" / environment
        _write(folder / "namespace" / "kustomization.yaml", _namespace(environment))
        shutil.copy(checkout / "overlays" / environment / "environment.yaml", folder)
    for number in range(apps):
        _write_app(root, f"app-{number:05d}", templates)
    return root


def _write_app(root: Path, name: str, templates: dict[str, str]) -> None:
    """The base of one application and its overlays."""
    base = root / "base" / name
    for part, template in templates.items():
        _write(base / f"{part}.yaml", template.replace("board-backend", name))
    _write(base / "kustomization.yaml", _header() + "resources:\n" + "".join(f"- {p}.yaml\n" for p in PARTS))
    for environment in REPLICAS:
        digest = hashlib.sha256(f"{name} {environment}".encode()).hexdigest()
        _write(
            root / "overlays" / environment / name / "kustomization.yaml", _overlay(name, environment, digest)
        )


def _header() -> str:
    return "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"


def _namespace(environment: str) -> str:
    return f"{_header()}namespace: {environment}\nresources:\n- ../../../base/namespace\n"


def _overlay(name: str, environment: str, digest: str) -> str:
    patch = "".join(
        f"    {line}\n"
        for line in (
            "apiVersion: apps/v1",
            "kind: Deployment",
            "metadata:",
            f"  name: {name}",
            "spec:",
            f"  replicas: {REPLICAS[environment]}",
        )
    )
    return (
        f"{_header()}namespace: {environment}\nresources:\n- ../../../base/{name}\nimages:\n"
        f'- name: {REGISTRY}/{name}\n  newTag: "main-{digest[:7]}"\n  digest: "sha256:{digest}"\n'
        f"patches:\n- patch: |-\n{patch}"
    )


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


if __name__ == "__main__":
    build(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
