"""Which folders Argo CD would deploy: Applications and ApplicationSets evaluated as Argo CD does. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from posixpath import normpath

from slipway.gate.findings import Finding
from slipway.gate.overlay import KUSTOMIZATIONS, Object
from slipway.yaml_tree import TreeError, load_documents

_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}")
_INDEX = re.compile(r"index\s+\.([\w.]+)\s+(\d+)")


@dataclass(frozen=True)
class Deployment:
    """A folder that is deployed, and by which Application or ApplicationSet."""

    path: str
    by: str


@dataclass
class Discovery:
    """Every deployed folder by path, and what could not be made out."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


class _Unclear(Exception):
    """A generator or template that is not evaluated here; the text says which."""


def discover(
    objects: Iterable[Object], paths: Sequence[str], read: Callable[[str], bytes | None]
) -> Discovery:
    """What these Argo CD objects deploy from a repository with these files.

    Sources in another repository than the generators' are left out. What is not understood is a finding.
    """
    found = Discovery()
    folders = _folders(paths)
    makers = [one for one in objects if one.kind in ("Application", "ApplicationSet") and one.spec]
    own = {url for one in makers for url in _generator_urls(one.spec.get("generators"))}
    known: dict[str, list[str]] = {}
    for one in makers:
        try:
            same = repr((one.kind, one.spec))
            for url in own:  # clusters differ in nothing but where they read the repository
                same = same.replace(url, "")
            if same not in known:
                known[same] = list(_paths_of(one, folders, paths, read, own))
            for path in known[same]:
                found.deployments.setdefault(path, Deployment(path, one.key))
        except _Unclear as exc:
            message = f"it cannot be told what this deploys: {exc}"
            fix = "use git directories, git files or a list as generators, and plain fields in the path"
            found.findings.append(Finding(one.file, one.line, "unclear-generator", one.key, message, fix))
    return found


def not_deployed(
    discovery: Discovery, kustomizations: Iterable[str], used: Iterable[str]
) -> Iterator[Finding]:
    """A finding for every kustomization below `overlays` that nothing deploys and no deployed folder uses.

    `kustomizations` are the paths of all, `used` the files that deployed folders reach.
    """
    reached = set(used)
    for file in sorted(kustomizations):
        folder = file.rpartition("/")[0]
        if file.startswith("overlays/") and folder not in discovery.deployments and file not in reached:
            message = "no Application and no ApplicationSet deploys this folder"
            fix = "move it to overlays/<environment>/<application>, or remove it"
            yield Finding(file, 1, "not-deployed", "", message, fix)


def root_kustomizations(paths: Sequence[str], read: Callable[[str], bytes | None]) -> list[str]:
    """The folders below `argocd` that are applied to clusters: those that no other kustomization builds on.

    `argocd/install` is left out: it builds on a release of Argo CD that is not in the repository.
    """
    folders, built_on = [], set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        if name in KUSTOMIZATIONS and path.startswith("argocd/") and not path.startswith("argocd/install/"):
            data = _load(read(path))
            if isinstance(data, dict):
                if data.get("kind") != "Component":
                    folders.append(folder)
                entries = [*(data.get("resources") or []), *(data.get("components") or [])]
                built_on |= {normpath(f"{folder}/{entry}") for entry in entries if isinstance(entry, str)}
            else:
                folders.append(folder)  # rendering says what is wrong with it
    return [folder for folder in folders if folder not in built_on]


def _load(data: bytes | None) -> object:
    """The first document of a file; None when it has none, or none that can be read."""
    try:
        return next(iter(load_documents((data or b"").decode("utf-8", "replace"))), None)
    except TreeError:
        return None


