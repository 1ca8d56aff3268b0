"""Carries built tools to another machine: a zstd-compressed tar, taken over only where every key matches."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import zstandard

from slipway import paths, toolchain
from slipway.errors import InvalidInput, ToolError


def export(file: Path) -> list[str]:
    """Write every group that is built for this checkout; the file appears whole or not at all."""
    groups = [group for group in toolchain.GROUPS if toolchain.built(group)]
    if not groups:
        raise ToolError("no tool is built yet", fix="run `slipway tools build`")
    partial = file.with_name(file.name + ".partial")
    compressor = zstandard.ZstdCompressor(level=1, threads=-1)
    with (
        partial.open("wb") as raw,
        compressor.stream_writer(raw) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        for group in groups:
            tar.add(toolchain.home(group), arcname=group)
    partial.rename(file)
    return groups


def import_(file: Path) -> list[str]:
    """Unpack beside the cache, check keys and digests, then move into place; nothing changes on refusal."""
    store = paths.cache() / "tools"
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store, prefix=".import-") as name:
        scratch = Path(name)
        try:
            with (
                file.open("rb") as raw,
                zstandard.ZstdDecompressor().stream_reader(raw) as unpacked,
                tarfile.open(fileobj=unpacked, mode="r|") as tar,
            ):
                tar.extractall(scratch, filter="data")
        except (tarfile.TarError, zstandard.ZstdError, EOFError) as exc:
            raise InvalidInput("not an archive of `slipway tools export`, or cut short", path=file) from exc
        groups = sorted(child.name for child in scratch.iterdir())
        for group in groups:
            _verify(file, group, scratch / group)
        for group in groups:
            if not toolchain.built(group):
                shutil.rmtree(toolchain.home(group), ignore_errors=True)
                toolchain.home(group).parent.mkdir(exist_ok=True)
                (scratch / group).rename(toolchain.home(group))
        return groups


def _verify(file: Path, group: str, folder: Path) -> None:
    """Refuse what another toolchain, target, go.sum or set of flags made, and what was changed on the way."""
    if group not in toolchain.GROUPS or not (folder / "manifest.json").is_file():
        raise InvalidInput(f"holds the unknown group {group!r}", path=file)
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["key"] != toolchain.key(group):
        raise InvalidInput(
            f"{group} was built by go{manifest['go']} for {manifest['target']} as {manifest['key']}, "
            f"this checkout wants {toolchain.key(group)}",
            path=file,
            fix="export it from a machine on the same commit, or run `slipway tools build`",
        )
    present = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} - {"manifest.json"}
    changed = present ^ set(manifest["files"])
    changed |= {
        name for name in present - changed if toolchain.file_digest(folder / name) != manifest["files"][name]
    }
    if changed:
        raise InvalidInput(
            f"{group}: {sorted(changed)[0]} is not what was built", path=file, fix="export it again"
        )
