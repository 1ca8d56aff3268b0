"""What a repository of images holds is told alike by ECR and by any other registry, and tags can be added to it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from slipway.errors import ImageNotFound, InvalidInput, RemoteRefused
from slipway.registry.client import Registry
from slipway.registry.contents import EcrContents, OciContents, open_contents

from tests.cli.bump_lab import BACKEND, DOCKER_LIST, OCI, OCI_INDEX, sha
from tests.cli.retention_lab import NOW, Keeper, ago

REPOSITORY, REGION = "slipway/board-backend", "eu-central-1"


@pytest.fixture
def lab():
    with Keeper() as registry:
        yield registry


@pytest.fixture
def env(lab, tmp_path):
    return {"SLIPWAY_REGISTRY_MIRRORS": lab.mirrors, "DOCKER_CONFIG": str(tmp_path)}


@pytest.fixture
def contents(lab, env):
    with Registry(env=env) as registry:
        yield OciContents(BACKEND, registry, env)


def test_tags_of_one_image_come_together(lab, contents):
    """Each image is told once, with all its tags and the time at which it was made."""
    lab.page = 2
    digest = lab.push(BACKEND, "v1", created=ago(3))
    media_type, raw = lab.manifests[REPOSITORY, "v1"]
    for tag in ("v2", "latest", "a", "z"):
        lab.manifests[REPOSITORY, tag] = (media_type, raw)
    other = lab.push(BACKEND, "old", created="1970-01-01T00:00:00Z")
    found = {image.digest: image for image in contents.images([])}
    assert found[digest].tags == ("a", "latest", "v1", "v2", "z")
    assert found[digest].pushed == NOW - timedelta(days=3)
    assert found[other].pushed is None and len(found) == 2


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_images_without_a_tag_are_found_where_they_matter(lab, contents, media_type):
    """The images of an index, a wanted digest that lost its tag, and what signs it; others are out of reach."""
    index = lab.push(BACKEND, "v1", media_type=media_type, architectures=("amd64", "arm64"), created=ago(3))
    lost, hidden = lab.push(BACKEND, "v0", created=ago(9)), lab.push(BACKEND, "hidden")
    lab.untag(BACKEND, "v0")
    lab.untag(BACKEND, "hidden")
    signature = lab.sign(BACKEND, lost)
    found = {image.digest: image for image in contents.images([lost, "sha256:" + "9" * 64])}
    assert len([child for child in found[index].children if child in found]) == 2
    assert found[lost].tags == () and hidden not in found
    (inner,) = found[signature].children
    assert found[signature].tags == (f"sha256-{lost[7:]}",) and found[inner].subject == lost


def test_referrers_are_asked_for_where_the_registry_knows_them(lab, contents):
    """A signature that has no tag at all is found through the image it signs."""
    digest = lab.push(BACKEND, "v1")
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI, "subject": {"digest": digest}, "annotations": {"org.opencontainers.image.created": ago(2)}}).encode()  # fmt: skip
    lab.manifests[REPOSITORY, sha(body)] = (OCI, body)
    answer = json.dumps({"manifests": [{"digest": sha(body)}]}).encode()
    lab.before = lambda handler: "/referrers/" in handler.path and handler.answer(200, answer, OCI_INDEX)
    found = {image.digest: image for image in contents.images([digest])}
    assert found[sha(body)].subject == digest and found[sha(body)].pushed == NOW - timedelta(days=2)


def test_a_tag_is_written_with_the_very_bytes(lab, contents):
    """The image under the new tag has the digest it had; a tag can be taken away again."""
    digest = lab.push(BACKEND, "v1", media_type=OCI_INDEX)
    contents.tag(digest, "keep-1")
    assert lab.manifests[REPOSITORY, "keep-1"] == lab.manifests[REPOSITORY, "v1"] and lab.written == [
        "keep-1"
    ]
    contents.untag("keep-1")
    assert lab.tags(BACKEND) == ["v1"]
    with pytest.raises(ImageNotFound):
        contents.tag("sha256:" + "9" * 64, "keep-9")


def test_a_registry_that_takes_no_tag_is_told(lab, contents):
    """Reading rights alone are not enough to protect, and the answer says so."""
    digest = lab.push(BACKEND, "v1")
    lab.before = lambda handler: handler.command == "PUT" and handler.answer(403)
    with pytest.raises(RemoteRefused, match="refuses .*keep-1.*403") as caught:
        contents.tag(digest, "keep-1")
    assert caught.value.fix


def test_an_empty_repository_has_no_images(contents):
    """A repository that does not exist yet is not an error."""
    assert contents.images([]) == []


@pytest.mark.parametrize(
    ("name", "fix"),
    [("docker.io/library/redis", "--skip-registry docker.io"), ("quay.io/team/app", "--skip-registry quay.io"), (BACKEND, "--ecr")],
)  # fmt: skip
def test_C18_a_registry_that_is_not_known_is_refused(name, fix):
    """Neither another registry nor ECR without an identity is passed over in silence."""
    with Registry(env={}) as registry, pytest.raises(InvalidInput) as caught:
        open_contents(name, registry, ecr=False, env={})
    assert fix in caught.value.fix


@pytest.fixture
def ecr(monkeypatch):
    """moto's ECR with one repository: the client, and the repository as this code sees it."""
    import boto3
    from moto import mock_aws
    from moto.core import DEFAULT_ACCOUNT_ID

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("ecr", region_name=REGION)
        client.create_repository(repositoryName=REPOSITORY, imageTagMutability="IMMUTABLE")
        name = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}"
        with Registry(ecr=True, env={}) as registry:
            yield client, open_contents(name, registry, ecr=True, env={})


