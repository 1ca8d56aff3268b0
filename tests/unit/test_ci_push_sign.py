"""Push and sign against a real registry and the real cosign, on loopback."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import httpx
import pytest
from slipway.errors import InvalidInput, PipelineFailed, RemoteRefused, Unreachable
from slipway.pipeline.mirrors import Place, parse, place
from slipway.pipeline.push import push
from slipway.pipeline.records import Built, Output
from slipway.pipeline.sign import sign, verify
from slipway.registry.attestations import SEVERITIES, scanned
from slipway.registry.client import Registry
from slipway.registry.references import Reference

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from image_layout import make_archive, python_package
from project import HOST, make_key, passed, running_registry

NAME = f"{HOST}/slipway/app"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """The URL of a registry of its own."""
    with running_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A signing key pair; the private key's path."""
    return make_key(tmp_path_factory.mktemp("key"), "test")


@pytest.fixture
def output(tmp_path):
    """An output folder holding a built and scanned image `app`."""
    return make_output(tmp_path / "out", f"tag-{tmp_path.name}", {"etc/name": tmp_path.name})


def make_output(folder: Path, tag: str, files: dict[str, str], *severities: str) -> Output:
    folder.mkdir()
    output = Output(folder)
    digest = make_archive(output.archive("app"), {**files, **python_package("demo", "1.0")})
    output.put_built("app", Built(NAME, tag, digest, "a" * 40, "2026-01-01T00:00:00Z", "app.tar"))
    output.put_scan("app", passed(digest, *severities), {})
    return output


def held(url: str, tag: str) -> str:
    """The digest that the registry itself reports."""
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    return httpx.head(f"{url}/v2/slipway/app/manifests/{tag}", headers=accept).headers[
        "docker-content-digest"
    ]


def env(url: str) -> dict[str, str]:
    return {"SLIPWAY_REGISTRY_MIRRORS": f"{HOST}={url}", "COSIGN_PASSWORD": "test"}


def test_push_stores_exactly_the_scanned_bytes_and_says_so(registry, output, tmp_path):
    """The registry's digest is the archive's, and the record has the five fields that the bump reads."""
    record, new = push("app", output, env(registry))
    assert new
    assert held(registry, record.tag) == record.digest == output.built("app").digest
    assert json.loads((output.folder / "digests" / "app.json").read_text()) == {
        "image": NAME,
        "tag": f"tag-{tmp_path.name}",
        "digest": record.digest,
        "revision": "a" * 40,
        "created": "2026-01-01T00:00:00Z",
    }


def test_push_of_the_same_digest_again_is_a_success_that_says_so(registry, tmp_path):
    """A repeated build with the same result does not fail, and writes nothing."""
    output = make_output(tmp_path / "out", "again-1", {"etc/name": "again"})
    assert push("app", output, env(registry))[1] is True
    assert push("app", output, env(registry))[1] is False


def test_push_never_moves_a_tag(registry, tmp_path):
    """A tag that holds another digest is refused, naming both, and keeps what it had."""
    first = make_output(tmp_path / "first", "fixed-1", {"etc/name": "first"})
    second = make_output(tmp_path / "second", "fixed-1", {"etc/name": "second"})
    digest = push("app", first, env(registry))[0].digest
    with pytest.raises(RemoteRefused, match=f"is {digest} in the registry.*tags never move"):
        push("app", second, env(registry))
    assert held(registry, "fixed-1") == digest
    assert not (second.folder / "digests" / "app.json").exists()


def test_push_refuses_what_was_not_scanned(registry, output):
    """No scan, a scan of another digest and a failed scan are three refusals, each with its reason."""
    for report, reason in [
        (None, "was not scanned"),
        ({"digest": "sha256:0", "verdict": "pass"}, "the scan of app is of sha256:0"),
        ({"digest": output.built("app").digest, "verdict": "fail"}, "did not pass its scan"),
    ]:
        (output.folder / "app.scan.json").unlink()
        if report:
            output.put_scan("app", report, {})
        with pytest.raises(InvalidInput, match=reason):
            push("app", output, env(registry))
        output.put_scan("app", {}, {})


def test_push_refuses_a_dirty_build(registry, tmp_path):
    """What no commit describes never reaches the registry."""
    output = make_output(tmp_path / "out", "20260101-000000-abcdef0-dirty", {})
    with pytest.raises(InvalidInput, match="uncommitted"):
        push("app", output, env(registry))


def test_push_refuses_an_archive_changed_after_its_build(registry, output):
    """A blob that is not what its digest says is found before anything is sent."""
    raw = output.archive("app").read_bytes()
    layer = raw.find(b"\x1f\x8b")
    output.archive("app").write_bytes(raw[: layer + 30] + b"\0\0\0\0" + raw[layer + 34 :])
    with pytest.raises(InvalidInput, match="has other content"):
        push("app", output, env(registry))


def test_push_to_a_silent_registry_names_it_and_the_fix(output):
    """An unreachable registry is one line with its address, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match=f"http://127.0.0.1:{port} does not answer") as caught:
        push("app", output, env(f"http://127.0.0.1:{port}"))
    assert "SLIPWAY_REGISTRY_MIRRORS" in caught.value.fix


def test_sign_signs_the_digest_and_verifies_it(registry, output, key, monkeypatch):
    """The signature lies beside the image and another key does not confirm it."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    pushed = push("app", output, env(registry))[0]
    record, new = sign("app", output, str(key), str(key.with_suffix(".pub")), env(registry))
    assert new
    assert record["reference"] == f"{registry.removeprefix('http://')}/slipway/app@{pushed.digest}"
    assert json.loads((output.folder / "signatures" / "app.json").read_text())["digest"] == pushed.digest


