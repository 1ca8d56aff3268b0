"""An overlay's earlier states are told from the branch's own line of commits."""

import pytest
from slipway.errors import PolicyRefused
from slipway.git.commits import Commit
from slipway.git.remote import RemoteRepo
from slipway.writing.past import Past, line

from tests.cli.bump_lab import Deploy

PATH = "overlays/dev/board/kustomization.yaml"


def shas(commits: list[Commit]) -> list[tuple[str, str | None, set[str]]]:
    """The steps of a history: state, state before, commits brought."""
    return [(step.sha, step.parent, {c.sha for c in step.commits}) for step in line(commits)]


def test_straight_history_is_one_step_for_each_commit():
    """Each commit leaves the state of its parent; the first leaves none."""
    commits = [Commit("c", "", ("b",)), Commit("b", "", ("a",)), Commit("a", "")]
    assert shas(commits) == [("c", "b", {"c"}), ("b", "a", {"b"}), ("a", None, {"a"})]
    assert shas([]) == []


def test_merge_is_one_step_with_what_it_brought():
    """What a merge brought belongs to it and to no later one, however the branches were tangled."""
    commits = [
        Commit("m2", "", ("m1", "y")), Commit("m1", "", ("b", "x")), Commit("y", "", ("x",)),
        Commit("x", "", ("w",)), Commit("w", "", ("a",)), Commit("b", "", ("a",)), Commit("a", ""),
    ]  # fmt: skip
    assert shas(commits) == [
        ("m2", "m1", {"m2", "y"}),
        ("m1", "b", {"m1", "x", "w"}),
        ("b", "a", {"b"}),
        ("a", None, {"a"}),
    ]


@pytest.mark.parametrize("allowed", [True, False])
def test_history_is_fetched_step_by_step_and_no_further(tmp_path, allowed):
    """Commits come only as far as they are asked for, and the end of the reach is a refusal that names it."""
    deploy = Deploy.create(tmp_path / "deploy.git", {PATH: "images: []\n"}, filters=allowed)
    deploy.idle(90)
    with RemoteRepo(deploy.url) as repo:
        past = Past(repo.tip(), "dev/board", PATH, reach=(5, 10))
        steps = past.steps()
        assert next(steps).sha == deploy.tip and len(past.tip.history()) == 64
        with pytest.raises(PolicyRefused, match="no bump of dev/board among the newest 79 commits"):
            past.before_last_bump({})
        assert len(past.tip.history()) == 79 and past.tip.is_cut
        assert past.entries(past.tip.history()[-1].sha) == {}
        whole = Past(past.tip, "dev/board", PATH, reach=(5, 10))
        assert len(list(whole.steps())) == 91 and not whole.tip.is_cut
