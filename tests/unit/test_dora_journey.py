"""Histories that grow, commits set apart, and the stations of one commit's way."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from slipway.dora.attempts import Histories, attempts
from slipway.dora.history import DeployHistory, SourceHistory
from slipway.dora.journey import STATIONS, journey
from slipway.git.commits import DatedCommit

from tests.unit.test_dora_figures import DAY, Story, at, sha, two_deployments


def way(story: Story, name: str) -> dict[str, object]:
    made = attempts(story.facts, story.histories)
    return {one.name: one.at for one in journey(sha(name), "prod/board", made, story.histories)}


def test_the_way_of_a_live_commit_is_what_its_lead_time_is_made_of():
    """Each station with the time since the one before; together they are the lead time."""
    story = two_deployments()
    made = story.attempts()
    found = journey(sha("s2"), "prod/board", made, story.histories)
    assert [(one.name, one.at) for one in found] == [
        ("committed", at(100)), ("built", at(120)), ("written", at(120)), ("merged", at(150)), ("synced", at(151)), ("live", at(155)),
    ]  # fmt: skip
    assert sum(one.seconds or 0 for one in found) == made[1].changes[0].lead
    assert [one.seconds for one in found] == [None, 1200, 0, 1800, 60, 240]


def test_stations_that_were_not_reached_have_no_time():
    """Committed; then bumped elsewhere; then merged here; then being synced."""
    story = two_deployments()
    story.push("s3", 200)
    assert way(story, "s3") == dict.fromkeys(STATIONS) | {"committed": at(200)}
    dev = "Image: registry.example/team/board:s3\nDigest: sha256:x\nSource-Commit: {}\nPrevious: dev/board v1"
    story.write(
        "dev", 210, f"bump\n\n{dev.format(sha('s3'))}", paths=("overlays/dev/board/kustomization.yaml",)
    )
    assert way(story, "s3")["built"] == at(210) and way(story, "s3")["written"] is None
    story.bump("d3", 220, "s3", merged=230)
    assert [way(story, "s3")[name] for name in STATIONS[2:]] == [at(220), at(230), None, None]
    story.tell("on-sync-running", "d3", "s2", 231, 231)
    assert [way(story, "s3")[name] for name in STATIONS[4:]] == [at(231), None]
    assert way(story, "nobody") == dict.fromkeys(STATIONS)


def test_a_commit_that_came_with_another_has_the_way_of_its_bump():
    """s3 was never built by itself: s4 brought it."""
    story = two_deployments()
    story.push("s3", 200)
    story.push("s4", 201)
    story.bump("d4", 220, "s4", merged=225)
    assert way(story, "s3")["merged"] == way(story, "s4")["merged"] == at(225)


def test_a_history_that_grew_is_the_history_that_was_read_at_once():
    """Commit by commit: the same attempts, the same first bumps, the same answers about abbreviations."""
    story = two_deployments()
    story.push("s3", 300)
    story.bump("d3", 310, "s3", extra=f"Fixes-Deploy: {sha('d2')}\n")
    story.live("d3", "s3", 311, 312)
    deploy, source = DeployHistory(story.deploy[-1:]), SourceHistory(story.source[-1:])
    for commit in story.deploy[-2::-1]:
        assert deploy.extend([commit])
    for commit in story.source[-2::-1]:
        source.extend([commit])
    grown = Histories.of(deploy, source)
    assert grown.first == story.histories.first
    assert attempts(story.facts, grown) == story.attempts()
    assert deploy.find(sha("d3")[:9]) == sha("d3") and source.find(sha("s3")[:9]) == sha("s3")


def test_a_branch_that_was_rewritten_does_not_follow():
    """What does not stand on the tip is not taken in."""
    story = two_deployments()
    deploy = DeployHistory(story.deploy)
    other = DatedCommit(sha("x"), "x", (), author="a", authored=DAY, committed=DAY)
    assert not deploy.extend([other])
    assert sha("x") not in deploy
    assert deploy.extend([])


@pytest.mark.parametrize("seed", range(20))
def test_commits_set_apart_are_those_that_ancestry_says(seed):
    """On random histories with merges and wrong clocks, beside a plain walk."""
    chance = random.Random(seed)
    commits: list[DatedCommit] = []
    for number in range(40):
        parents = tuple(
            c.sha for c in chance.sample(commits[-6:], min(len(commits), chance.choice((1, 1, 2))))
        )
        moment = DAY + timedelta(minutes=chance.randint(0, 99))
        commits.append(
            DatedCommit(sha(f"c{number}"), "", parents, author="", authored=moment, committed=moment)
        )
    source = SourceHistory(commits[20:][::-1]) if seed % 2 else SourceHistory(commits[:25][::-1])
    if not seed % 2:
        source.extend(commits[25:][::-1])
    known = [commit.sha for commit in commits if source.get(commit.sha)]
    for _ in range(30):
        one, other = chance.choice(known), chance.choice(known)
        sets = [{c.sha for c in source.reach(sha_, ())} for sha_ in (one, other)]
        apart = source.apart(one, other)
        assert [{c.sha for c in side} for side in apart] == [sets[0] - sets[1], sets[1] - sets[0]]
        assert [len(side) for side in apart] == [len({c.sha for c in side}) for side in apart]
