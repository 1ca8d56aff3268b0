"""What each of the board's pages shows of what the backend says."""

from __future__ import annotations

import board_stub
import pytest
from board_stub import ago, place, sha

pytest_plugins = ["board_apptest"]


def test_a_place_shows_with_all_that_identifies_it(open_page, backend):
    """Version, subject, age and health; links to commit, deploy commit, Argo CD and the change's own page."""
    page = open_page(backend.url, "now")
    commit, revision = sha("shop"), sha("shopdev")
    for text in (
        f"main · {commit[:7]}",
        "Let shop answer sooner",
        "3 h",
        "Healthy",
        f"deploy {revision[:7]}",
    ):
        assert text in page.text
    assert page.links[:4] == [
        f"http://git.test/source/commit/{commit}",
        f"http://git.test/deploy/commit/{revision}",
        "http://argocd.test/applications/argocd/dev-shop",
        f"change?change={commit}",
    ]
    names = [attributes["aria-label"] for tag, attributes in page.elements if tag == "a"]
    assert len(names) == len(set(names)), "two links are called the same"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"rolling": True, "wanted": {"version": "v2"}}, "rolling to v2"),
        ({"rolling": True}, "rolling"),
        ({"wanted": {"version": "v2"}}, "Git names v2"),
        ({"failure": {"reason": "sync failed", "at": ago(hours=5.5)}}, "failed 5 h ago: sync failed"),
        ({"hold": {"by": "Olga", "since": None, "reason": "INC-1"}}, "held by Olga: INC-1"),
        ({"compared": {"to": "dev", "state": "behind", "commits": 2}}, "2 commits behind dev"),
        ({"compared": {"to": "dev", "state": "different", "commits": None}}, "differs from dev"),
        ({"sync": "OutOfSync"}, "OutOfSync"),
        ({"health": ""}, "Unknown"),
        ({"health": "Novel"}, "Novel"),
        ({"version": None}, "several versions"),
        ({"links": {}, "running_since": None, "commit": None}, "main · "),
        ({"version": None, "images": [], "deployed_at": None, "running_since": None}, "nothing runs yet"),
        ({"version": None, "images": []}, "unknown version"),
    ],
)
def test_a_place_shows_what_is_out_of_the_ordinary(open_page, backend, fields, text):
    """In words, whatever its colour."""
    backend.answers["/api/now"] = board_stub.now(place(), place(environment="staging", **fields))
    assert text in open_page(backend.url, "now").text


def test_what_is_as_it_should_be_is_not_marked(open_page, backend):
    """A page full of badges says nothing."""
    same = {"compared": {"to": "dev", "state": "same", "commits": 0}}
    backend.answers["/api/now"] = board_stub.now(place(environment="staging", **same))
    page = open_page(backend.url, "now")
    assert not [one for one in page.elements if "badge" in one[1].get("class", "")]


def test_a_freeze_shows_at_its_environment_with_reason_and_end(open_page, backend):
    """Also one without an end."""
    answer = backend.answers["/api/now"]
    answer["environments"][2]["freeze"] = {"name": "xmas", "reason": "holidays", "until": "2026-12-27T00:00:00Z", "text": "t"}  # fmt: skip
    answer["environments"][1]["freeze"] = {"name": "audit", "reason": "", "until": None, "text": ""}
    text = open_page(backend.url, "now").text
    assert "frozen until 2026-12-27 00:00 UTC holidays" in text and "frozen audit" in text


def test_the_grid_follows_its_filters(open_page, backend):
    """Environment, part of a name, and what needs attention."""
    backend.answers["/api/now"] = board_stub.many()
    page = open_page(backend.url, "now", {"environment": "staging", "attention": "true"})
    assert [attributes["scope"] for tag, attributes in page.elements if tag == "th"].count("row") == 1
    assert "failed" in page.text and "from dev" in page.text and "from staging" not in page.text
    page.at.text_input(key="name").set_value("nothing").run()
    assert page.boxes("info") == ["No application in staging has “nothing” in its name and needs attention."]
    page.at.text_input(key="name").set_value("")
    page.at.selectbox(key="environment").set_value("dev").run()
    assert page.at.success[0].value == "Nothing needs attention."


