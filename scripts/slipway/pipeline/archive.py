"""Image archives: an OCI image layout in a tar, with the index that makes it a Docker archive as well.

The scanner reads the Docker side, push sends the OCI side byte for byte, so both see the same layers.
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

_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Blob:
    """A part of an image: its digest, media type and size in bytes."""

    digest: str
    media_type: str
    size: int

    @property
    def member(self) -> str:
        """Its name in the archive."""
        return "blobs/" + self.digest.replace(":", "/")


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
            index = json.load(_member(tar, path, "index.json"))
            found = [m for m in index["manifests"] if m.get("mediaType") in _MANIFESTS]
            if len(found) != 1:
                raise InvalidInput(f"{len(found)} images in the archive, not one", path=path)
            raw = _member(tar, path, "blobs/" + found[0]["digest"].replace(":", "/")).read()
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError) as exc:
        raise InvalidInput(f"not an image archive: {exc}", path=path, fix="build it again") from exc
    digest = "sha256:" + hashlib.sha256(raw).hexdigest()
    if digest != found[0]["digest"]:
        raise InvalidInput(f"the manifest is not {found[0]['digest']}", path=path, fix="build it again")
    manifest = json.loads(raw)
    config, *layers = (
        Blob(part["digest"], part["mediaType"], part["size"])
        for part in [manifest["config"], *manifest["layers"]]
    )
    return Archive(path, raw, manifest.get("mediaType", _MANIFESTS[0]), digest, config, tuple(layers))


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
