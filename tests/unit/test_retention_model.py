"""What Git needs is found in its history, and held against what a policy would do with it."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from slipway.errors import EditRefused
from slipway.git.history import Version
from slipway.registry.ecr_lifecycle import Stored, keep_tag, parse_lifecycle, protecting
from slipway.registry.references import Reference
from slipway.registry.retention import Use, carried_out, judge, needs, plan, select

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NAME = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/team/app"
POLICY = parse_lifecycle(json.dumps(protecting(30)), path="-")
PATH = "overlays/dev/app/kustomization.yaml"


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def version(number: int, path: str = PATH, *, gone: bool = False, **more) -> Version:
    """A version so many days old, its object and commit named after that."""
    when = NOW - timedelta(days=number)
    return Version(path, f"{number:040d}", when, None if gone else f"o{number}", **more)


def body(*entries: str) -> bytes:
    """A kustomization with entries such as `v1`, `v1@2` (a digest's number) or `@2`."""
    lines = ""
    for n, entry in enumerate(entries):
        tag, _, number = entry.partition("@")
        lines += f"  - name: {NAME}{n or ''}\n" + (f'    newTag: "{tag}"\n' if tag else "")
        lines += f'    digest: "{digest(int(number))}"\n' if number else ""
    return f"images:\n{lines}".encode()


def use(number: int, *, current: bool = False, environment: str = "dev") -> Use:
    when = NOW - timedelta(days=number)
    return Use(environment, "app", f"{number:040d}", when, current)


def stored(number: int, tags: str, age: float | None, **more) -> Stored:
    pushed = None if age is None else NOW - timedelta(days=age)
    return Stored(digest(number), tuple(tags.split()), pushed, **more)


def judged(named: dict[str, list[Use]], images: list[Stored], policy=POLICY, ahead: int = 7):
    """The verdict on images that are named such as `v1@1`."""
    references = {}
    for text, uses in named.items():
        tag, _, number = text.partition("@")
        references[Reference(NAME, tag or None, digest(int(number)) if number else None)] = uses
    return judge(NAME, references, images, policy, moment=NOW, ahead=timedelta(days=ahead))


def test_the_last_commits_count_and_what_the_oldest_replaced():
    """With three commits there are four versions, so that each of the three can be reverted."""
    versions = [version(n) for n in range(9)]
    chosen = select(versions, {"dev": 3})
    assert [(v.oid, current) for v, current in chosen] == [("o0", True), ("o1", False), ("o2", False), ("o3", False)]  # fmt: skip


def test_each_overlay_and_each_environment_counts_by_itself():
    """A busy overlay takes nothing from a quiet one, and environments have numbers of their own."""
    quiet, prod = "overlays/dev/quiet/kustomization.yaml", "overlays/prod/app/kustomization.yaml"
    versions = [version(n) for n in range(5)] + [version(n, prod) for n in range(5)] + [version(400, quiet)]
    chosen = [(v.path, v.oid) for v, _ in select(versions, {"dev": 1, "prod": 2})]
    assert chosen == [(PATH, "o0"), (PATH, "o1"), (prod, "o0"), (prod, "o1"), (prod, "o2"), (quiet, "o400")]


def test_only_kustomizations_of_environments_that_are_there_count():
    """Other files, and environments that Git does not have any more, name no image."""
    paths = [
        "overlays/dev/app/settings.env",
        "overlays/old/app/kustomization.yaml",
        "base/app/kustomization.yaml",
    ]
    kept = [
        "overlays/dev/kustomization.yaml",
        "overlays/dev/a/b/Kustomization",
        "overlays/dev/c/kustomization.yml",
    ]
    versions = [version(n, path) for n, path in enumerate(paths + kept)]
    assert [v.path for v, _ in select(versions, {"dev": 5})] == kept


def test_a_removed_overlay_counts_as_long_as_its_removal_can_be_reverted():
    """Its images stay while the removal is among the last commits of the environment; a gap in between is none."""
    gone, back = version(3, gone=True), version(1)
    other = [version(n, "overlays/dev/other/kustomization.yaml") for n in range(2)]
    assert [(v.oid, c) for v, c in select([*other, gone, version(4)], {"dev": 3})][-1] == ("o4", False)
    assert [v.path for v, _ in select([*other, gone, version(4)], {"dev": 2})] == [other[0].path] * 2
    assert [v.oid for v, _ in select([back, gone, version(4)], {"dev": 2})] == ["o1", "o4"]


def test_every_image_of_every_version_is_needed():
    """By tag, by digest or by both, each with who names it and since when; placeholders are no images."""
    chosen = [(version(0), True), (version(5), False), (version(9), False)]
    contents = {"o0": body("v2@2", "v9"), "o5": body("v1@1"), "o9": body(f"unreleased@{0}", "v9")}
    found = needs(chosen, contents)
    assert {str(reference): [str(u) for u in uses] for reference, uses in found.uses.items()} == {
        f"{NAME}:v2@{digest(2)}": ["dev/app"],
        f"{NAME}1:v9": ["dev/app", "dev/app at 0000000 (2026-11-15)"],
        f"{NAME}:v1@{digest(1)}": ["dev/app at 0000000 (2026-11-19)"],
    }
    assert list(found.by_repository()) == [NAME, f"{NAME}1"]
    assert needs(chosen, contents, skipped=[NAME.partition("/")[0]]).uses == {}


@pytest.mark.parametrize("text", [b"images: [", b"images:\n- name: a\n  newtag: v1\n", b"\xff"])
def test_C18_what_cannot_be_read_is_refused(text):
    """An overlay that cannot be read may name anything: nothing is decided until it is mended or left out by name."""
    with pytest.raises(EditRefused) as caught:
        needs([(version(0), True)], {"o0": text}, ignored=["0"])
    assert caught.value.path == PATH and "--ignore-commit" not in caught.value.fix
    old = (version(7), False)
    with pytest.raises(EditRefused, match="^at 0000000: ") as caught:
        needs([old], {"o7": text})
    assert "--ignore-commit 000000000000" in caught.value.fix
    assert needs([old], {"o7": text}, ignored=[version(7).commit]).uses == {}


def test_C18_links_and_entries_that_tell_nothing():
    """A link in place of a file is refused; an entry without tag and digest is refused now, and told for the past."""
    with pytest.raises(EditRefused, match="symbolic link"):
        needs([(version(0, regular=False), True)], {"o0": b"elsewhere"})
    with pytest.raises(EditRefused, match="neither tag nor digest") as caught:
        needs([(version(0), True)], {"o0": body("")})
    assert caught.value.line == 2
    found = needs([(version(3), False)], {"o3": body("", "v1@1")})
    assert len(found.uses) == 1 and "what it deploys is not told" in found.unclear[0]


def test_C18_a_needed_image_that_would_go_is_a_problem_with_rule_and_reason():
    """The rule, the overlay, the commit and the day are named; what only time saves is told within the time ahead."""
    images = [stored(1, "v1", 40), stored(2, "v2", 25), stored(3, "v3", 20), stored(4, "v4", 90)]
    named = {"v1@1": [use(12)], "v2@2": [use(0, current=True), use(0, current=True, environment="prod")], "v3@3": [use(1)]}  # fmt: skip
    verdict = judged(named, images)
    assert len(verdict.problems) == 2
    old, new = verdict.problems
    assert (
        f"{NAME}:v1@" in old
        and "dev/app at 0000000 (2026-11-12)" in old
        and "by rule 2 from 2026-11-14 on" in old
    )
    assert "named by dev/app, prod/app" in new and "from 2026-11-29" in new
    assert [image.digest for image, _ in verdict.others] == [digest(4)] and verdict.expiring(NOW) == 1
    assert (
        len(judged(named, images, ahead=4).problems) == 1
        and len(judged(named, images, ahead=11).problems) == 3
    )


def test_C18_protecting_tags_keep_what_is_needed_for_good():
    """After the plan is carried out no needed image is ever due, and carrying it out again does nothing."""
    images = [stored(1, "v1", 4000), stored(2, "", 4000), stored(3, "v3", 1)]
    named = {"v1@1": [use(900)], "@2": [use(0, current=True)]}
    verdict = judged(named, images)
    todo = plan(verdict.kept, images, release=False)
    assert sorted(todo.write) == [(digest(n), keep_tag(digest(n))) for n in (1, 2)]
    images = carried_out(todo, images)
    verdict = judged(named, images, ahead=10_000)
    assert verdict.problems == () and all(one.fate.rule == 1 and one.fate.due is None for one in verdict.kept)
    assert plan(verdict.kept, images, release=True).write == ()


def test_what_belongs_to_a_needed_image_is_needed():
    """Images of an index, signatures under cosign's tags or by reference, and the images of those."""
    signature_tag = f"sha256-{digest(1)[7:]}"
    images = [
        stored(1, "v1", 40, children=(digest(2), digest(3))),
        stored(2, "", 40),
        stored(3, "", 40),
        stored(4, signature_tag, 40, children=(digest(5),)),
        stored(5, "", 40, subject=digest(1)),
        stored(6, signature_tag + ".att", 40),
        stored(7, "", 40, subject=digest(6)),
        stored(8, "", 40, subject=digest(99)),
        stored(9, f"sha256-{digest(99)[7:]}", 40),
    ]
    verdict = judged({"v1@1": [use(3)]}, images)
    assert {one.digest: one.because for one in verdict.kept[1:]} == {
        digest(2): "an image in the index of v1",
        digest(3): "an image in the index of v1",
        digest(4): "the signature of v1",
        digest(5): "an attachment of v1",
        digest(6): "the signature of v1",
        digest(7): f"an attachment of {digest(6)[7:19]}",
    }
    assert {image.digest for image, _ in verdict.others} == {digest(8), digest(9)}
    written = {number for number, _ in plan(verdict.kept, images, release=False).write}
    assert written == {digest(n) for n in (1, 4, 5, 6, 7)}
    after = judged({"v1@1": [use(3)]}, carried_out(plan(verdict.kept, images, release=False), images))
    assert after.problems == ()


def test_what_is_gone_is_a_problem_only_while_git_names_it():
    """An image that is missing or in the archive and named now fails; one that only the past names is told."""
    images = [stored(3, "v3", 9, archived=NOW), stored(4, "v4", 9, archived=NOW)]
    named = {"v1@1": [use(0, current=True)], "v2@2": [use(5)], "v3@3": [use(0, current=True)], "v4@4": [use(5)], "v5": [use(0, current=True)], "v6": [use(5)]}  # fmt: skip
    problems = judged(named, images).problems
    assert [text.partition(",")[0].rpartition("/")[2][:6] for text in problems] == [
        "app:v1",
        "app:v3",
        "app:v5",
    ]
    assert "not in the registry" in problems[0] and "in the archive" in problems[1]
    assert plan(judged(named, images).kept, [], release=False).write == ()


def test_a_tag_alone_keeps_what_it_names_now():
    """Without a digest the image under the tag is the needed one; with one, a tag that moved away changes nothing."""
    images = [stored(1, "v1", 40), stored(2, "v2 latest", 40), stored(3, "", 40)]
    verdict = judged({"v1": [use(3)], "latest@3": [use(4)]}, images)
    assert [one.digest for one in verdict.kept] == [digest(1), digest(3)]
    both = judged({"v1": [use(3)], "v1@1": [use(0, current=True)]}, images)
    (one,) = both.kept
    assert [u.current for u in one.uses] == [True, False]


def test_an_unknown_time_counts_for_the_worst():
    """Without the time of a push a needed image is taken for old, and any other for new."""
    count = {"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}  # fmt: skip
    policy = parse_lifecycle(json.dumps({"rules": [count]}), path="-")
    images = [stored(1, "v1", None), stored(2, "v2", None)]
    for number in (1, 2):
        assert len(judged({f"v{number}@{number}": [use(1)]}, images, policy).problems) == 1
        assert len(judged({f"v{number}@{number}": [use(1)]}, images).problems) == 1


def test_a_stale_protection_is_released_only_on_request_and_never_with_the_image():
    """Tags of images that nothing needs are taken away, except the last one, which would delete the image."""
    images = [stored(n, f"{keep_tag(digest(n))} {tags}", 40) for n, tags in enumerate(["v0", "v1", ""])]
    images += [stored(3, f"keep-v3 {keep_tag(digest(4))}", 40)]
    kept = judged({"v0@0": [use(1)]}, images).kept
    assert plan(kept, images, release=False).remove == ()
    todo = plan(kept, images, release=True)
    assert (todo.remove, todo.last) == ((keep_tag(digest(1)),), (keep_tag(digest(2)),))
    assert carried_out(todo, images)[1].tags == ("v1",)
