"""The registry tells what a reference is; digests are computed from the bytes, and every kind of image counts."""

import base64
import json
from datetime import UTC, datetime

import pytest
from slipway.errors import ImageNotFound, InvalidInput, RemoteRefused, ToolError, Unreachable
from slipway.registry.client import Registry
from slipway.registry.references import Reference, parse

from tests.cli.bump_lab import BACKEND, DOCKER, DOCKER_LIST, OCI, OCI_INDEX, query
from tests.cli.bump_lab import Registry as Lab
from tests.unit.tls_lab import secure


@pytest.fixture
def lab():
    with Lab() as registry:
        yield registry


@pytest.fixture
def registry(lab, tmp_path):
    env = {"SLIPWAY_REGISTRY_MIRRORS": lab.mirrors, "DOCKER_CONFIG": str(tmp_path)}
    with Registry(env=env) as registry:
        yield registry


@pytest.mark.parametrize("media_type", [OCI, OCI_INDEX, DOCKER, DOCKER_LIST])
def test_C15_every_kind_of_image_is_found(lab, registry, media_type):
    """A registry that answers only one media type is not mistaken for one without the image."""
    digest = lab.push(BACKEND, "v1", media_type=media_type, revision="abc")
    for text in (f"{BACKEND}:v1", f"{BACKEND}@{digest}", f"{BACKEND}:v1@{digest}"):
        image = registry.resolve(parse(text))
        assert (image.digest, image.media_type, image.architectures) == (digest, media_type, ("amd64",))
        assert image.created == datetime(2026, 11, 23, 10, tzinfo=UTC) and image.revision == "abc"


def test_C19_an_index_tells_its_architectures(lab, registry):
    """All architectures of an index are told; attestations, which have none, are not."""
    lab.push(BACKEND, "v1", media_type=OCI_INDEX, architectures=("amd64", "arm64"))
    assert registry.resolve(parse(f"{BACKEND}:v1")).architectures == ("amd64", "arm64")


def test_C14_absent_image_is_not_found(registry):
    """A tag that the registry does not have is refused by name."""
    with pytest.raises(ImageNotFound, match="board-backend:v9 is not in the registry") as caught:
        registry.resolve(parse(f"{BACKEND}:v9"))
    assert caught.value.exit_code == 3 and caught.value.fix


def test_C16_tag_that_moved_is_refused(lab, registry):
    """A tag together with a digest must still name that digest."""
    old = lab.push(BACKEND, "v1", created="2026-11-22T10:00:00Z")
    new = lab.push(BACKEND, "v1")
    with pytest.raises(ImageNotFound, match=f"is {new} in the registry, not {old}"):
        registry.resolve(parse(f"{BACKEND}:v1@{old}"))
    assert registry.resolve(parse(f"{BACKEND}@{old}")).digest == old


def test_bytes_and_header_must_agree(lab, registry):
    """A digest is what the bytes hash to; a registry that claims another is refused."""
    digest = lab.push(BACKEND, "v1")
    lab.before = lambda r: "v1" in r.path and r.answer(200, lab.manifests["slipway/board-backend", "v1"][1], OCI, Docker_Content_Digest="sha256:" + "0" * 64)  # fmt: skip
    with pytest.raises(RemoteRefused, match="something else"):
        registry.resolve(parse(f"{BACKEND}:v1"))
    lab.before = lambda r: "blobs" in r.path and r.answer(200, b"{}")
    with pytest.raises(RemoteRefused, match="other bytes"):
        registry.resolve(parse(f"{BACKEND}@{digest}"))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_what_is_no_image_is_refused(lab, registry, body):
    """A web page, or a manifest of something else, is not taken for an image."""
    lab.before = lambda r: r.answer(200, body, "text/html")
    with pytest.raises(RemoteRefused, match="no JSON|not an image"):
        registry.resolve(parse(f"{BACKEND}:v1"))


def test_epoch_is_no_time_of_creation(lab, registry):
    """The epoch that reproducible builds write in place of a time counts as unknown."""
    lab.push(BACKEND, "v1", created="1970-01-01T00:00:00Z")
    assert registry.resolve(parse(f"{BACKEND}:v1")).created is None
    lab.push(BACKEND, "v2", created="0001-01-01T00:00:00Z")
    assert registry.resolve(parse(f"{BACKEND}:v2")).created is None


def test_transient_failures_are_repeated(lab, registry):
    """Busy and broken answers are asked again, a few times."""
    lab.push(BACKEND, "v1")
    answers = [503, 429]
    lab.before = lambda r: bool(answers) and r.answer(answers.pop())
    assert registry.resolve(parse(f"{BACKEND}:v1")).digest
    lab.before = lambda r: r.answer(500)
    with pytest.raises(Unreachable, match="answers 500"):
        registry.resolve(parse(f"{BACKEND}:v1"))


