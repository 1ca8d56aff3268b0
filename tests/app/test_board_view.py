"""How the board puts things for a reader, and how it arranges them; without a page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import board_stub
import pytest
from board_frontend import charts, figures, grid, period, view
from board_frontend.markup import render
from board_frontend.schema import (
    Compared,
    Deployment,
    Figures,
    Image,
    ImagePair,
    Overview,
    Vulnerabilities,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def overview(**fields) -> Overview:
    return Overview.model_validate(board_stub.many(10) | fields)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "< 1 min"), (0, "< 1 min"), (59, "< 1 min"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"),
     (86399, "23 h"), (86400, "1 day"), (40 * 86400, "40 days")],
)  # fmt: skip
def test_ages_are_rounded_down_to_one_unit(seconds, text):
    """A clock that is ahead gives no negative age, and no page changes every second."""
    assert view.age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "undefined"), (0, "0 s"), (0.25, "0.2 s"), (59.9, "59 s"), (60, "1 min"), (3725, "1 h 2 min"),
     (3601, "1 h"), (86400, "1 day"), (90061, "1 day 1 h"), (86400 * 12 + 59, "12 days")],
)  # fmt: skip
def test_durations_have_their_two_largest_units(seconds, text):
    """What is not defined is not 0."""
    assert view.span(seconds) == text


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("main-20260101T000000Z-abc1234", "main · abc1234"),
        ("feature-x-20260101T000000Z-" + "a" * 40, "feature-x · aaaaaaa"),
        ("1.4.2-abc1234", "1.4.2-abc1234"),
        ("v2", "v2"),
        (None, "several versions"),
        ("", "several versions"),
    ],
)
def test_a_version_is_shown_by_what_tells_it_apart(tag, text):
    """The pipeline's own tags by branch and commit, a release as it is."""
    assert view.version(tag) == text


def test_short_forms_cope_with_what_is_missing():
    """No commit, no digest, no tag, no time."""
    assert view.short(None) == "–" and view.short("a" * 40) == "aaaaaaa"
    assert view.pinned(Image(name="a/b", tag="15")) == "b:15"
    assert view.pinned(Image(name="a/b", tag="1", digest="sha256:" + "c" * 64)) == "b:1@cccccccccccc"
    assert view.pinned(Image(name="b")) == "b"
    assert view.moment(None) == view.size(None) == "unknown"


@pytest.mark.parametrize(
    ("state", "commits", "text"),
    [("behind", 3, "3 commits behind dev"), ("behind", 1, "1 commit behind dev"), ("behind", None, "behind dev"),
     ("different", None, "differs from dev"), ("same", 0, ""), ("unknown", None, "unknown against dev")],
)  # fmt: skip
def test_drift_is_put_in_words(state, commits, text):
    """Against the environment that it is promoted from."""
    assert view.compared(Compared(to="dev", state=state, commits=commits)) == text


@pytest.mark.parametrize(
    ("now", "next_", "change", "tone"),
    [(100_000_000, 102_500_000, "+2.5 MB (+2.5 %)", "bad"), (2_000_000, 1_500_000, "−500.0 kB (-25.0 %)", "ok"),
     (5, 5, "same", "none"), (None, 5, "unknown", "none"), (5, None, "unknown", "none"), (0, 1000, "+1.0 kB", "bad")],
)  # fmt: skip
def test_a_difference_in_size_is_from_what_runs_to_what_would_ship(now, next_, change, tone):
    """Unknown when one of them is, and never 0 then."""
    pair = ImagePair.model_validate({"name": "a", "from": {"size": next_}, "to": {"size": now}})
    found = view.size_difference(pair)
    assert (found.change, found.tone) == (change, tone)


def test_a_difference_in_vulnerabilities_is_judged_by_the_worst():
    """One critical more is bad whatever else there is less of; no scan is unknown."""

    def difference(now: dict | None, ship: dict | None) -> tuple[str, str]:
        pair = {"name": "a", "to": {"vulnerabilities": now}, "from": {"vulnerabilities": ship}}
        found = view.vulnerability_difference(ImagePair.model_validate(pair))
        return found.change, found.tone

    assert difference({"high": 9}, {"critical": 1}) == ("+1 critical, −9 high", "bad")
    assert difference({"high": 2}, {"high": 1, "low": 7}) == ("−1 high, +7 low", "ok")
    assert difference({"low": 1}, {"low": 1}) == ("same", "none")
    assert difference(None, {}) == difference({}, None) == ("unknown", "none")
    assert view.vulnerability_difference(ImagePair(name="a")).before == "unknown"
    assert view.vulnerabilities(Vulnerabilities()) == "none"


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:text/html,x", "//evil", "/x", "http://[", "", None, "ftp://x"]
)
def test_only_a_web_page_is_linked_to(address):
    """Whatever the backend was told."""
    assert view.link(address) is None
    assert view.link("https://git.test/a") == "https://git.test/a"


def test_templates_escape_what_they_are_given():
    """Also in attributes."""
    html = render("changes.html", changes=[{"commit": '"><script>', "subject": "<b>", "author": "&", "committed_at": None}], now=NOW, asked="")  # fmt: skip
    assert "<script>" not in html and "<b>" not in html and "&amp;" in html


def test_environments_are_in_the_policys_order_and_then_in_the_configured_one():
    """One that only a place names is there too."""
    known = overview(environments=[{"name": "prod", "order": 2}, {"name": "dev", "order": 0}])
    assert [one.name for one in grid.environments(known)] == ["dev", "prod", "staging"]
    unordered = overview(environments=[])
    assert [one.name for one in grid.environments(unordered, ("prod", "dev"))] == ["prod", "dev", "staging"]


