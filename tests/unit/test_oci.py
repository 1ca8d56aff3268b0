"""Image archives of the platform's own parts."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from slipway.platform.oci import Entry, Image, write_archive, write_layer


def layers(folder: Path) -> tuple[Path, Path]:
    """Two small layers."""
    folder.mkdir()
    base = write_layer(folder / "base.tar", [Entry("etc/passwd", b"root:x:0:0::/:/bin/sh\n", mode=0o644)])
    tool = write_layer(
        folder / "tool.tar", [Entry("/usr/bin/tool", b"#!/bin/sh\n"), Entry("link", link="usr/bin/tool")]
    )
    return base, tool


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """No time, user or order of the machine gets into an image."""
    for name in ("one", "two"):
        base, tool = layers(tmp_path / name)
        write_archive(
            tmp_path / f"{name}.tar", [Image(("example/tool:1",), (base, tool), ("/usr/bin/tool",))]
        )
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_layer_shared_by_two_images_is_stored_once(tmp_path: Path) -> None:
    """The large root file system is under four images and travels once."""
    base, tool = layers(tmp_path / "layers")
    write_archive(tmp_path / "a.tar", [Image(("a:1",), (base, tool)), Image(("b:1",), (base,))])
    with tarfile.open(tmp_path / "a.tar") as tar:
        digest = hashlib.sha256(base.read_bytes()).hexdigest()
        assert tar.getnames().count(f"blobs/sha256/{digest}") == 1


def test_every_blob_is_named_by_its_digest_and_every_image_by_its_names(tmp_path: Path) -> None:
    """What containerd checks on import holds."""
    base, tool = layers(tmp_path / "layers")
    write_archive(tmp_path / "a.tar", [Image(("a:1", "b:2"), (base, tool), ("/tool",), user="999")])
    with tarfile.open(tmp_path / "a.tar") as tar:
        blobs = {name: tar.extractfile(name).read() for name in tar.getnames()}
    index = json.loads(blobs.pop("index.json"))
    assert json.loads(blobs.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert all(name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}" for name, data in blobs.items())
    assert [m["annotations"]["io.containerd.image.name"] for m in index["manifests"]] == ["a:1", "b:2"]
    manifest = json.loads(blobs[f"blobs/{index['manifests'][0]['digest'].replace(':', '/')}"])
    config = json.loads(blobs[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["config"]["User"] == "999"
    assert len(config["history"]) == len(manifest["layers"]), "buildah counts"
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
