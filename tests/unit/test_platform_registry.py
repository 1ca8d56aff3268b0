"""The platform's registry, as `slipway up` sets it: what was pushed under a tag stays what it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from slipway import toolchain
from slipway.platform import registry as platform_registry

from tests.cli.storm_lab import free_port
from tests.unit.registry_lab import MANIFEST, digest, held, manifest, push

NAME = "slipway/board"


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of a running registry."""
    folder, where = tmp_path_factory.mktemp("registry"), f"127.0.0.1:{free_port()}"
    file = folder / "config.yaml"
    file.write_text(json.dumps(platform_registry.settings(folder / "data", where)))
    with (folder / "log").open("wb") as log:
        command = [toolchain.tool("immutable-registry"), "serve", file]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(base_url=f"http://{where}", transport=transport, timeout=30) as client:
            client.get("/v2/").raise_for_status()
            yield client
    finally:
        process.terminate()
        process.wait(20)


def test_a_tag_keeps_its_image(registry):
    """Another image under the tag is refused, the same again is not."""
    assert push(registry, NAME, "v1", "first").status_code == 201
    first = held(registry, NAME, "v1")
    refused = push(registry, NAME, "v1", "second")
    assert refused.status_code == 403
    assert "tags never move" in refused.json()["errors"][0]["message"]
    assert push(registry, NAME, "v1", "first").status_code == 201
    assert held(registry, NAME, "v1") == first


def test_another_tag_and_another_repository_take_the_image(registry):
    """Only the name that is taken is taken."""
    push(registry, NAME, "a", "first").raise_for_status()
    assert push(registry, NAME, "b", "second").status_code == 201
    assert push(registry, f"{NAME}-other", "a", "second").status_code == 201


@pytest.mark.parametrize("tag", ["keep-" + "0" * 64, "sha256-" + "0" * 64, "sha256-" + "0" * 64 + ".sig"])
def test_tags_that_name_a_digest_themselves_move(registry, tag):
    """What `slipway retention` sets and takes away, and where cosign adds signatures."""
    push(registry, NAME, tag, "first").raise_for_status()
    assert push(registry, NAME, tag, "second").status_code == 201
    assert registry.delete(f"/v2/{NAME}/manifests/{tag}").status_code == 202
    assert held(registry, NAME, tag) is None


def test_nothing_is_deleted_to_be_pushed_again(registry):
    """Neither the tag nor the image behind it nor what it consists of."""
    push(registry, NAME, "kept", "first").raise_for_status()
    image = held(registry, NAME, "kept")
    config = json.loads(manifest(registry, NAME, "first"))["config"]["digest"]
    for what in ("manifests/kept", f"manifests/{image}", f"blobs/{config}"):
        assert registry.delete(f"/v2/{NAME}/{what}").status_code == 405, what
    assert held(registry, NAME, "kept") == image
    assert registry.get(f"/v2/{NAME}/blobs/{config}").status_code == 200


def test_an_image_pushed_by_digest_needs_no_tag(registry):
    """As tools do for the parts of an index; naming it afterwards is a first naming."""
    body = manifest(registry, NAME, "untagged")
    by = {"content": body, "headers": {"Content-Type": MANIFEST}}
    from_digest = registry.put(f"/v2/{NAME}/manifests/{digest(body)}", **by)
    assert from_digest.status_code == 201
    assert registry.put(f"/v2/{NAME}/manifests/named", **by).status_code == 201
