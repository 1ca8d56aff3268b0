"""References, tags and digests are parsed and written without loss, and malformed ones are refused."""

import pytest
from slipway.errors import InvalidInput
from slipway.registry.references import NewRef, Reference, check_digest, check_tag, parse, parse_assignment

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("board", "docker.io", "library/board", None, None),
        ("team/board:v1", "docker.io", "team/board", "v1", None),
        ("localhost/board:v1", "localhost", "board", "v1", None),
        ("host:5000/team/board:v1", "host:5000", "team/board", "v1", None),
        (f"host:5000/team/board@{DIGEST}", "host:5000", "team/board", None, DIGEST),
        (f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/board-backend:20261123-a1@{DIGEST}",
         "111122223333.dkr.ecr.eu-central-1.amazonaws.com", "slipway/board-backend", "20261123-a1", DIGEST),
    ],
)  # fmt: skip
def test_reference_survives_parsing_and_writing(text, registry, repository, tag, digest):
    """A reference is taken apart as registries do and written back unchanged."""
    reference = parse(text)
    assert (reference.registry, reference.repository) == (registry, repository)
    assert (reference.tag, reference.digest) == (tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text",
    ["", ":v1", "Board:v1", "a b", "host/..", "board:", "board@", "board:v1@sha256:abc", "board:-v1", "a//b"],
)
def test_malformed_reference_is_refused(text):
    """What no registry would accept is refused with a fix."""
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    assert caught.value.fix


@pytest.mark.parametrize("tag", ["v2 bad tag", "12:30", "", "-v1", ".v1", "a" * 129, "v1\n", "täg"])
def test_A20_malformed_tag_is_refused(tag):
    """kustomize renders any text as a tag; only what a registry accepts passes here."""
    with pytest.raises(InvalidInput, match="is not a tag"):
        check_tag(tag)


@pytest.mark.parametrize(
    "digest", ["notadigest", "sha256:abc", "sha256:" + "A" * 64, "sha512:" + "a" * 64, DIGEST + "\n"]
)
def test_A20_malformed_digest_is_refused(digest):
    """kustomize renders any text as a digest; only a whole SHA-256 digest passes here."""
    with pytest.raises(InvalidInput, match="is not a digest"):
        check_digest(digest)


@pytest.mark.parametrize(
    ("text", "image", "new"),
    [
        ("team/app=:v1", "team/app", NewRef("v1")),
        (f"team/app=:v1@{DIGEST}", "team/app", NewRef("v1", DIGEST)),
        (f"team/app=@{DIGEST}", "team/app", NewRef(None, DIGEST)),
        ("team/app=host:5000/app:v1", "team/app", NewRef("v1", None, "host:5000/app")),
        (f"app=host:5000/app@{DIGEST}", "app", NewRef(None, DIGEST, "host:5000/app")),
    ],
)
def test_assignment_names_image_and_new_reference(text, image, new):
    """IMAGE=[NAME]:TAG[@DIGEST] is split at the first `=`."""
    assert parse_assignment(text) == (image, new)


@pytest.mark.parametrize("text", ["app", "app=", "app=host/app", "=:v1", "app:v1=:v2", "app=:"])
def test_malformed_assignment_is_refused(text):
    """An assignment without a tag or digest, or without an image, is refused with a fix."""
    with pytest.raises(InvalidInput) as caught:
        parse_assignment(text)
    assert caught.value.fix


def test_short_name_is_the_last_part():
    """Subjects and tables show only the last part of a name."""
    assert Reference("host:5000/slipway/board-backend", "v1").short == "board-backend"
