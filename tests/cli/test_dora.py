"""`slipway dora` on repositories that real Git made, against figures computed by hand."""

from __future__ import annotations

import json

import pytest

from tests.cli.bump_lab import Deploy, GitServer, invoke
from tests.cli.dora_lab import POLICIES, Repo, at, overlay, story


@pytest.fixture
def pair(tmp_path) -> dict[str, Repo]:
    """A repository of each kind, with the story in them."""
    return story(tmp_path)


def dora(pair, *more: str) -> tuple[int, str, str]:
    until = at(60 * 24 * 14).isoformat()
    where = ["--repo", str(pair["deploy"].path), "--events", str(pair["events"].path)]
    return told("dora", *where, "--since", at(0).isoformat(), "--until", until, *more)


def told(*arguments: str) -> tuple[int, str, str]:
    done = invoke(*arguments)
    return done.returncode, done.stdout, done.stderr


def test_figures_are_those_computed_by_hand(pair):
    """Three deployments, one of them failed and repaired after 34 minutes; lead time 55 minutes in five parts."""
    code, out, err = dora(pair, "--source", str(pair["source"].path), "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    assert figures["environment"] == "prod"
    assert figures["frequency"] == {"count": 3, "per_day": 3 / 14, "per_week": 1.5}
    assert figures["change_failure"] == {"part": 1, "of": 3, "rate": 1 / 3}
    assert figures["rework"]["part"] == figures["rollbacks"] == 1
    assert (figures["recovery"]["median"], figures["recovery"]["open"]) == (34 * 60, 0)
    assert figures["lead_time"]["median"] == 55 * 60
    stages = {stage["name"]: stage["median"] for stage in figures["lead_time"]["stages"]}
    assert stages == {"build": 1200, "queue": 0, "review": 1800, "argocd": 60, "rollout": 240}


def test_text_shows_every_figure_and_each_failure(pair):
    """What a reader gets without --json."""
    code, out, _ = dora(pair, "--source", str(pair["source"].path))
    assert code == 0
    for wanted in (
        "prod, 2026-03-02 08:00", "3 (1 rollbacks), 1.5 in the median week", "median 55 min, p90 55 min (1 commits)",
        "33.3% (1 of 3)", "(1 over, 0 open)", "degraded, repaired after 34 min",
    ):  # fmt: skip
        assert wanted in out, out


def test_repeated_and_over_http_it_is_the_same_to_the_second(pair, monkeypatch):
    """Read from a server with credentials, and read again: identical."""
    _, local, _ = dora(pair, "--source", str(pair["source"].path), "--json")
    assert dora(pair, "--source", str(pair["source"].path), "--json")[1] == local
    root = pair["deploy"].path.parent
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "reader")
    monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", "pass")
    with GitServer(root, login=("reader", "pass")) as server:
        asked = ["--repo", f"{server.url}/deploy.git", "--events", f"{server.url}/events.git"]
        asked += ["--source", f"{server.url}/source.git", "--since", at(0).isoformat()]
        until = at(60 * 24 * 14).isoformat()
        assert told("dora", *asked, "--until", until, "--json")[1] == local
        monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", "wrong")
        code, _, err = told("dora", *asked)
        assert code == 4 and "does not accept these credentials" in err and "wrong" not in err


def test_empty_log_is_undefined_everywhere(pair, tmp_path):
    """No branch in the log yet, no deployments: undefined, and said so."""
    pair["events"] = Repo.create(tmp_path / "empty.git")
    code, out, _ = dora(pair)
    assert code == 0
    assert out.count("undefined") == 4 and "not known: no --source" in out and "0 (0 rollbacks)" in out


def test_what_is_no_event_is_told_and_left_out(pair):
    """A damaged file costs its own event only."""
    pair["events"].commit("e", {"prod/board/bad.json": "{"}, 300)
    code, out, err = dora(pair)
    assert code == 0 and "prod/board/bad.json is no event" in err and "3 (1 rollbacks)" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--env", "stagin"], "no environment stagin"),
        (["--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--since", "2027-01-01"], "--since is not before --until"),
        (["--branch", "release"], "has no branch release"),
    ],
)
def test_wrong_question_is_refused_with_a_fix(pair, arguments, said):
    """Exit code 2, what is wrong, and what to write instead."""
    code, _, err = dora(pair, *arguments)
    assert code == 2 and said in err and "fix: " in err


def test_repository_that_is_not_there_is_said_so(pair, tmp_path):
    """A path without a repository is no empty history."""
    pair["deploy"] = Repo(tmp_path)
    code, _, err = dora(pair)
    assert code == 4 and "is not there" in err


def test_mirror_reads_as_the_reader_of_the_commands_does(tmp_path):
    """Files, folders, history: both borders to Git tell the same of one branch."""
    from slipway.git.mirror import Mirror
    from slipway.git.remote import RemoteRepo

    deploy = Deploy.create(tmp_path / "d.git", POLICIES | overlay("one"))
    deploy.commit("two", overlay("two"))
    mirror = Mirror(deploy.url, tmp_path / "mirror")
    tip = mirror.tip(mirror.fetch())
    paths = ["overlays/dev/environment.yaml", "overlays/none", "overlays"]
    with RemoteRepo(deploy.url) as remote:
        other = remote.tip()
        assert (tip.sha, tip.read(paths)) == (other.sha, other.read(paths))
        assert tip.folders(paths) == other.folders(paths)
        assert [(c.sha, c.message.strip(), c.parents) for c in tip.history()] == [
            (c.sha, c.message.strip(), c.parents) for c in other.history()
        ]
        assert tip.written(tip.sha) == other.written(other.sha)
    assert [c.paths for c in tip.history()][0] == ("overlays/prod/board/kustomization.yaml",)
    before = tip.sha
    deploy.commit("three", {"new.json": "{}"})
    assert list(mirror.files(mirror.fetch(), before)) == [("new.json", b"{}")]
