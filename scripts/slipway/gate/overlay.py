"""What a rule looks at: a rendered overlay with the files behind it, and the repository as a whole. No I/O.

Rules run on every object of thousands of overlays: `Object.data` and `Source.data` cost nothing, `Source.tree`
costs a parse and is for the line of a finding, or for files that are few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from slipway.yaml_tree import Node, TreeError, line_of, load_documents, parse_tree

if TYPE_CHECKING:
    from slipway.policy.environment import Environment

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
"""The names that kustomize takes."""
_POD_TEMPLATE = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
} | {
    kind: ("spec", "template", "spec")
    for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")
}


@dataclass
class Object:
    """A rendered object, and the source document that brought it in (the overlay's kustomization if unknown)."""

    data: dict
    file: str
    line: int

    def __post_init__(self) -> None:
        """What nearly every rule asks for, worked out once."""
        data = self.data
        self.kind: str = data.get("kind") or ""
        """E.g. `Deployment`."""
        self.api_version: str = data.get("apiVersion") or ""
        """E.g. `apps/v1`."""
        self.metadata: dict = _mapping(data.get("metadata"))
        """The metadata, empty where there is none."""
        self.name: str = self.metadata.get("name") or ""
        """The name after rendering."""
        self.namespace: str = self.metadata.get("namespace") or ""
        """The namespace after rendering; empty for what has none."""
        self.annotations: dict = _mapping(self.metadata.get("annotations"))
        """The object's own annotations, not those of its Pods."""
        self.spec: dict = _mapping(data.get("spec"))
        """The spec, empty where there is none."""
        path = _POD_TEMPLATE.get(self.kind)
        self.pod_template: dict | None = None if path is None else _at(data, path[:-1])
        """What holds the Pods' metadata and spec; for a Pod the object itself, None for what makes no Pods."""
        self.pod_spec: dict | None = None if path is None else _at(data, path)
        """The PodSpec of whatever kind of workload; None for what makes no Pods."""

    @property
    def key(self) -> str:
        """`Kind/namespace/name`, or `Kind/name` for what has no namespace."""
        return "/".join(filter(None, (self.kind, self.namespace, self.name)))

    @property
    def labels(self) -> dict:
        """The object's own labels, not those of its Pods."""
        return _mapping(self.metadata.get("labels"))

    @cached_property
    def containers(self) -> list[dict]:
        """The containers of the Pods, without init containers."""
        return _mappings((self.pod_spec or {}).get("containers"))

    @cached_property
    def init_containers(self) -> list[dict]:
        """The init containers of the Pods."""
        return _mappings((self.pod_spec or {}).get("initContainers"))


@dataclass
class Source:
    """A file that an overlay reaches, read and parsed when it is first asked for."""

    path: str
    read: Callable[[], bytes]
    documents: list | None = None

    @cached_property
    def bytes(self) -> bytes:
        """The content."""
        return self.read()

    @cached_property
    def text(self) -> str:
        """The content as text; what is not UTF-8 is replaced."""
        return self.bytes.decode("utf-8", "replace")

    @property
    def is_kustomization(self) -> bool:
        """Whether kustomize reads it as instructions."""
        return self.path.rpartition("/")[2] in KUSTOMIZATIONS

    @cached_property
    def data(self) -> list:
        """Every document as plain data, duplicate keys as kustomize takes them; empty if it is no YAML.

        For kustomizations it comes with the rendering and costs nothing.
        """
        if self.documents is not None:
            return self.documents
        try:
            return load_documents(self.text)
        except TreeError:
            return []

    @cached_property
    def tree(self) -> Node | None:
        """The file as nodes that know their lines; None when it is not exactly one valid YAML document."""
        try:
            return parse_tree(self.text)
        except TreeError:
            return None

    def line(self, *location: str | int) -> int:
        """The line of the value at keys and indexes, or of the nearest thing above it; 1 when it has no tree."""
        return max(line_of(self.tree, location), 1) if self.tree else 1

    @cached_property
    def lines(self) -> list[str]:
        """The text by lines."""
        return self.text.splitlines()


@dataclass
class Overlay:
    """A folder that is deployed, rendered; `sources` are all files it reaches, by path from the repository."""

    path: str
    environment: str
    app: str
    objects: list[Object]
    sources: Mapping[str, Source]
    policy: Environment | None = None
    local: bool = False

    @property
    def kustomization(self) -> Source:
        """The overlay's own kustomization."""
        return next(s for n in KUSTOMIZATIONS if (s := self.sources.get(f"{self.path}/{n}")))

    @cached_property
    def kustomizations(self) -> list[Source]:
        """Every kustomization that it reaches, its own among them."""
        return [source for source in self.sources.values() if source.is_kustomization]

    def of_kind(self, *kinds: str) -> list[Object]:
        """The objects of some kinds."""
        return [one for one in self.objects if one.data.get("kind") in kinds]

    @cached_property
    def workloads(self) -> list[Object]:
        """The objects that make Pods."""
        return [one for one in self.objects if one.pod_spec is not None]


@dataclass(frozen=True)
class ObjectRef:
    """What the repository as a whole remembers of a rendered object."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return self.api_version.rpartition("/")[0]


@dataclass(frozen=True)
class Summary:
    """What the repository as a whole remembers of an overlay: thousands are in memory, rendered ones are not."""

    path: str
    environment: str
    app: str
    files: tuple[str, ...]
    """Every file that the overlay reaches."""
    refs: tuple[tuple[str, str, str, str], ...]
    """`(apiVersion, kind, namespace, name)` of every rendered object."""

    @property
    def objects(self) -> list[ObjectRef]:
        """The rendered objects by name."""
        return [ObjectRef(*ref) for ref in self.refs]

    @property
    def kustomization(self) -> str:
        """The path of the overlay's own kustomization."""
        names = [f"{self.path}/{name}" for name in KUSTOMIZATIONS]
        return next((name for name in names if name in self.files), names[0])


@dataclass
class Repository:
    """What a rule of scope `repository` looks at: every deployed overlay in short, any file, Argo CD's objects."""

    overlays: Sequence[Summary]
    argocd: list[Object]
    """The rendered `argocd/environments` and `argocd/clusters/*`."""
    paths: Sequence[str]
    """Every file of the repository, sorted."""
    reader: Callable[[str], bytes | None]

    def read(self, path: str) -> bytes | None:
        """The content of a file; None when there is none."""
        return self.reader(path)

    def source(self, path: str) -> Source:
        """A file, for its data and lines."""
        return Source(path, lambda: self.reader(path) or b"")

    def glob(self, pattern: str) -> list[str]:
        """The files that match; `*` stays within a folder, `**` does not."""
        return [path for path in self.paths if _pattern(pattern).fullmatch(path)]

    def of_kind(self, *kinds: str) -> Iterable[Object]:
        """Argo CD's objects of some kinds."""
        return [one for one in self.argocd if one.data.get("kind") in kinds]


_patterns: dict[str, re.Pattern[str]] = {}


def _pattern(glob: str) -> re.Pattern[str]:
    if glob not in _patterns:
        parts = re.split(r"(\*\*/|\*\*|\*)", glob)
        regular = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
        _patterns[glob] = re.compile("".join(regular.get(part) or re.escape(part) for part in parts))
    return _patterns[glob]


def _mapping(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[dict]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _at(data: dict, path: tuple[str, ...]) -> dict:
    for step in path:
        data = _mapping(data.get(step))
    return data
