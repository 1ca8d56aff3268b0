"""DORA's figures are those that a person computes by hand, from a repository and events made for it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway.dora.attempts import Attempt, Histories, attempts, every
from slipway.dora.event_log import parse_log
from slipway.dora.events import DEGRADED, DEPLOYED, RUNNING, SYNC_FAILED, Event, Fact
from slipway.dora.history import DeployHistory, SourceHistory
from slipway.dora.metrics import measure, nearest_rank
from slipway.git.commits import DatedCommit
from slipway.registry.references import Reference

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NAME = "registry.example/team/board"


def at(minutes: float) -> datetime:
    """A time on the day of the story."""
    return DAY + timedelta(minutes=minutes)


def sha(text: str) -> str:
    """A commit's name that a reader recognises."""
    return text.encode().hex().ljust(40, "0")[:40]


def digest(text: str) -> str:
    return "sha256:" + text.encode().hex().ljust(64, "0")[:64]


class Story:
    """A deploy and a source repository, and what Argo CD reported, written down event by event."""

    def __init__(self, app: str = "board", env: str = "prod"):
        self.app, self.env = app, env
        self.deploy: list[DatedCommit] = []
        self.source: list[DatedCommit] = []
        self.facts: list[Fact] = []

    def push(self, name: str, minute: float, *, parents: tuple[str, ...] | None = None) -> None:
        """A commit of the source repository."""
        before = (self.source[0].sha,) if self.source else ()
        parents = tuple(map(sha, parents)) if parents is not None else before
        commit = DatedCommit(
            sha(name), name, parents, author="ann", authored=at(minute), committed=at(minute)
        )
        self.source.insert(0, commit)

    def write(
        self, name: str, minute: float, message: str, *, merged: float | None = None, paths=None
    ) -> None:
        """A commit of the deploy repository, written and merged at these minutes."""
        before = (self.deploy[0].sha,) if self.deploy else ()
        paths = (f"overlays/{self.env}/{self.app}/kustomization.yaml",) if paths is None else paths
        self.deploy.insert(
            0,
            DatedCommit(
                sha(name), message, before, author="bot", authored=at(minute),
                committed=at(merged if merged is not None else minute), paths=paths,
            ),
        )  # fmt: skip

    def bump(self, name: str, minute: float, source: str, *, merged: float | None = None, extra="") -> None:
        """A bump of this place to the image built from a source commit."""
        image = f"Image: {NAME}:{source}\nDigest: {digest(source)}\nSource-Commit: {sha(source)}"
        self.write(
            name,
            minute,
            f"bump\n\n{image}\nPrevious: {self.env}/{self.app} v@{digest('x')}\n{extra}",
            merged=merged,
        )

    def tell(self, event: str, name: str, image: str, begun: float, moment: float, **more) -> None:
        """A report of Argo CD: a sync begun at one minute, and the fact at another."""
        images = (Reference(NAME, image, digest(image)),)
        fact = Fact(event, self.app, self.env, sha(name), at(moment), at(begun), images, **more)
        self.facts.append(fact)

    def live(self, name: str, image: str, begun: float, moment: float) -> None:
        self.tell(DEPLOYED, name, image, begun, moment, sync="Synced", health="Healthy")

    @property
    def histories(self) -> Histories:
        return Histories.of(DeployHistory(self.deploy), SourceHistory(self.source))

    def attempts(self) -> list[Attempt]:
        return attempts(self.facts, self.histories)

    def figures(self, **more):
        asked = {"environment": self.env, "since": DAY, "until": DAY + timedelta(days=14)} | more
        return measure(every(self.facts, self.histories), **asked)


def two_deployments() -> Story:
    """s1 went live; then s2 by a bump of minute 120, merged at 150, synced at 151, healthy at 155."""
    story = Story()
    story.push("s1", 0)
    story.bump("d1", 10, "s1")
    story.live("d1", "s1", 11, 12)
    story.push("s2", 100)
    story.bump("d2", 120, "s2", merged=150)
    story.live("d2", "s2", 151, 155)
    return story


def test_lead_time_is_that_of_each_new_commit_in_five_stages():
    """Build 20 min, queue 0, review 30 min, Argo CD 1 min, rollout 4 min; the first deployment has none."""
    story = two_deployments()
    first, second = story.attempts()
    assert (first.kind, first.changes) == ("images", ())
    (change,) = second.changes
    assert change.commit == sha("s2")
    assert change.seconds == (20 * 60, 0, 30 * 60, 60, 4 * 60) and change.lead == 55 * 60
    lead = story.figures().lead_time
    assert (lead.commits, lead.median, lead.p90, lead.skewed, lead.unknown) == (1, 3300, 3300, 0, 0)
    assert [(s.name, s.median) for s in lead.stages] == [
        ("build", 1200), ("queue", 0), ("review", 1800), ("argocd", 60), ("rollout", 240),
    ]  # fmt: skip


