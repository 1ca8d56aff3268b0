"""What a checkout has: which halves, which environments, and which names and paths are taken. Only reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from slipway.errors import EditRefused, InvalidInput
from slipway.kustomization.images import read_images
from slipway.pipeline import config

ALB = "alb.ingress.kubernetes.io/"
_SHARED = (
    *("load-balancer-name", "scheme", "ip-address-type", "subnets", "security-groups", "inbound-cidrs"),
    *("listen-ports", "certificate-arn", "ssl-policy", "ssl-redirect", "load-balancer-attributes"),
    "wafv2-acl-arn",
)
"""Annotations that decide on the load balancer as a whole: every Ingress of a group must have the same."""
_PAGES = ("pages", "screens")
"""Folders with a page of Streamlit in each file; the application at / has their names as paths."""
_BASE_IMAGE = re.compile(r"^ARG PYTHON_IMAGE=(\S+)$", re.MULTILINE)
_FIX = "choose another name"


@dataclass(frozen=True)
class Environment:
    """A folder of `overlays`: the kind of cluster it is for, and whether some overlay renders its Namespace."""

    name: str
    cluster: str
    has_namespace: bool


@dataclass(frozen=True)
class Survey:
    """A checkout as it is; `pipeline` is there where the source half is, `environments` where the deploy half is.

    `registry` is what the names of the images begin with, as far as the last slash.
    """

    root: Path
    pipeline: config.Config | None
    environments: tuple[Environment, ...]
    registry: str
    python_image: str
    load_balancer: Mapping[str, str]

    @property
    def halves(self) -> tuple[str, ...]:
        """`source`, `deploy`, or both."""
        there = {"source": self.pipeline is not None, "deploy": bool(self.environments)}
        return tuple(half for half, is_there in there.items() if is_there)


def look(root: Path) -> Survey:
    """Read a checkout; raises `InvalidInput` when it is neither half of a pair."""
    pipeline = config.load(root / config.FILE) if (root / config.FILE).is_file() else None
    policies = sorted(root.glob("overlays/*/environment.yaml"), key=_order)
    if not pipeline and not policies:
        fix = f"run the command in the repository with {config.FILE}, the one with overlays/, or the one with both"
        raise InvalidInput("this is neither half of a pair", path=root, fix=fix)
    environments = tuple(_environment(policy.parent) for policy in policies)
    image = _python_image(root) if pipeline else ""
    return Survey(root, pipeline, environments, _registry(root, pipeline), image, _load_balancer(root))


def check_free(survey: Survey, name: str, files: Iterator[str] | list[str]) -> None:
    """Raises `EditRefused` when the application, or something that it would be taken for, is there already."""
    root = survey.root
    own = [f"{folder}/{name}" for folder in ("apps", "images", "base")]
    own += [f"overlays/{environment.name}/{name}" for environment in survey.environments]
    there = [path for path in own if (root / path).exists()]
    there += [
        file for file in files if (root / file).exists() and not file.startswith(tuple(f"{o}/" for o in own))
    ]
    if there:
        fix = f"{_FIX}; to begin {name} anew, remove these first"
        raise EditRefused(f"{name} is there already: {', '.join(there)}", path=root, fix=fix)
    if survey.pipeline:
        for image, described in survey.pipeline.images.items():
            if name in (image, described.repository.rpartition("/")[2]):
                raise EditRefused(f"there is an image {image} already", path=config.FILE, fix=_FIX)
    if name in [environment.name for environment in survey.environments]:
        raise EditRefused(f"{name} is an environment", path=f"overlays/{name}", fix=_FIX)
    for path, what, taken in _taken(root):
        if taken == name:
            raise EditRefused(f"{what} {name} is there already", path=path, fix=_FIX)


def _taken(root: Path) -> Iterator[tuple[str, str, str]]:
    """(file, what it is, name) of what lives beside an application in its namespace, and of the paths served."""
    for file in sorted(root.glob("base/**/*.yaml")):
        path = file.relative_to(root).as_posix()
        for document in _documents(file):
            metadata = document.get("metadata")
            if isinstance(metadata, dict) and document.get("apiVersion") != "builtin":
                yield path, str(document.get("kind")), str(metadata.get("name"))
            if document.get("kind") == "Ingress":
                for served in _paths(document):
                    yield path, "the path of", served.strip("/").partition("/")[0]
    for folder in _PAGES:
        for file in sorted(root.glob(f"apps/**/{folder}/*.py")):
            yield file.relative_to(root).as_posix(), "the page", file.stem.replace("_", "-")


def _paths(node: object) -> Iterator[str]:
    """Every `path` below an Ingress."""
    if isinstance(node, dict):
        if isinstance(node.get("path"), str):
            yield node["path"]
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        yield from _paths(child)


def _documents(file: Path) -> list[dict]:
    try:
        return [one for one in yaml.load_all(file.read_text(), yaml.CSafeLoader) if isinstance(one, dict)]
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        raise InvalidInput(f"not YAML: {exc}", path=file, line=mark.line + 1 if mark else None) from exc


def _order(policy: Path) -> tuple[int, str]:
    document = (_documents(policy) or [{}])[0]
    order = document.get("order")
    return (order if isinstance(order, int) else 0, policy.parent.name)


def _environment(folder: Path) -> Environment:
    texts = [file.read_text() for file in sorted(folder.glob("*/kustomization.yaml"))]
    clusters = [
        found for text in texts for found in re.findall(r"/clusters/([a-z0-9-]+)\s*$", text, re.MULTILINE)
    ]
    cluster = Counter(clusters).most_common(1)[0][0] if clusters else "local"
    return Environment(folder.name, cluster, any("base/namespace" in text for text in texts))


def _registry(root: Path, pipeline: config.Config | None) -> str:
    if pipeline:
        return pipeline.name(next(iter(pipeline.images))).rpartition("/")[0]
    names = [
        entry.name.rpartition("/")[0]
        for file in sorted(root.glob("overlays/*/*/kustomization.yaml"))
        for entry in read_images(file.read_bytes(), path=file.relative_to(root).as_posix())
    ]
    if not names:
        fix = "name an image of the first application in its overlay, as `registry/path/name`"
        raise InvalidInput("no overlay tells which registry the images come from", path=root, fix=fix)
    return Counter(names).most_common(1)[0][0]


def _python_image(root: Path) -> str:
    for file in sorted(root.glob("images/*/Dockerfile")):
        if found := _BASE_IMAGE.search(file.read_text()):
            return found[1]
    fix = "add `ARG PYTHON_IMAGE=name:tag@sha256:…` to the Dockerfile of another image"
    raise InvalidInput("no Dockerfile names the base image for Python", path=root / "images", fix=fix)


def _load_balancer(root: Path) -> dict[str, str]:
    """The shared annotations, from the first Ingress of a group."""
    for file in sorted(root.glob("base/*/*.yaml")):
        for document in _documents(file):
            given = (document.get("metadata") or {}).get("annotations") or {}
            if document.get("kind") == "Ingress" and f"{ALB}group.name" in given:
                return {key: given[f"{ALB}{key}"] for key in _SHARED if f"{ALB}{key}" in given}
    return {
        "load-balancer-name": "slipway-namespace",
        "scheme": "internet-facing",
        "security-groups": "slipway-alb",
        "listen-ports": '[{"HTTP":80}]',
        "load-balancer-attributes": "idle_timeout.timeout_seconds=60",
    }
