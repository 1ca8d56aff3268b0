"""Renders what the deploy half holds: overlays, their EKS variant, and Argo CD's own objects."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import yaml
from slipway import kustomize, paths
from slipway.kustomization.edit import set_images
from slipway.kustomization.images import read_images
from slipway.platform import argocd
from slipway.registry.references import NewRef

ENVIRONMENTS = sorted(file.parent.name for file in paths.CHECKOUT.glob("overlays/*/environment.yaml"))
CLUSTERS = ("local", "eks")

Resource = dict
"""A rendered object, parsed."""


def load(file: Path) -> dict:
    """A YAML file with one document."""
    return yaml.load(file.read_text(), yaml.CSafeLoader)


def parse(text: str) -> list[Resource]:
    """Every object of a stream of documents."""
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


@cache
def environment(name: str, cluster: str = "local") -> list[Resource]:
    """The application `board` of an environment, as it is for one kind of cluster."""
    folder = paths.CHECKOUT / "overlays" / name / "board"
    return parse(_variant(folder, components=[f"../../../base/board/clusters/{cluster}"]))


def bumped(name: str, cluster: str, tag: str, digest: str) -> list[Resource]:
    """The same after a bump of every image to this tag and digest."""
    folder = paths.CHECKOUT / "overlays" / name / "board"
    data = (folder / "kustomization.yaml").read_bytes()
    new = {entry.name: NewRef(tag, digest) for entry in read_images(data)}
    edited = yaml.load(set_images(data, new).data, yaml.CSafeLoader)
    components = [f"../../../base/board/clusters/{cluster}"]
    return parse(_variant(folder, components=components, images=edited["images"]))


@cache
def argocd_objects(cluster: str) -> list[Resource]:
    """The projects and ApplicationSets of a cluster."""
    return parse(argocd.environments(cluster))


@cache
def argocd_install(cluster: str) -> list[Resource]:
    """Argo CD itself, on the install manifest of the pinned module: for EKS the one for high availability."""
    with tempfile.TemporaryDirectory() as workspace:
        return parse(argocd.installation(cluster, Path(workspace)))


def variant(folder: Path, **changed: list) -> list[Resource]:
    """A kustomization in which some of its lists are replaced."""
    return parse(_variant(folder, **changed))


def _variant(folder: Path, **changed: list) -> str:
    """Render a copy of a kustomization in which some of its lists are replaced."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name).resolve()
        shutil.copytree(folder, copy, dirs_exist_ok=True)
        document = load(folder / "kustomization.yaml") | changed
        for key in ("resources", "components", "transformers"):
            document[key] = [_placed(entry, folder, copy) for entry in document.get(key, [])]
        (copy / "kustomization.yaml").write_text(yaml.safe_dump(document))
        return kustomize.build(copy)


def _placed(entry: str, folder: Path, copy: Path) -> str:
    """The entry as seen from the copy; a single file is copied, since kustomize reads none from outside."""
    target = (folder / entry).resolve()
    if target.is_file() and folder not in target.parents:
        shutil.copy(target, copy)
        return target.name
    return os.path.relpath(target, copy) if entry.startswith("..") else entry


def of_kind(resources: list[Resource], *kinds: str) -> list[Resource]:
    """The objects of some kinds."""
    return [resource for resource in resources if resource["kind"] in kinds]


def one(resources: list[Resource], kind: str, name: str) -> Resource:
    """The object of that kind and name."""
    (found,) = [r for r in of_kind(resources, kind) if r["metadata"]["name"] == name]
    return found


def annotations(resource: Resource, prefix: str = "") -> dict[str, str]:
    """Annotations, those under a prefix without it."""
    found = resource["metadata"].get("annotations", {})
    return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}


def string_map(value: str) -> dict[str, str]:
    """`k=v,k=v`, as the load balancer controller reads it."""
    return dict(pair.split("=", 1) for pair in value.split(","))
