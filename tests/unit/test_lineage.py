"""Older is told from newer by the best evidence there is, and a bump's trailers can be read back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from slipway.registry.references import Reference
from slipway.writing.lineage import (
    Build,
    changed_images,
    decide,
    parse_trailers,
    recorded,
    trailers,
    writer_of,
)

OLD = Reference("registry.example/app", "v1", "sha256:" + "a" * 64)
NEW = Reference("registry.example/app", "v2", "sha256:" + "b" * 64)
EARLY, LATE = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
HISTORY = ["c1", "c2", "c3"]


def before(older: str, newer: str) -> bool | None:
    """Ancestry in a straight history; None for commits that are not in it."""
    if older not in HISTORY or newer not in HISTORY:
        return None
    return HISTORY.index(older) <= HISTORY.index(newer)


@pytest.mark.parametrize(
    ("current", "new", "verdict", "by"),
    [
        ({"revision": "c1", "number": 9}, {"revision": "c2", "number": 5}, "newer", "source"),
        ({"revision": "c3", "number": 1}, {"revision": "c2", "number": 5}, "older", "source"),
        ({"revision": "c1", "number": 11}, {"revision": "x", "number": 10}, "older", "build number 11 → 10"),
        ({"number": 9, "created": LATE}, {"number": 10, "created": EARLY}, "newer", "build number 9 → 10"),
        ({"revision": "c1", "number": 9}, {"revision": "c1", "number": 8}, "older", "build number"),
        ({"created": LATE}, {"number": 10, "created": EARLY}, "older", "time of creation"),
        ({"created": EARLY}, {"created": LATE}, "newer", "time of creation"),
        ({"created": LATE}, {"created": LATE}, "same", "equal number or time"),
        ({"number": 0}, {"number": 0}, "same", "equal number or time"),
        ({"number": 3}, {"created": LATE}, "unknown", "nothing to compare"),
        ({}, {}, "unknown", "nothing to compare"),
    ],
)
def test_B5_first_evidence_that_tells_decides(current, new, verdict, by):
    """Ancestry goes before build number, and that before time; the one that decided is named."""
    decision = decide(Build(OLD, **current), Build(NEW, **new), before)
    assert decision.verdict == verdict and by in str(decision)


def test_same_digest_is_the_same_build():
    """Another tag on the same bytes is not another build."""
    retagged = replace(OLD, tag="v1-retagged")
    assert decide(Build(OLD, number=5), Build(retagged, number=4), before).verdict == "same"


def test_trailers_are_read_back():
    """What a bump writes down is found again by image and digest, among other commits."""
    other = Build(Reference("registry.example/b", "v7", "sha256:" + "c" * 64))
    lines = trailers(Build(NEW, "c2", 42, LATE), ["dev/board v1"]) + trailers(
        other, ["dev/board none", "staging/board none"]
    )
    message = "dev: app v2, b v7\n\nbecause: Image: x\n\n" + "\n".join(lines) + "\n"
    assert parse_trailers(message) == [Build(NEW, "c2", 42), other]
    assert recorded(["Image: no", "fix\n\nBuild: 3", message], NEW) == Build(NEW, "c2", 42)
    assert recorded([message], OLD) == Build(OLD)
    assert recorded([], OLD) == Build(OLD)


def test_C13_trailers_are_read_back_from_what_github_squashed():
    """It adds a number to the subject and the authors behind the trailers; authors alone are no build."""
    authors = "Co-authored-by: slipway-bot <slipway-bot@slipway.invalid>\nCo-authored-by: b <b@c.d>"
    squashed = "dev: app v2 (#12)\n\n" + "\n".join(trailers(Build(NEW, "c2", 42), ["dev/board v1"]))
    assert parse_trailers(f"{squashed}\n\n{authors}\n") == parse_trailers(squashed) == [Build(NEW, "c2", 42)]
    assert changed_images(f"{squashed}\n\n{authors}\n", "dev/board") == {NEW.name}
    assert parse_trailers(f"{squashed}\n\nIt was needed.\n\n{authors}") == []
    assert parse_trailers(authors) == parse_trailers("") == []


def test_changed_images_are_told_for_each_overlay():
    """A commit changed an image in those overlays whose earlier value it names, and in no other."""
    first = trailers(Build(NEW), ["dev/board v1", "staging/board none"])
    other = trailers(Build(Reference("host:5000/b", "v7")), ["dev/board-jobs v1", "dev/board none"])
    message = "dev, staging: app v2\n\n" + "\n".join(first + other)
    assert changed_images(message, "dev/board") == {NEW.name, "host:5000/b"}
    assert changed_images(message, "staging/board") == {NEW.name}
    assert changed_images(message, "prod/board") == changed_images("by hand", "dev/board") == set()


def test_an_image_without_a_tag_is_recorded_and_read_back_by_its_name():
    """A port is no tag, and no tag is not written as None."""
    build = Build(Reference("registry.example:5000/team/app", None, "sha256:" + "a" * 64))
    lines = trailers(build, ["dev/app none"])
    assert lines[0] == "Image: registry.example:5000/team/app"
    message = "dev: app\n\n" + "\n".join(lines)
    assert parse_trailers(message)[0].reference == build.reference
    assert changed_images(message, "dev/app") == {build.reference.name}
    assert writer_of([message], "dev/app", build.reference) is None
