"""What images tell of the version that runs."""

from __future__ import annotations

import pytest
from slipway.dora.images import commit_of, fingerprint, one_commit, one_version, settle
from slipway.registry.references import Reference, parse

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("tag", "commit"),
    [
        ("main-20260101T000000Z-abc1234", "abc1234"),
        ("1.4.0-" + "a" * 40, "a" * 40),
        ("abc1234", "abc1234"),
        ("15", None),
        ("bookworm", None),
        ("main-ABC1234", None),
        (None, None),
    ],
)
def test_the_commit_is_what_a_tag_ends_in(tag, commit):
    """Tags without a commit name none."""
    assert commit_of(Reference("a", tag)) == commit


def test_images_without_a_commit_do_not_blur_the_version():
    """A database's image beside the application's says nothing about the source."""
    images = [parse("a:v2-abc1234"), parse("b:v2-abc1234"), parse("postgres:15")]
    assert (one_commit(images), one_version(images)) == ("abc1234", "v2-abc1234")


def test_different_commits_are_not_passed_off_as_one():
    """Then there is no single answer."""
    images = [parse("a:v2-abc1234"), parse("b:v3-def5678")]
    assert (one_commit(images), one_version(images)) == (None, None)


def test_what_ran_before_loses_against_what_is_new():
    """Told apart by digest, even under the same tag; without a history the higher tag stays."""
    old, new = parse(f"a:v1@{DIGEST}"), parse(f"a:v1@sha256:{'1' * 64}")
    assert settle([old, new, old], before=[old]) == (new,)
    assert settle([old, new], before=[new]) == (old,)
    assert settle([old], before=[old]) == (old,)
    assert settle([parse("a:v1"), parse("a:v2")], before=[]) == (parse("a:v2"),)


def test_a_fingerprint_is_of_the_set():
    """Order does not matter, a digest does, and with a digest the tag does not."""
    one, two = parse(f"a:v1@{DIGEST}"), parse("b:v1")
    assert fingerprint([one, two]) == fingerprint([two, one])
    assert fingerprint([one]) == fingerprint([parse(f"a:v2@{DIGEST}")])
    assert fingerprint([one]) != fingerprint([one, two])