def _folders(paths: Sequence[str]) -> list[str]:
    """Every folder with a file in or below it, hidden ones left out, sorted."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return sorted(folder for folder in found if not any(part[0] == "." for part in folder.split("/")))


def _generator_urls(generators: object) -> Iterator[str]:
    for generator in _mappings(generators):
        git = generator.get("git")
        if isinstance(git, dict) and git.get("repoURL"):
            yield str(git["repoURL"])
        for nesting in ("matrix", "merge"):
            yield from _generator_urls((generator.get(nesting) or {}).get("generators"))


def _paths_of(maker: Object, folders, paths, read, own: set[str]) -> Iterator[str]:
    """The folders that an Application or ApplicationSet deploys from this repository."""
    if maker.kind == "Application":
        specs = [(maker.spec, {})]
    else:
        template = (maker.spec.get("template") or {}).get("spec") or {}
        generators = _mappings(maker.spec.get("generators"))
        sets = [p for generator in generators for p in _parameters(generator, folders, paths, read)]
        specs = [(template, parameters) for parameters in sets]
    for spec, parameters in specs:
        for source in [spec.get("source"), *(spec.get("sources") or [])]:
            if not isinstance(source, dict) or not source.get("path"):
                continue
            url = _fill(str(source.get("repoURL", "")), parameters)
            if not own or url in own:
                yield normpath(_fill(str(source["path"]), parameters).strip("/"))


def _parameters(generator: dict, folders, paths, read) -> list[dict[str, object]]:
    """The parameter sets of one generator."""
    kinds = [kind for kind in generator if kind not in ("selector", "template")]
    kind = kinds[0] if len(kinds) == 1 else ""
    content = generator.get(kind)
    if "selector" in generator or not isinstance(content, dict):
        raise _Unclear("a generator with a selector" if "selector" in generator else "an empty generator")
    if kind == "list":
        return [dict(element) for element in _mappings(content.get("elements"))]
    if kind == "git":
        return list(_git_parameters(content, folders, paths, read))
    if kind == "matrix":
        rows: list[dict[str, object]] = [{}]
        for inner in _mappings(content.get("generators")):
            rows = [a | b for a in rows for b in _parameters(inner, folders, paths, read)]
        return rows
    raise _Unclear(f"the generator {kind or ', '.join(kinds)}")


def _git_parameters(git: dict, folders, paths, read) -> Iterator[dict[str, object]]:
    if git.get("pathParamPrefix"):
        raise _Unclear("pathParamPrefix")
    if wanted := _mappings(git.get("directories")):
        for folder in _matching(wanted, folders, match):
            yield {"path": _path_parameters(folder)} | _values(git)
        return
    for path in _matching(_mappings(git.get("files")), paths, _match_file):
        content = _load(read(path))
        for element in _mappings(content if isinstance(content, list) else [content or {}]):
            folder, _, name = path.rpartition("/")
            own = _path_parameters(folder) | {"filename": name}
            yield dict(element) | {"path": own} | _values(git)


def _values(git: dict) -> dict[str, object]:
    return {"values": git["values"]} if isinstance(git.get("values"), dict) else {}


def _path_parameters(folder: str) -> dict[str, object]:
    name = folder.rpartition("/")[2]
    plain = re.sub(r"[^a-z0-9.-]", "-", name.lower()).strip("-.")[:253]
    return {"path": folder, "basename": name, "basenameNormalized": plain, "segments": folder.split("/")}


def _matching(wanted: list[dict], names: Sequence[str], matches: Callable[[str, str], bool]) -> Iterator[str]:
    """The names that a pattern takes and none excludes."""
    taken = [str(one.get("path", "")) for one in wanted if not one.get("exclude")]
    left_out = [str(one.get("path", "")) for one in wanted if one.get("exclude")]
    for name in names:
        if any(matches(p, name) for p in taken) and not any(matches(p, name) for p in left_out):
            yield name


def match(pattern: str, name: str) -> bool:
    """Go's `path.Match`: `*` and `?` stay within a folder."""
    return bool(_glob(pattern).fullmatch(name))


def _match_file(pattern: str, name: str) -> bool:
    """As git's pathspec, where `*` crosses folders."""
    return bool(_glob(pattern, "[^\0]").fullmatch(name))


@cache
def _glob(pattern: str, any_: str = "[^/]") -> re.Pattern[str]:
    parts = re.split(r"(\*+|\?|\[[^\]]*\])", pattern)
    regular = {"?": any_}
    text = [
        f"{any_}*" if part.startswith("*") else regular.get(part) or _class(part) or re.escape(part)
        for part in parts
    ]
    return re.compile("".join(text))


def _class(part: str) -> str:
    return part.replace("\\", "\\\\") if re.fullmatch(r"\[\^?[\w.-]+\]", part) else ""


def _fill(template: str, parameters: dict[str, object]) -> str:
    """A template's text with its parameters, Go templates and the older kind alike."""
    return _TEMPLATE.sub(lambda found: _value(found[1], parameters), template)


def _value(expression: str, parameters: dict[str, object]) -> str:
    if indexed := _INDEX.fullmatch(expression):
        expression = f"{indexed[1]}[{indexed[2]}]"
    name = expression.removeprefix(".")
    if name == "path" and not expression.startswith("."):  # the older kind names the folder itself `path`
        name = "path.path"
    name = re.sub(r"^path\[", "path.segments[", name)
    value: object = parameters
    for step in re.findall(r"[\w-]+|\[\d+\]", name) if re.fullmatch(r"[\w.\[\]-]+", name) else [name]:
        try:
            value = value[int(step[1:-1])] if step[0] == "[" else value[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError) as exc:
            raise _Unclear(f"the template {{{{{expression}}}}}") from exc
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise _Unclear(f"the template {{{{{expression}}}}}")
    return str(value)


def _mappings(value: object) -> list[dict]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