def test_queue_is_the_wait_between_the_first_bump_anywhere_and_the_change_for_this_environment():
    """Bumped into dev at minute 110, promoted at 200: the queue took 90 minutes."""
    story = two_deployments()
    story.push("s3", 300)
    dev = f"Image: {NAME}:s3\nDigest: {digest('s3')}\nSource-Commit: {sha('s3')}\nPrevious: dev/board v@{digest('s2')}"
    story.write("dev", 310, f"bump\n\n{dev}", paths=("overlays/dev/board/kustomization.yaml",))
    story.bump("d3", 400, "s3", merged=405)
    story.live("d3", "s3", 406, 408)
    (change,) = story.attempts()[-1].changes
    assert change.seconds == (10 * 60, 90 * 60, 5 * 60, 60, 2 * 60)


def test_no_op_sync_is_no_deployment():
    """The same images synced again, with no commit that concerns the place, count for nothing."""
    story = two_deployments()
    story.write("other", 500, "docs", paths=("README.md",))
    story.live("other", "s2", 501, 502)
    story.live("d2", "s2", 600, 601)
    figures = story.figures()
    assert (figures.frequency.count, figures.config_deployments) == (2, 0)
    assert len(story.attempts()) == 2


def test_commit_that_touches_the_overlay_alone_is_a_deployment_of_configuration():
    """It has its own count, and is neither in the frequency nor in the failure rate."""
    story = two_deployments()
    story.write("more-memory", 500, "more memory", paths=("overlays/prod/board/memory.yaml",))
    story.live("more-memory", "s2", 501, 502)
    story.write("base", 600, "probe", paths=("base/board/deployment.yaml",))
    story.live("base", "s2", 601, 602)
    figures = story.figures()
    assert [one.kind for one in story.attempts()] == ["images", "images", "config", "config"]
    assert (figures.frequency.count, figures.config_deployments, figures.change_failure.of) == (2, 2, 2)


def test_bump_that_is_reverted_in_time_has_failed_and_its_revert_is_a_rollback():
    """d2 live at 155, reverted at 200, healthy again at 204: failed from 155 on, recovered after 49 minutes."""
    story = two_deployments()
    story.write("r2", 200, f'Revert "bump"\n\nThis reverts commit {sha("d2")}.\n')
    story.live("r2", "s1", 201, 204)
    first, second, third = story.attempts()
    assert [one.kind for one in (first, second, third)] == ["images", "images", "rollback"]
    assert second.failure.reason == f"reverted by {sha('r2')[:12]}" and second.failure.at == at(155)
    assert (second.failure.recovered, second.failure.by) == (at(204), sha("r2"))
    assert third.failure is None and third.changes == ()
    figures = story.figures()
    assert (figures.frequency.count, figures.rollbacks) == (3, 1)
    assert (figures.change_failure.part, figures.change_failure.of) == (1, 3)
    assert figures.change_failure.rate == pytest.approx(1 / 3)
    assert figures.recovery.median == 49 * 60 and figures.recovery.open == 0
    assert (figures.rework.part, figures.rework.of) == (1, 3)


def test_bump_that_is_reverted_later_than_the_window_has_not_failed():
    """24 hours and a minute after it went live its removal is an ordinary change of mind."""
    story = two_deployments()
    late = 155 + 24 * 60 + 1
    story.write("r2", late, f'Revert "bump"\n\nThis reverts commit {sha("d2")}.\n')
    story.live("r2", "s1", late + 1, late + 2)
    assert [one.failure for one in story.attempts()] == [None, None, None]
    assert story.figures().change_failure.rate == 0


def test_revert_of_a_revert_is_a_deployment_and_does_not_fail_the_rollback():
    """It brings back what was there: an ordinary deployment, whose commits had been live before."""
    story = two_deployments()
    story.write("r2", 200, f'Revert "bump"\n\nThis reverts commit {sha("d2")}.\n')
    story.live("r2", "s1", 201, 204)
    story.write("rr2", 300, f'Reapply "bump"\n\nThis reverts commit {sha("r2")}.\n')
    story.live("rr2", "s2", 301, 303)
    made = story.attempts()
    assert [one.kind for one in made] == ["images", "images", "rollback", "images"]
    assert [bool(one.failure) for one in made] == [False, True, False, False]
    assert made[3].changes == ()
    assert story.figures().change_failure.part == 1