def test_sign_again_finds_the_signature_and_adds_none(registry, output, key, monkeypatch):
    """A repeated build succeeds and says that the image was signed already."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    push("app", output, env(registry))
    assert sign("app", output, str(key), None, env(registry))[1] is True
    assert sign("app", output, str(key), None, env(registry))[1] is False


def attested(url: str, digest: str, public_key: Path):
    """What the registry holds of the image's scan, as the board asks for it."""
    with Registry(env=env(url)) as client:
        return scanned(client, Reference(NAME, None, digest), public_key.read_bytes())


def test_what_the_scan_found_lies_signed_beside_the_image(registry, tmp_path, key, monkeypatch):
    """Counts by severity, the time of the scan; another key confirms nothing, and an image without one has none."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    output = make_output(tmp_path / "out", "scanned-1", {"etc/name": "scanned"}, "high", "low", "low")
    pushed = push("app", output, env(registry))[0]
    public = key.with_suffix(".pub")
    assert attested(registry, pushed.digest, public) is None
    sign("app", output, str(key), None, env(registry))
    found = attested(registry, pushed.digest, public)
    assert found.counts == dict.fromkeys(SEVERITIES, 0) | {"high": 1, "low": 2}
    assert found.at.isoformat() == "2026-01-01T00:00:00+00:00"
    assert attested(registry, pushed.digest, make_key(tmp_path, "test").with_suffix(".pub")) is None


def test_a_later_scan_with_other_findings_is_added_and_the_newest_counts(
    registry, tmp_path, key, monkeypatch
):
    """A new advisory for an old image is told; the same findings again add nothing."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    output = make_output(tmp_path / "out", "scanned-2", {"etc/name": "again"})
    digest = push("app", output, env(registry))[0].digest
    public, days = key.with_suffix(".pub"), iter(range(2, 5))

    def again(*severities: str):
        later = passed(digest, *severities) | {"scanned": f"2026-01-0{next(days)}T00:00:00+00:00"}
        output.put_scan("app", later, {})
        sign("app", output, str(key), None, env(registry))
        return attested(registry, digest, public)

    assert again("high").counts["high"] == 1
    assert again("high").at.day == 2
    found = again("high", "critical")
    assert (found.counts["critical"], found.at.day) == (1, 4)


def test_a_wrong_password_is_named(registry, output, key, monkeypatch):
    """A key that cannot be opened is an input error with the variable to look at."""
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    push("app", output, env(registry))
    with pytest.raises(InvalidInput, match="signing key cannot be used") as caught:
        sign("app", output, str(key), None, env(registry))
    assert caught.value.fix == "check COSIGN_PASSWORD"


def test_an_unsigned_image_does_not_verify(registry, tmp_path, key):
    """Verification fails, naming the reference, where there is no signature."""
    output = make_output(tmp_path / "out", "unsigned-1", {"etc/name": "unsigned"})
    pushed = push("app", output, env(registry))[0]
    where = place(NAME, env(registry))
    with pytest.raises(PipelineFailed, match="no valid signature on .*" + pushed.digest):
        verify(where.reference(pushed.digest), str(key.with_suffix(".pub")), plain=True)


def test_sign_finds_a_key_that_is_not_the_expected_one(registry, output, key, tmp_path, monkeypatch):
    """A signature by the wrong key fails the stage when the public key is pinned."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    make_key(tmp_path, "test")
    push("app", output, env(registry))
    with pytest.raises(PipelineFailed, match="no valid signature"):
        sign("app", output, str(tmp_path / "cosign.key"), str(key.with_suffix(".pub")), env(registry))
    assert not (output.folder / "signatures" / "app.json").exists()


def test_sign_refuses_without_what_it_needs(output, tmp_path):
    """No push, no key and no password are named, each with what to do."""
    with pytest.raises(InvalidInput, match="signing key does not exist"):
        sign("app", output, str(tmp_path / "no.key"), None, {})
    (tmp_path / "a.key").touch()
    with pytest.raises(InvalidInput, match="COSIGN_PASSWORD is not set"):
        sign("app", output, str(tmp_path / "a.key"), None, {})
    with pytest.raises(InvalidInput, match="was not pushed") as caught:
        sign("app", output, str(tmp_path / "a.key"), None, {"COSIGN_PASSWORD": ""})
    assert caught.value.fix == "run `slipway ci push` first"


def test_plain_http_only_for_a_mirror_given_with_http():
    """The registry in the name is always reached with TLS."""
    assert place(NAME, {}) == Place(f"https://{HOST}", "slipway/app")
    assert not place(NAME, {}).plain
    assert place(NAME, env("http://127.0.0.1:1/")) == Place("http://127.0.0.1:1", "slipway/app")


@pytest.mark.parametrize(
    "text", ["host", "host=mirror:5000", "host/path=http://x", "host=ftp://x", "host=http://"]
)
def test_a_mirror_list_that_cannot_be_read_is_refused(text):
    """The refusal quotes what is wrong."""
    with pytest.raises(InvalidInput, match="SLIPWAY_REGISTRY_MIRRORS has"):
        parse(text)
