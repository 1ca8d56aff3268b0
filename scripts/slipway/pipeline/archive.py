"""Image archives as the scanner and the registry both understand them.

Either an OCI layout in a tar, with the index that makes it a Docker archive as well, or a plain Docker archive,
whose layers are not compressed. The scanner reads the Docker side; push sends the same layers byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from slipway.errors import InvalidInput

_PREFIX = "application/vnd.oci.image."
_MANIFESTS = (
    f"{_PREFIX}manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Blob:
    """A part of an image: its digest, media type, size in bytes, and its name in the archive."""

    digest: str
    media_type: str
    size: int
    member: str

    def described(self) -> dict[str, object]:
        """As manifests name it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Archive:
    """An opened archive of exactly one image."""

    path: Path
    manifest: bytes
    media_type: str
    digest: str
    config: Blob
    layers: tuple[Blob, ...]

    @contextmanager
    def open(self, blob: Blob) -> Iterator[IO[bytes]]:
        """The bytes of one blob."""
        with tarfile.open(self.path, "r:") as tar:
            yield _member(tar, self.path, blob.member)

    def labels(self) -> dict[str, str]:
        """The labels in the image's configuration."""
        with self.open(self.config) as stream:
            return json.load(stream).get("config", {}).get("Labels") or {}

    def verify(self) -> None:
        """Refuse an archive whose blobs are not what their digests say."""
        with tarfile.open(self.path, "r:") as tar:
            for blob in (self.config, *self.layers):
                actual = hashlib.file_digest(_member(tar, self.path, blob.member), "sha256").hexdigest()
                if f"sha256:{actual}" != blob.digest:
                    raise InvalidInput(
                        f"blob {blob.digest} has other content", path=self.path, fix="build it again"
                    )


def read(path: Path) -> Archive:
    """Open an archive; it must hold one image for one platform."""
    try:
        with tarfile.open(path, "r:") as tar:
            plain = "index.json" not in tar.getnames() and "manifest.json" in tar.getnames()
            return _read_docker(tar, path) if plain else _read_oci(tar, path)
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError) as exc:
        raise InvalidInput(f"not an image archive: {exc}", path=path, fix="build it again") from exc


def _read_oci(tar: tarfile.TarFile, path: Path) -> Archive:
    """The manifest that the layout's index names, and the blobs that it names."""
    index = json.load(_member(tar, path, "index.json"))
    found = _only([m for m in index["manifests"] if m.get("mediaType") in _MANIFESTS], path)
    raw = _member(tar, path, _place(found["digest"])).read()
    digest = _digest(raw)
    if digest != found["digest"]:
        raise InvalidInput(f"the manifest is not {found['digest']}", path=path, fix="build it again")
    manifest = json.loads(raw)
    config, *layers = (
        Blob(part["digest"], part["mediaType"], part["size"], _place(part["digest"]))
        for part in [manifest["config"], *manifest["layers"]]
    )
    return Archive(path, raw, manifest.get("mediaType", _MANIFESTS[0]), digest, config, tuple(layers))


def _read_docker(tar: tarfile.TarFile, path: Path) -> Archive:
    """The same image with the manifest that it has in a registry, its layers as they are."""
    entry = _only(json.load(_member(tar, path, "manifest.json")), path)
    raw = _member(tar, path, entry["Config"]).read()
    config = Blob(_digest(raw), f"{_PREFIX}config.v1+json", len(raw), entry["Config"])
    digests = json.loads(raw)["rootfs"]["diff_ids"]
    layers = [
        Blob(digest, f"{_PREFIX}layer.v1.tar", tar.getmember(name).size, name)
        for digest, name in zip(digests, entry["Layers"], strict=True)
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFESTS[0],
        "config": config.described(),
        "layers": [layer.described() for layer in layers],
    }
    written = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    return Archive(path, written, _MANIFESTS[0], _digest(written), config, tuple(layers))


def _only(found: list[dict], path: Path) -> dict:
    if len(found) != 1:
        raise InvalidInput(f"{len(found)} images in the archive, not one", path=path)
    return found[0]


def _place(digest: str) -> str:
    """Where an OCI layout keeps a blob."""
    return "blobs/" + digest.replace(":", "/")


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_readable_as_docker(path: Path, reference: str) -> None:
    """Append Docker's index to an OCI archive that has none."""
    with tarfile.open(path, "r:") as tar:
        if "manifest.json" in tar.getnames():
            return
    image = read(path)
    index = [
        {
            "Config": image.config.member,
            "RepoTags": [reference],
            "Layers": [layer.member for layer in image.layers],
        }
    ]
    data = json.dumps(index).encode()
    with tarfile.open(path, "a") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def _member(tar: tarfile.TarFile, path: Path, name: str) -> IO[bytes]:
    try:
        stream = tar.extractfile(name)
    except KeyError as exc:
        raise InvalidInput(f"{name} is missing", path=path, fix="build it again") from exc
    if stream is None:
        raise InvalidInput(f"{name} is not a file", path=path, fix="build it again")
    return stream
