"""Writes OCI image archives of ready binaries and root file systems, deterministically and without an engine.

For the platform's own parts only (the application's images are built from their Dockerfiles): no RUN step is
needed, layers are shared between images, and the result is one archive that containerd imports in one go.
Format: OCI image layout 1.0 in a tar.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Image:
    """One image: its names, layers in order (tar files) and run-time configuration."""

    names: tuple[str, ...]
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = "/"
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """A file of a layer: where its bytes come from, or what it links to."""

    path: str
    source: Path | bytes | None = None
    link: str | None = None
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


def write_layer(tar: Path, entries: list[Entry]) -> Path:
    """Write a layer; an entry without source and link is a folder. Times are zero, names are sorted."""
    partial = tar.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry in sorted(entries, key=lambda e: e.path):
            info = tarfile.TarInfo(entry.path.lstrip("/"))
            info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
                archive.addfile(info)
            elif entry.source is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            elif isinstance(entry.source, bytes):
                info.size = len(entry.source)
                archive.addfile(info, io.BytesIO(entry.source))
            else:
                info.size = entry.source.stat().st_size
                with entry.source.open("rb") as content:
                    archive.addfile(info, content)
    partial.rename(tar)
    return tar


def write_archive(archive: Path, images: list[Image], architecture: str = "amd64") -> None:
    """Write all images into one layout; a layer used by several is stored once."""
    manifests: list[dict] = []
    digests: dict[Path, tuple[str, int]] = {}
    partial = archive.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:

        def blob(data: bytes) -> dict:
            digest = hashlib.sha256(data).hexdigest()
            _add(tar, f"blobs/sha256/{digest}", io.BytesIO(data), len(data))
            return {"digest": f"sha256:{digest}", "size": len(data)}

        for layer in dict.fromkeys(layer for image in images for layer in image.layers):
            with layer.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
                content.seek(0)
                digests[layer] = (f"sha256:{digest}", layer.stat().st_size)
                _add(tar, f"blobs/sha256/{digest}", content, layer.stat().st_size)
        for image in images:
            config = {"mediaType": CONFIG, **blob(_config(image, digests, architecture))}
            layers = [
                {"mediaType": LAYER, "digest": digests[file][0], "size": digests[file][1]}
                for file in image.layers
            ]
            manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
            described = {"mediaType": MANIFEST, **blob(_json(manifest))}
            manifests += [
                {**described, "annotations": {"io.containerd.image.name": name}} for name in image.names
            ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        for name, data in {"index.json": index, "oci-layout": {"imageLayoutVersion": "1.0.0"}}.items():
            _add(tar, name, io.BytesIO(_json(data)), len(_json(data)))
    partial.rename(archive)


def _config(image: Image, digests: dict[Path, tuple[str, int]], architecture: str) -> bytes:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Entrypoint": list(image.entrypoint),
                "Env": [f"{name}={value}" for name, value in {"PATH": path, **image.env}.items()],
                "User": image.user,
                "WorkingDir": image.working_dir,
            },
            # buildah refuses a base image whose history does not account for every layer.
            "history": [{"created_by": f"slipway {layer.name}"} for layer in image.layers],
            "rootfs": {"type": "layers", "diff_ids": [digests[layer][0] for layer in image.layers]},
        }
    )


def _json(data: dict) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _add(tar: tarfile.TarFile, name: str, content: io.BufferedIOBase, size: int) -> None:
    if name in tar.getnames():
        return
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, content)