def test_rollback_by_command_fails_the_deployment_it_replaced():
    """`Rollback-To` on the place, two hours after: the deployment before it has failed."""
    story = two_deployments()
    message = f"Image: {NAME}:s1\nDigest: {digest('s1')}\nRollback-To: {sha('d1')}\nPrevious: prod/board v@{digest('s2')}"
    story.write("back", 275, f"rollback\n\n{message}\n")
    story.live("back", "s1", 276, 280)
    made = story.attempts()
    assert [one.kind for one in made] == ["images", "images", "rollback"]
    assert made[1].failure.reason == f"rolled back by {sha('back')[:12]}"
    assert (made[1].failure.at, made[1].failure.recovered) == (at(155), at(280))


def test_merge_that_is_reverted_takes_back_what_it_brought():
    """The bump came with a merge; reverting the merge fails the bump's deployment."""
    story = two_deployments()
    tip = story.deploy[0].sha
    story.push("s3", 300)
    story.bump("d3", 310, "s3")
    story.deploy[0] = bump = story.deploy[0]
    merge = DatedCommit(
        sha("m3"), "Merge pull request", (tip, bump.sha), author="ann", authored=at(330), committed=at(330),
        paths=bump.paths,
    )  # fmt: skip
    story.deploy.insert(0, merge)
    story.live("m3", "s3", 331, 335)
    story.write("r3", 400, f"Revert\n\nThis reverts commit {sha('m3')}, reversing\nchanges made to {tip}.\n")
    story.live("r3", "s2", 401, 402)
    made = story.attempts()
    assert [one.kind for one in made] == ["images", "images", "images", "rollback"]
    assert made[2].failure.reason.startswith("reverted by") and made[2].failure.recovered == at(402)
    (change,) = made[2].changes
    assert change.seconds == (600, 0, 20 * 60, 60, 4 * 60)


def test_two_commits_in_one_deployment_are_one_deployment_with_two_lead_times():
    """s2 (minute 100) and s3 (minute 130) go live together at 200: 100 and 70 minutes, median 85."""
    story = Story()
    story.push("s1", 0)
    story.bump("d1", 10, "s1")
    story.live("d1", "s1", 11, 12)
    story.push("s2", 100)
    story.push("s3", 130)
    story.bump("d3", 190, "s3")
    story.live("d3", "s3", 195, 200)
    figures = story.figures()
    assert figures.frequency.count == 2
    assert (figures.lead_time.commits, figures.lead_time.median, figures.lead_time.p90) == (2, 5100, 6000)


def test_bumps_that_argo_cd_skipped_count_with_the_one_that_it_synced():
    """Two bumps, one sync of the second: one deployment, both commits, each from its own bump."""
    story = Story()
    story.push("s1", 0)
    story.bump("d1", 10, "s1")
    story.live("d1", "s1", 11, 12)
    story.push("s2", 100)
    story.bump("d2", 110, "s2")
    story.push("s3", 120)
    story.bump("d3", 125, "s3")
    story.live("d3", "s3", 126, 130)
    changes = story.attempts()[-1].changes
    assert [(c.commit, c.seconds) for c in changes] == [
        (sha("s2"), (600, 0, 0, 16 * 60, 240)),
        (sha("s3"), (300, 0, 0, 60, 240)),
    ]


def test_merges_of_the_source_have_no_lead_time_of_their_own():
    """A merge brings work and is none; what it merged counts once."""
    story = two_deployments()
    story.push("side", 300, parents=("s2",))
    story.push("merge", 310, parents=("s2", "side"))
    story.bump("d3", 320, "merge")
    story.live("d3", "merge", 321, 330)
    assert [c.commit for c in story.attempts()[-1].changes] == [sha("side")]


def test_clock_skew_never_makes_a_stage_negative_and_is_counted():
    """A commit dated after its deployment has a lead time of 0; stages that would overlap are cut."""
    story = two_deployments()
    story.push("future", 9000)
    story.bump("d3", 300, "future")
    story.live("d3", "future", 301, 305)
    (change,) = story.attempts()[-1].changes
    assert change.seconds == (0, 0, 0, 0, 0) and change.skewed
    story.push("fast", 9010)
    story.source[0] = DatedCommit(**{**story.source[0].__dict__, "committed": at(400)})
    story.bump("d4", 399, "fast")
    story.live("d4", "fast", 401, 405)
    (change,) = story.attempts()[-1].changes
    assert change.seconds == (0, 0, 0, 60, 240) and change.skewed
    assert story.figures().lead_time.skewed == 2