def test_the_grid_has_a_cell_for_each_application_and_environment():
    """Empty where it is not deployed; an application that is nowhere in sight is left out."""
    places = (board_stub.place("desk", "dev"), board_stub.place("shop", "prod"))
    both = Overview.model_validate(board_stub.now(*places))
    found = grid.arrange(both)
    assert [(row.application, [cell is not None for cell in row.cells]) for row in found.rows] == [
        ("desk", [True, False, False]),
        ("shop", [False, False, True]),
    ]
    assert [row.application for row in grid.arrange(both, environment="prod").rows] == ["shop"]
    assert [row.application for row in grid.arrange(both, application="ES").rows] == ["desk"]


@pytest.mark.parametrize(
    ("fields", "needed"),
    [({}, False), ({"health": "Degraded"}, True), ({"health": "Progressing", "rolling": True, "wanted": {"version": "v2"}}, False),
     ({"failure": {"reason": "x", "at": board_stub.ago()}}, True), ({"hold": {"by": "x"}}, True),
     ({"wanted": {"version": "v2"}}, True), ({"health": ""}, False)],
)  # fmt: skip
def test_attention_is_for_what_does_not_mend_itself(fields, needed):
    """A rollout under way is none."""
    one = Overview.model_validate(board_stub.now(board_stub.place(**fields)))
    assert bool(grid.arrange(one, attention=True).rows) is needed


def test_states_are_counted_once():
    """A failed place that is degraded is one failure."""
    assert grid.counts(grid.arrange(overview())) == {
        "deployed": 30, "rolling": 1, "failed": 1, "degraded": 0, "held": 1,
    }  # fmt: skip


def test_the_same_is_asked_for_a_while():
    """The address of a question does not change with every second."""
    asked = {period.last("7 days", NOW + timedelta(seconds=s)).query["since"] for s in range(0, 3600, 60)}
    assert asked == {"2026-04-24T12:00:00Z"}
    assert period.last("24 hours", NOW + timedelta(seconds=299)).query == {"since": "2026-04-30T12:00:00Z", "until": None}  # fmt: skip
    assert period.between(date(2026, 2, 28), date(2026, 2, 28)).query == {
        "since": "2026-02-28T00:00:00Z",
        "until": "2026-03-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("fields", "text"),
    [({}, "deployed"), ({"kind": "rollback"}, "rolled back"), ({"kind": "config"}, "configuration"),
     ({"state": "running"}, "running"), ({"state": "superseded"}, "superseded"), ({"state": "failed"}, "failed"), ({"kind": "novel"}, "deployed"),
     ({"kind": "rollback", "failure": {"reason": "x", "at": board_stub.ago()}}, "failed")],
)  # fmt: skip
def test_what_became_of_a_deployment_is_one_word(fields, text):
    """A failure is one whatever was tried."""
    assert charts.outcome(Deployment.model_validate(board_stub.deployment(**fields))) == text


def test_the_chart_has_a_lane_for_each_environment_or_application():
    """Shape and colour say the same; a text is data, not a formula."""
    items = [
        Deployment.model_validate(board_stub.deployment(n, application=a, subject=board_stub.HOSTILE))
        for n, a in enumerate(("shop", "desk"))
    ]
    by_environment = charts.timeline(items, ["dev"], by="environment").to_dict()
    assert by_environment["encoding"]["yOffset"]["field"] == "application"
    assert by_environment["encoding"]["shape"]["field"] == by_environment["encoding"]["color"]["field"]
    by_application = charts.timeline(items, ["shop", "desk"], by="application").to_dict()
    assert by_application["encoding"]["y"]["scale"]["domain"] == ["shop", "desk"]
    assert "yOffset" not in by_application["encoding"]
    assert by_application["height"] > by_environment["height"] - 14


def test_each_figure_says_what_it_is_made_of():
    """Value, parts, definition and formula."""
    found = figures.cards(Figures.model_validate(board_stub.figures()))
    assert [card.value for card in found] == ["11.0 a week", "1 h 42 min", "21 min", "5.9 %", "3.3 %"]
    assert found[0].detail.startswith("143 deployments, 1.59 a day; 4 rollbacks among them")
    assert (
        "311 commits, 2 with clocks that disagree, 1 image of a commit that is not known" in found[1].detail
    )
    assert found[2].detail == "p90 2 h 5 min; 8 recovered, 1 still open."
    assert found[3].detail == "9 of 152 deployments failed."
    assert all(card.definition and card.formula for card in found)
    assert "within 24 h" in found[3].formula


def test_a_figure_without_a_deployment_is_undefined_and_says_why():
    """Never 0."""
    found = figures.cards(Figures.model_validate(board_stub.nothing_measured()))
    assert {card.value for card in found} == {"undefined"}
    assert all(card.detail.startswith("No ") for card in found)


def test_a_failure_that_is_still_open_leaves_the_recovery_time_undefined():
    """And is counted."""
    open_ = board_stub.figures(recovery={"median": None, "p90": None, "count": 0, "open": 2})
    card = figures.cards(Figures.model_validate(open_))[2]
    assert (card.value, card.detail) == ("undefined", "No failure is over yet, 2 still open.")


def test_days_alone_give_a_frequency_per_day():
    """A time shorter than a week has no week to count."""
    short = board_stub.figures(frequency={"count": 3, "per_day": 1.5, "per_week": None})
    assert figures.cards(Figures.model_validate(short))[0].value == "1.50 a day"
    rare = board_stub.figures(frequency={"count": 1, "per_day": 1 / 365, "per_week": 0.0})
    assert "1 deployment, less than 0.01 a day" in figures.cards(Figures.model_validate(rare))[0].detail
