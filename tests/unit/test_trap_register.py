"""Every known trap of the write path and of the gate has a test that is named after it, or a reason why it cannot arise there.

The ids are those of the project's list of traps: A is YAML and Kustomize, B is Git and CI, C is Argo CD, registry and
runtime. A test belongs to every id that its name begins with: `test_A4_A5_…` shows both.
"""

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
_TEST = re.compile(r"^\s*(?:async )?def (test_(?:((?:[ABC]\d+_)+))?\w+)\(", re.MULTILINE)

TRAPS = {
    "A1": "an unquoted tag that looks like a number",
    "A2": "a short commit id that looks like a number",
    "A3": "three dialects of YAML, three ideas of what needs quotes",
    "A4": "an overflowing exponent in a neighbour",
    "A5": "load and dump changes other images",
    "A6": "a leading comment before --- is lost, lists are indented anew",
    "A7": "blank lines in an inline patch",
    "A8": "comments move to another image",
    "A9": "a trailing comment or a CRLF is lost",
    "A10": "the tag moves and the digest stays",
    "A11": "newName is erased",
    "A12": "the order of entries changes what they mean",
    "A13": "an entry that matches nothing",
    "A14": "an overlay keyed on the name before the base renames it",
    "A15": "names are regular expressions",
    "A16": "one name begins with another",
    "A17": "keys in another case",
    "A18": "duplicate keys and second documents",
    "A19": "an empty tag falls back to the base's",
    "A20": "malformed tags and digests render",
    "A21": "images outside of containers are not transformed",
    "A22": "splicing hazards: anchors, flow style, block scalars, BOM",
    "A23": "files beside the overlay that override Git's images",
    "A24": "several kustomization files in one folder",
    "A25": "folded scalars grow at each run",
    "A26": "version skew of kustomize",
    "A27": "a remote base without a pinned revision",
    "A28": "a changing label reaches an immutable selector",
    "A29": "a generated ConfigMap is pruned under old Pods",
    "B1": "a push that loses a race",
    "B2": "a race is told from a refusal by its wording",
    "B3": "a permanent refusal is retried",
    "B4": "bumps that conflict in a rebase",
    "B5": "an older build lands on top of a newer one",
    "B6": "two automations write the same overlay",
    "B7": "nothing to commit fails the build",
    "B8": "a failed push is green",
    "B9": "credentials in addresses and logs",
    "B10": "a bump starts a build",
    "B11": "half of a change lands",
    "B12": "signed commits are stripped or signed again",
    "B13": "a stale pull request is reused",
    "B14": "a rollback is overwritten by the next bump",
    "B15": "the revert of a bump reverts more",
    "B16": "a validation that loses an exit status or a folder",
    "B17": "skipped counts as passed",
    "B18": "tests that only accept",
    "C1": "the revision before is synced and healthy",
    "C2": "healthy for a moment after the sync",
    "C3": "waiting where there is nothing to wait for",
    "C4": "a render error while health stays green",
    "C7": "nearly everything is pruned",
    "C10": "a deny window looks like a failure",
    "C11": "a freeze in the server's time zone, or unreadable",
    "C12": "an environment that is not listed is open",
    "C14": "the tag is not in the registry",
    "C15": "a media type that is not asked for looks absent",
    "C16": "a tag is pushed again",
    "C17": "promotion resolves the tag anew",
    "C18": "the registry expires what Git needs",
    "C19": "the wrong architecture",
    "C22": "success without checking",
    "C23": "a comment that is too long is lost",
    "C24": "a preview hides hooks, or changes of a base",
}

OTHERWISE_NAMED = {
    "A14": ("test_base_has_no_tags", "test_every_images_entry_matches_a_container"),
    "A21": ("test_the_application_is_told_exactly_the_image_it_runs", "test_every_image_is_pinned_by_tag_and_digest"),
    "A27": ("test_remote_resources_are_pinned",),
    "B10": ("test_a_push_that_needs_no_build_is_told_why",),
}  # fmt: skip
"""Tests that show a trap of what is rendered or built, and are named for what they promise there."""

NOT_IN_WRITING = {
    "A26": "Nothing is rendered in order to be written. The kustomize that the tests render with is pinned in the "
    "go.mod that pins Argo CD.",
    "A29": "Writing changes values of `images:` only and generates no ConfigMap; what an overlay generates is for the "
    "check of what is rendered.",
    "B16": "There is no validation script: the stages are commands whose exit code is the pipeline's.",
    "B17": "Writing skips nothing: an overlay that is not understood is refused, with the others of the same commit.",
}  # fmt: skip
"""Why a trap cannot arise while something is written; the check of what is rendered may have tests for it as well."""


@cache
def shown_by() -> dict[str, set[str]]:
    """The names of the tests that exist, under each id their name begins with; under "" all of them."""
    found: dict[str, set[str]] = {"": set()}
    for file in TESTS.rglob("test_*.py"):
        for name, ids in _TEST.findall(file.read_text()):
            for trap in ("", *filter(None, ids.split("_"))):
                found.setdefault(trap, set()).add(name)
    return found


def test_the_list_is_whole():
    """Groups A and B without a gap, and what of C concerns writing and the gate."""
    group_c = (1, 2, 3, 4, 7, 10, 11, 12, 14, 15, 16, 17, 18, 19, 22, 23, 24)
    ids = [*(f"A{n}" for n in range(1, 30)), *(f"B{n}" for n in range(1, 19)), *(f"C{n}" for n in group_c)]
    assert list(TRAPS) == ids


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_its_test_or_its_reason(trap):
    """One of the three: a test named after it, a test named here, or why it cannot arise."""
    found = shown_by()
    named = OTHERWISE_NAMED.get(trap, ())
    assert set(named) <= found[""], f"{trap} ({TRAPS[trap]}): a test named here is gone"
    assert found.get(trap) or named or NOT_IN_WRITING.get(trap), f"{trap} ({TRAPS[trap]}) has neither"


def test_no_test_is_named_after_a_trap_that_there_is_not():
    """A misspelt id would look like a test of another trap."""
    known = {*TRAPS, *(f"C{n}" for n in range(1, 25))}
    assert set(shown_by()) - {""} <= known