def test_failure_still_open_is_listed_and_in_no_recovery_time():
    """Degraded at minute 170 and never healthy again: one failure of two, open, recovery undefined."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 170, health="Degraded")
    figures = story.figures()
    (failed,) = figures.failures
    assert (failed.reason, failed.at, failed.recovered_at, failed.seconds) == (
        "degraded",
        at(170),
        None,
        None,
    )
    assert (figures.recovery.open, figures.recovery.count, figures.recovery.median) == (1, 0, None)
    assert figures.change_failure.rate == 0.5


def test_failure_that_heals_by_itself_is_over_when_it_is_healthy_again():
    """Degraded at 170, healthy at 190 without any change: 20 minutes."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 170, health="Degraded")
    story.live("d2", "s2", 151, 190)
    (failed,) = story.figures().failures
    assert (failed.recovered_at, failed.recovered_by, failed.seconds) == (at(190), sha("d2"), 20 * 60)
    assert story.figures().frequency.count == 2


def test_degraded_after_the_window_is_not_the_deployments_failure():
    """What breaks two days later is an incident, and no failed deployment."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 155 + 24 * 60 + 1)
    assert story.figures().change_failure.part == 0


def test_degraded_since_before_the_sync_is_the_earlier_deployments_failure():
    """d2 broke at 170; d3's sync at 201 found it so: d3 has not failed, and mended it at 210."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 170)
    story.push("s3", 180)
    story.bump("d3", 200, "s3")
    story.tell(DEGRADED, "d3", "s3", 201, 170)
    story.live("d3", "s3", 201, 210)
    made = story.attempts()
    assert [bool(one.failure) for one in made] == [False, True, False]
    assert (made[1].failure.recovered, made[1].failure.by) == (at(210), sha("d3"))


def test_sync_that_failed_is_a_failed_deployment_that_never_went_live():
    """It is in the failure rate, not in the frequency; its commits count with the deployment that brings them live."""
    story = two_deployments()
    story.push("s3", 300)
    story.bump("d3", 310, "s3")
    story.tell(SYNC_FAILED, "d3", "s2", 311, 312, message="one or more objects failed to apply")
    story.push("s4", 330)
    story.bump("d4", 340, "s4")
    story.live("d4", "s4", 341, 345)
    figures = story.figures()
    assert figures.frequency.count == 3
    assert (figures.change_failure.part, figures.change_failure.of) == (1, 4)
    assert figures.recovery.median == 33 * 60
    assert [c.commit for c in story.attempts()[-1].changes] == [sha("s3"), sha("s4")]


def test_return_after_a_failed_sync_is_a_rollback_although_nothing_else_ever_ran():
    """The failed sync's images never ran, so the digests are those of before: Git tells that it went back."""
    story = two_deployments()
    story.push("s3", 300)
    story.bump("d3", 310, "s3")
    story.tell(SYNC_FAILED, "d3", "s2", 311, 312)
    story.write("r3", 320, f"Revert\n\nThis reverts commit {sha('d3')}.\n")
    story.live("r3", "s2", 321, 322)
    made = story.attempts()
    assert [one.kind for one in made] == ["images", "images", "images", "rollback"]
    assert made[2].live is None and made[2].failure.recovered == at(322)


def test_change_that_says_what_it_repairs_fails_that_deployment():
    """`Fixes-Deploy` within the window: a failure nobody's probes saw, and rework."""
    story = two_deployments()
    story.push("s3", 180)
    story.bump("d3", 200, "s3", extra=f"Fixes-Deploy: {sha('d2')[:12]}\n")
    story.live("d3", "s3", 201, 210)
    made = story.attempts()
    assert made[1].failure.reason == f"repaired by {sha('d3')[:12]}"
    assert (made[1].failure.at, made[1].failure.recovered) == (at(155), at(210))
    figures = story.figures()
    assert (figures.change_failure.part, figures.rework.part, figures.frequency.count) == (1, 1, 3)


def test_no_deployment_at_all_is_undefined_and_not_zero():
    """No rate, no time: there is nothing to divide by."""
    figures = Story().figures()
    assert figures.frequency.count == 0
    assert (figures.frequency.per_day, figures.frequency.per_week) == (None, None)
    undefined = (figures.lead_time, figures.recovery)
    assert all(one.median is None and one.p90 is None for one in undefined)
    assert figures.change_failure.rate is None and figures.rework.rate is None
    assert all(stage.median is None for stage in figures.lead_time.stages)