def put(client, tag: str | None, manifest: dict) -> str:
    """Store a manifest in moto's ECR and return its digest."""
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI} | manifest)
    named = {"imageTag": tag} if tag else {}
    digest = sha(text.encode())
    client.put_image(repositoryName=REPOSITORY, imageManifest=text, imageManifestMediaType=json.loads(text)["mediaType"], imageDigest=digest, **named)  # fmt: skip
    return digest


def test_ecr_tells_digests_tags_times_and_children(ecr):
    """Images with and without a tag, and what an index holds, as ECR's API gives them."""
    client, contents = ecr
    assert isinstance(contents, EcrContents) and contents.images([]) == []
    child = put(client, None, {"layers": [{"digest": "sha256:1"}]})
    index = put(client, "v1", {"mediaType": OCI_INDEX, "manifests": [{"digest": child}]})
    inside = {"mediaType": OCI_INDEX, "manifests": [{"digest": child}]}
    more = [put(client, f"b{n}", inside | {"annotations": {"n": str(n)}}) for n in range(120)]
    found = {image.digest: image for image in contents.images([])}
    assert set(found) == {child, index, *more}
    assert {image.children for digest, image in found.items() if digest != child} == {(child,)}
    assert found[child].tags == () and found[index].tags == ("v1",)
    assert abs(found[index].pushed - datetime.now(UTC)) < timedelta(minutes=1)


def test_ecr_takes_one_more_tag_and_gives_it_back(ecr):
    """An image keeps its digest and its tag; a second time changes nothing, also where tags are immutable."""
    client, contents = ecr
    digest = put(client, "v1", {"layers": [{"digest": "sha256:1"}]})
    contents.tag(digest, "keep-1")
    contents.tag(digest, "keep-1")
    assert [(i.digest, i.tags) for i in contents.images([])] == [(digest, ("v1", "keep-1"))]
    contents.untag("keep-1")
    assert [(i.digest, i.tags) for i in contents.images([])] == [(digest, ("v1",))]
    with pytest.raises(ImageNotFound, match="changes while it is read"):
        contents.tag("sha256:" + "9" * 64, "keep-9")


def test_ecr_without_the_repository_or_the_right_is_told(ecr):
    """What ECR refuses is passed on with the rights that are needed."""
    client, contents = ecr
    client.delete_repository(repositoryName=REPOSITORY, force=True)
    with pytest.raises(RemoteRefused, match="cannot be listed") as caught:
        contents.images([])
    assert "ecr:DescribeImages" in caught.value.fix


def test_ecr_archived_and_restored_images_are_told_apart():
    """An archived image says since when; a restored one counts from its return, as ECR does."""
    from slipway.registry.contents import _stored

    times = {"imagePushedAt": NOW - timedelta(days=9), "lastRecordedPullTime": NOW - timedelta(days=8)}
    archived = _stored({"imageDigest": "d", "imageStatus": "ARCHIVED", "lastArchivedAt": NOW} | times, ())
    assert archived.archived == NOW and archived.pulled == NOW - timedelta(days=8)
    restored = _stored({"imageDigest": "d", "imageStatus": "ACTIVE", "lastActivatedAt": NOW, "subjectManifestDigest": "s"} | times, ())  # fmt: skip
    assert (restored.pushed, restored.pulled, restored.archived, restored.subject) == (NOW, NOW, None, "s")
