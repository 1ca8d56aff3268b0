"""Image archives: what is read from them, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from slipway.errors import InvalidInput
from slipway.pipeline import archive

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from image_layout import make_archive


@pytest.fixture
def image(tmp_path) -> Path:
    make_archive(tmp_path / "image.tar", {"etc/motd": "hello"}, {"a": "b"})
    return tmp_path / "image.tar"


def rewrite(source: Path, change) -> Path:
    """A copy of the archive with `change(name, bytes)` applied to every member; None drops it."""
    target = source.with_name("changed.tar")
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for info in (i for i in old if i.isfile()):
            data = change(info.name, old.extractfile(info).read())
            if data is not None:
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return target


def test_an_archive_is_both_an_oci_layout_and_a_docker_archive(image):
    """Push reads the one, the scanner the other; both name the same layers."""
    opened = archive.read(image)
    with tarfile.open(image) as tar:
        docker = json.load(tar.extractfile("manifest.json"))[0]
    assert docker["Layers"] == [layer.member for layer in opened.layers]
    assert docker["Config"] == opened.config.member
    assert opened.labels() == {"a": "b"}
    opened.verify()


def test_a_plain_docker_archive_is_read_with_its_uncompressed_layers(image):
    """Its layers are named by the digests of their content, its manifest is the same every time."""
    oci = archive.read(image)
    with oci.open(oci.layers[0]) as stream:
        layer = gzip.decompress(stream.read())
    with oci.open(oci.config) as stream:
        config = stream.read()
    index = [{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"]}]
    plain = image.with_name("plain.tar")
    with tarfile.open(plain, "w") as tar:
        for name, data in {
            "l.tar": layer,
            "c.json": config,
            "manifest.json": json.dumps(index).encode(),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    opened = archive.read(plain)
    opened.verify()
    manifest = json.loads(opened.manifest)
    assert opened.config.digest == oci.config.digest
    assert manifest["layers"] == [
        {
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": "sha256:" + hashlib.sha256(layer).hexdigest(),
            "size": len(layer),
        }
    ]
    assert opened.digest == archive.read(plain).digest != oci.digest
    with pytest.raises(InvalidInput, match="has other content"):
        archive.read(
            rewrite(plain, lambda name, data: data[:-1] + b"x" if name == "l.tar" else data)
        ).verify()


def test_the_docker_index_is_added_once(image):
    """A second call changes nothing."""
    before = image.read_bytes()
    archive.make_readable_as_docker(image, "x:1")
    assert image.read_bytes() == before


def test_a_changed_blob_is_found(image):
    """The digest decides, not the name."""
    layer = archive.read(image).layers[0].member
    changed = rewrite(image, lambda name, data: data + b"x" if name == layer else data)
    with pytest.raises(InvalidInput, match="has other content"):
        archive.read(changed).verify()


def test_a_changed_manifest_is_found(image):
    """A manifest that is not its digest is not used at all."""
    manifest = "blobs/" + archive.read(image).digest.replace(":", "/")
    changed = rewrite(image, lambda name, data: data + b" " if name == manifest else data)
    with pytest.raises(InvalidInput, match="the manifest is not sha256:"):
        archive.read(changed)


@pytest.mark.parametrize("missing", ["index.json", "blobs"])
def test_a_missing_part_is_named(image, missing):
    """An archive without any index, or without blobs, is refused with the path of the file."""
    gone = (missing, "manifest.json") if missing == "index.json" else (missing,)
    changed = rewrite(image, lambda name, data: None if name.startswith(gone) else data)
    with pytest.raises(InvalidInput, match=f"{missing}.* is missing") as caught:
        archive.read(changed)
    assert caught.value.path == changed


def test_an_archive_with_several_images_is_refused(image):
    """Which one would be scanned, which one pushed?"""

    def twice(name: str, data: bytes) -> bytes:
        if name != "index.json":
            return data
        index = json.loads(data)
        return json.dumps(index | {"manifests": index["manifests"] * 2}).encode()

    with pytest.raises(InvalidInput, match="2 images in the archive"):
        archive.read(rewrite(image, twice))


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b broken"])
def test_a_file_that_is_no_archive_is_refused(tmp_path, content):
    """With its path and what to do."""
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(InvalidInput, match="not an image archive|index.json is missing"):
        archive.read(tmp_path / "x.tar")