def test_frequency_counts_whole_weeks_back_from_the_end():
    """2 deployments in the first of two weeks: 2 in 14 days, and 1 in the median week."""
    frequency = two_deployments().figures().frequency
    assert (frequency.count, frequency.per_day, frequency.per_week) == (2, 2 / 14, 1)
    short = two_deployments().figures(until=DAY + timedelta(days=6)).frequency
    assert (short.count, short.per_week) == (2, None)


def test_sync_under_way_is_not_counted_yet():
    """Begun and neither healthy nor failed: it decides nothing."""
    story = two_deployments()
    story.push("s3", 300)
    story.bump("d3", 310, "s3")
    story.tell(RUNNING, "d3", "s3", 311, 311)
    assert story.attempts()[-1].decided is None
    assert story.figures().change_failure.of == 2


def test_without_git_the_images_alone_tell():
    """Revisions that the deploy repository does not have: digests decide, and the tags name the source."""
    story = Story()
    for name, image, minute in (("a", "x", 0), ("b", "y", 100), ("a2", "x", 200), ("a3", "x", 300)):
        story.live(name, image, minute, minute + 1)
    assert [one.kind for one in story.attempts()] == ["images", "images", "rollback"]


def test_image_from_a_commit_that_nobody_knows_is_counted_as_unknown():
    """Its lead time is not known, which is said rather than guessed."""
    story = two_deployments()
    story.bump("d3", 300, "elsewhere")
    story.live("d3", "elsewhere", 301, 302)
    lead = story.figures().lead_time
    assert (lead.commits, lead.unknown) == (1, 1)


def test_the_time_looked_at_leaves_out_what_was_decided_elsewhere():
    """Begin included, end not; a failure that ended after it is open."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 170)
    story.live("d2", "s2", 151, 190)
    assert story.figures(since=at(155)).frequency.count == 1
    assert story.figures(until=at(155)).frequency.count == 1
    assert story.figures(until=at(180)).recovery.open == 1
    assert story.figures(application="other").frequency.count == 0


@given(seed=st.integers(0, 10_000), again=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_order_and_repetition_of_the_events_change_nothing(seed, again):
    """Replayed from empty, shuffled, or told twice: the same figures."""
    story = two_deployments()
    story.tell(DEGRADED, "d2", "s2", 151, 170)
    story.write("r2", 200, f"Revert\n\nThis reverts commit {sha('d2')}.\n")
    story.tell(RUNNING, "r2", "s1", 201, 201)
    story.live("r2", "s1", 201, 204)
    wanted = story.figures()
    shuffler = random.Random(seed)
    story.facts += shuffler.choices(story.facts, k=again)
    shuffler.shuffle(story.facts)
    assert story.figures() == wanted


def test_nearest_rank_is_a_value_that_occurred():
    """The smallest value that 90 of 100 do not exceed."""
    assert nearest_rank(list(range(1, 11)), 90) == 9
    assert nearest_rank([5], 90) == 5 and nearest_rank([], 90) is None
    assert nearest_rank(list(range(1, 12)), 90) == 10


def test_moment_of_an_event_is_when_both_sync_and_health_were_so():
    """Healthy after the sync counts from then; a health older than the sync says nothing of it."""
    base = {
        "application": "board",
        "environment": "dev",
        "revision": "abc",
        "started_at": at(10),
        "finished_at": at(12),
    }
    moments = {
        (DEPLOYED, 15): 15, (DEPLOYED, 11): 12, (DEPLOYED, 5): 12, (DEPLOYED, None): 12,
        (DEGRADED, 30): 30, (DEGRADED, 5): 5, (DEGRADED, None): 12,
        (SYNC_FAILED, 30): 12, (RUNNING, 30): 10,
    }  # fmt: skip
    for (event, changed), wanted in moments.items():
        health = at(changed) if changed is not None else "null"
        assert Event(event=event, health_changed_at=health, **base).fact().at == at(wanted), (event, changed)


def test_log_gives_facts_and_names_what_is_none():
    """Other files are passed over; a JSON file that is no event is told, and stops nothing."""
    body = Event(
        event=DEPLOYED,
        application="board",
        environment="dev",
        revision="abc",
        finished_at=at(1),
        images=["a/b:c"],
    ).model_dump_json()
    facts, unreadable = parse_log(
        [("README.md", b"hello"), ("dev/board/1.json", body.encode()), ("dev/board/2.json", b"{}")]
    )
    assert [(f.event, f.at, f.images) for f in facts] == [(DEPLOYED, at(1), (Reference("a/b", "c"),))]
    assert unreadable == ["dev/board/2.json"]