def test_a_promotion_that_is_blocked_says_by_what_and_until_when(open_page, backend):
    """And offers no command."""
    reason = "prod is frozen (xmas: holidays) until 2026-12-27 00:00 UTC"
    backend.answers["/api/promotion"] = board_stub.promotion(
        blocked=[reason], notes=["soaks for 10 min more"]
    )
    page = open_page(backend.url, "promotion")
    assert (
        "Blocked What is shown here waits" in page.text
        and reason in page.text
        and "soaks for 10 min more" in page.text
    )
    assert not page.at.code


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"state": "nothing", "commits": [], "images": []},
            "Nothing to ship Both environments run the same",
        ),
        ({"state": "unknown"}, "Unknown The backend cannot tell"),
        ({"state": "novel"}, "Unknown The backend cannot tell"),
        ({"images": [{"name": "a/new", "from": board_stub.facts(1), "to": None}]}, "not there"),
    ],
)
def test_a_promotion_says_what_there_is_to_ship(open_page, backend, fields, text):
    """Unknown is not nothing."""
    backend.answers["/api/promotion"] = board_stub.promotion(**fields)
    assert text in open_page(backend.url, "promotion").text


def test_a_promotion_is_asked_for_as_chosen(open_page, backend):
    """To the last environment of the chain unless the address says otherwise; with the command for it."""
    page = open_page(backend.url, "promotion")
    assert page.at.selectbox(key="to").options == ["staging", "prod"]
    assert page.at.code[0].value == "slipway promote shop --to prod"
    page.at.selectbox(key="to").set_value("staging").run()
    assert "/api/promotion?application=shop&to=staging" in backend.asked


def test_a_chain_of_one_environment_has_nothing_to_promote(open_page, backend):
    """It says how that would change."""
    backend.answers["/api/now"] = board_stub.now(place(), chain=("dev",))
    assert (
        "No environment is promoted from another one" in open_page(backend.url, "promotion").boxes("info")[0]
    )


def test_the_timeline_asks_for_what_its_filters_say(open_page, backend):
    """All of them from the address."""
    query = {"application": "shop", "environment": "prod", "kind": "Rollbacks", "period": "Between two days", "days": ["2026-02-01", "2026-02-03"]}  # fmt: skip
    open_page(backend.url, "timeline", query)
    assert [address for address in backend.asked if "deployments" in address] == [
        "/api/deployments?application=shop&environment=prod&kind=rollback&limit=1000"
        "&since=2026-02-01T00%3A00%3A00Z&until=2026-02-04T00%3A00%3A00Z"
    ]
    open_page(backend.url, "timeline", {"kind": "Failures"})
    assert any("failed=true" in address for address in backend.asked)


def test_the_timelines_table_has_what_the_chart_has(open_page, backend):
    """In pages, newest first; a failure with its reason and its end."""
    page = open_page(backend.url, "timeline")
    rows = [one for one in page.elements if one[0] == "tr"]
    assert len(rows) == 51 and "sync failed, recovered after 24 min" in page.text
    assert len(page.at.get("vega_lite_chart")) == 1
    second = open_page(backend.url, "timeline", {"page": "2"})
    assert len([one for one in second.elements if one[0] == "tr"]) == 11


def test_a_failure_that_is_not_over_says_so(open_page, backend):
    """Not as recovered after nothing."""
    failure = {"reason": "degraded", "at": ago(minutes=3), "recovered_at": None, "by": None}
    backend.answers["/api/deployments"] = {"items": [board_stub.deployment(failure=failure)], "next": "more"}
    page = open_page(backend.url, "timeline")
    assert "degraded, still open" in page.text
    assert "Shown are the newest 1,000" in page.boxes("info")[0]


