"""The border to kustomize: the pinned binary, with the build options that Argo CD uses (none)."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import yaml

from slipway import toolchain
from slipway.errors import InvalidInput
from slipway.proc import run


def build(folder: Path) -> str:
    """Render a folder; raises `CommandFailed` with kustomize's text."""
    return run([toolchain.tool("kustomize"), "build", folder], timeout=60).stdout


def build_with(
    resources: list[Path], components: list[Path], workspace: Path, namespace: str | None = None
) -> str:
    """Render files that lie outside this repository through components that lie in it.

    A kustomization is written below `workspace` for the time of the call; kustomize takes relative paths only.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace, prefix="kustomize-") as name:
        folder = Path(name)
        document: dict[str, object] = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [],
            "components": [os.path.relpath(component, folder.resolve()) for component in components],
        }
        if namespace:
            document["namespace"] = namespace
        for number, file in enumerate(resources):
            copy = folder / f"{number}-{file.name}"
            copy.write_text(file.read_text())
            document["resources"].append(copy.name)  # type: ignore[attr-defined]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return build(folder)


def build_offline(folder: Path, instead: Path, workspace: Path) -> str:
    """Render a folder whose one remote resource is replaced by a file that has the same, so that nothing is fetched.

    The folder must lie in this repository; what it names beside itself is found from the copy, too.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace, prefix="kustomize-") as name:
        copy = Path(name).resolve()
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        shutil.copyfile(instead, copy / instead.name)
        document = yaml.safe_load((folder / "kustomization.yaml").read_text())
        remote = [entry for entry in document["resources"] if "://" in entry]
        if len(remote) != 1:
            raise InvalidInput(f"{len(remote)} remote resources, not one", path=folder / "kustomization.yaml")
        document["resources"] = [
            instead.name if entry in remote else _seen_from(copy, folder, entry)
            for entry in document["resources"]
        ]
        document["components"] = [_seen_from(copy, folder, entry) for entry in document.get("components", [])]
        (copy / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return build(copy)


def _seen_from(copy: Path, folder: Path, entry: str) -> str:
    return os.path.relpath((folder / entry).resolve(), copy) if entry.startswith("..") else entry