def test_closed_port_is_unreachable():
    """A registry that does not answer is named."""
    env = {"SLIPWAY_REGISTRY_MIRRORS": "r.example=http://127.0.0.1:1"}
    with Registry(env=env) as registry, pytest.raises(Unreachable, match="127.0.0.1:1 does not answer"):
        registry.resolve(parse("r.example/a:v1"))


def bearer(lab):
    """Make the registry want a token, which it gives to `user`, `pass` and, for reading, to nobody else."""

    def before(request):
        given = request.headers.get("Authorization") or ""
        if request.path.startswith("/token"):
            asked = query(request.path)
            assert asked == {"service": ["lab"], "scope": ["repository:slipway/board-backend:pull"]}
            known = given == "Basic " + base64.b64encode(b"user:pa:ss").decode()
            return (
                request.answer(200, json.dumps({"token": "t0k3n"}).encode()) if known else request.answer(401)
            )
        if given == "Bearer t0k3n":
            return False
        challenge = (
            f'Bearer realm="{lab.url}/token",service="lab",scope="repository:slipway/board-backend:pull"'
        )
        return request.answer(401, WWW_Authenticate=challenge)

    lab.before = before


def test_token_is_fetched_with_docker_login(lab, registry, tmp_path):
    """A bearer challenge is answered with the user of Docker's configuration, once per repository."""
    lab.push(BACKEND, "v1")
    bearer(lab)
    auth = base64.b64encode(b"user:pa:ss").decode()
    host = lab.url.removeprefix("http://")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
    assert registry.resolve(parse(f"{BACKEND}:v1")).digest
    assert sum(path.startswith("/token") for path, _ in lab.requests) == 1


def test_token_is_fetched_anonymously(lab, registry):
    """Without credentials an anonymous token is asked for; when that is refused, the fix says how to log in."""
    bearer(lab)
    with pytest.raises(RemoteRefused, match="refuses") as caught:
        registry.resolve(parse(f"{BACKEND}:v1"))
    assert "docker login" in caught.value.fix and (lab.requests[1][0].startswith("/token"), lab.requests[1][1]) == (True, None)  # fmt: skip


def test_credential_helper_is_asked(lab, registry, tmp_path, monkeypatch):
    """A helper named in Docker's configuration is run with the host on its input."""
    lab.push(BACKEND, "v1")
    lab.before = lambda r: (
        not r.headers.get("Authorization") and r.answer(401, WWW_Authenticate='Basic realm="r"')
    )
    host = lab.url.removeprefix("http://")
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {host: "lab-login"}}))
    with pytest.raises(ToolError, match="docker-credential-lab-login is not installed"):
        registry.resolve(parse(f"{BACKEND}:v1"))
    helper = tmp_path / "docker-credential-lab-login"
    helper.write_text(f"#!/bin/sh\ntest $(cat) = {host} && test $1 = get && echo '{{\"Username\": \"AWS\", \"Secret\": \"x\"}}'\n")  # fmt: skip
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert registry.resolve(parse(f"{BACKEND}:v1")).digest
    assert lab.requests[-1][1] == "Basic " + base64.b64encode(b"AWS:x").decode()


def test_broken_docker_configuration_is_named(lab, registry, tmp_path):
    """A configuration that is no JSON is named, not skipped."""
    lab.before = lambda r: r.answer(401, WWW_Authenticate='Basic realm="r"')
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read"):
        registry.resolve(parse(f"{BACKEND}:v1"))


def test_ecr_token_only_when_asked(monkeypatch):
    """The AWS identity is used for ECR hosts, and only with `ecr`."""
    host = BACKEND.partition("/")[0]
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    assert Registry(env={}).credentials(host) is None
    with pytest.raises(RemoteRefused, match="no token for ECR in eu-central-1"):
        Registry(env={}, ecr=True).credentials(host)
    assert Registry(env={}, ecr=True).credentials("other.example") is None


def test_names_without_a_host_are_docker_hubs():
    """A short name goes where Docker takes it."""
    from slipway.registry.client import _with_host

    assert _with_host(Reference("busybox", "1")) == "registry-1.docker.io/library/busybox"


def test_certificates_are_verified(tmp_path, monkeypatch):
    """Over HTTPS a private authority is trusted where SSL_CERT_FILE names it, and a stranger never is."""
    lab = Lab()
    authority, digest = secure(lab, tmp_path), lab.push(BACKEND, "v1")
    env = {"SLIPWAY_REGISTRY_MIRRORS": lab.mirrors, "DOCKER_CONFIG": str(tmp_path)}
    with lab:
        with Registry(env=env) as registry, pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            registry.resolve(parse(f"{BACKEND}:v1"))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        with Registry(env=env) as registry:
            assert registry.resolve(parse(f"{BACKEND}:v1")).digest == digest