def test_a_time_in_which_nothing_happened_is_said_in_words(open_page, backend):
    """There is no empty chart."""
    backend.answers["/api/deployments"] = {"items": [], "next": None}
    page = open_page(backend.url, "timeline")
    assert "Nothing of this kind happened" in page.boxes("info")[0]
    assert not page.at.get("vega_lite_chart")


def test_the_figures_are_asked_for_as_chosen(open_page, backend):
    """Of the last environment and 90 days unless the address says otherwise; with the command for the same."""
    page = open_page(backend.url, "dora", {"application": "shop"})
    (asked,) = [address for address in backend.asked if "dora" in address]
    assert asked.startswith("/api/dora?application=shop&environment=prod&since=") and "until" not in asked
    assert page.at.code[0].value.startswith("slipway dora --env prod --since ")
    assert "still open" in page.text and "first bump – change for this environment" in page.text


def test_figures_of_nothing_are_undefined_with_the_reason(open_page, backend):
    """On every card, in the stages and for the failures."""
    backend.answers["/api/dora"] = board_stub.nothing_measured()
    page = open_page(backend.url, "dora")
    assert page.text.count("undefined") >= 5 and "There was no deployment that could have failed" in page.text
    assert "0 %" not in page.text and not page.at.get("vega_lite_chart")


def test_no_failure_is_not_the_same_as_no_deployment(open_page, backend):
    """It is good news, with the number it is about."""
    backend.answers["/api/dora"] = board_stub.figures(failures=[])
    assert "None of the 152 deployments failed." in open_page(backend.url, "dora").text


def test_a_change_has_the_words_of_slipway_live_and_the_time_of_each_step(open_page, backend):
    """One answer for each environment; what has not happened is not yet, not 0."""
    page = open_page(backend.url, "change", {"change": " 359bf6a "})
    assert "/api/changes/359bf6a" in backend.asked
    for text in ("live 2 of 2 Pods run exactly this", "rolling 1 of 2 Pods are ready", "not-there not promoted", "Next: `slipway promote shop --to prod`", "after 3 min 4 s", "Live not yet"):  # fmt: skip
        assert text in page.text, page.text
    assert "Argo CD was not asked" not in page.text


def test_a_change_that_argo_cd_was_not_asked_about_says_so(open_page, backend):
    """An image without a source commit has a page too, and an environment without a verdict its steps."""
    backend.answers["/api/changes/*"] = board_stub.change(live_known=False, commit=None, text="shop@sha256:1", verdicts=[])  # fmt: skip
    page = open_page(backend.url, "change", {"change": "shop@sha256:1"})
    assert "Argo CD was not asked" in page.text and "No source commit is known for it" in page.text
    assert "staging shop rolling" in page.text


def test_a_change_nobody_knows_is_said_in_the_backends_words(open_page, backend):
    """Beside the list of those that it knows."""
    backend.answers["/api/changes/*"] = None
    page = open_page(backend.url, "change", {"change": "0000000"})
    assert page.boxes("info") == ["Nothing records this."]
    assert "Recent changes" in page.text


def test_recent_changes_lead_to_their_pages(open_page, backend):
    """Eight of them, by commit."""
    page = open_page(backend.url, "change")
    assert page.links == [f"change?change={sha(('c', n))}" for n in range(8)]


def test_each_application_is_a_heading_of_its_row(open_page, backend):
    """For a reader who hears the table."""
    backend.answers["/api/now"] = board_stub.many(6)
    page = open_page(backend.url, "now")
    headings = [attributes for tag, attributes in page.elements if tag == "th"]
    assert sum(one["scope"] == "row" for one in headings) == 6
    assert sum(one["scope"] == "col" for one in headings) == 4
    assert all("role" in one for one in headings)
