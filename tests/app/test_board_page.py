"""The page «Now» in each of its states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import streamlit as st
from board_frontend import view
from board_frontend.schema import Deployment, Image
from board_frontend.settings import Settings, SettingsError
from board_testing import BOARD, free_port, image
from streamlit.testing.v1 import AppTest

APP = BOARD / "frontend" / "board_frontend" / "app.py"


@pytest.fixture
def page(monkeypatch):
    """Opens the page on an API; whatever it showed, it never showed an exception."""
    opened: list[AppTest] = []

    def open_page(url: str, query: str | None = None, **env: str) -> AppTest:
        for name, value in {"BOARD_API_URL": url, "BOARD_TIMEOUT_SECONDS": "0.3", **env}.items():
            monkeypatch.setenv(name, value)
        at = AppTest.from_file(APP, default_timeout=20)
        if query is not None:
            at.query_params["environment"] = query
        opened.append(at)
        return again(at)

    yield open_page
    assert opened, "the test opened no page"
    for at in opened:
        assert not at.exception, at.exception[0].value


def again(at: AppTest) -> AppTest:
    """What the page shows at its next refresh."""
    st.cache_data.clear()
    return at.run()


def shown(at: AppTest) -> str:
    return "\n".join(str(e.value) for kind in (at.title, at.subheader, at.markdown, at.caption) for e in kind)


def test_a_running_version_shows_with_all_that_identifies_it(page, board):
    """Version, source commit, digests, deploy commit, age and health."""
    board.stored(commit="abc1234", finished_at=(datetime.now(UTC) - timedelta(hours=3)).isoformat())
    at = page(board.url)
    assert [h.value for h in at.subheader] == ["shop"]
    for text in (
        "**lab**",
        "main-20260101T000000Z-abc1234",
        "`abc1234`",
        "`aaaaaaaaaaaa`",
        "`0000000`",
        "**3 h**",
    ):
        assert text in shown(at)
    assert "Healthy" in shown(at)
    assert not at.warning and not at.error and not at.info


def test_each_application_has_a_cell_for_each_environment(page, board):
    """In the configured order, others by name behind; where nothing runs it says so."""
    for environment in ("alpha", "beta", "gamma"):
        board.stored(environment=environment)
    board.stored(application="desk", environment="beta")
    at = page(board.url, BOARD_ENVIRONMENTS="gamma, unknown,alpha")
    names = [m.value for m in at.markdown if m.value in ("**alpha**", "**beta**", "**gamma**")]
    assert [h.value for h in at.subheader] == ["desk", "shop"]
    assert names == ["**gamma**", "**alpha**", "**beta**"] * 2
    assert shown(at).count("Not deployed") == 2


def test_a_new_deployment_shows_at_the_next_refresh(page, board):
    """Without opening the page anew."""
    board.stored(minute=1, commit="1111111")
    at = page(board.url)
    board.stored(minute=2, commit="2222222", event="on-deployed")
    board.stored(minute=2, event="on-health-degraded", health="Degraded")
    again(at)
    assert "`2222222`" in shown(at) and "1111111" not in shown(at)
    assert "Degraded" in shown(at)


def test_different_versions_of_the_parts_show_as_such(page, board):
    """Not as the version of one of them."""
    board.stored(images=[image(commit="abc1234"), image("board-frontend", "def5678")])
    assert "several versions" in shown(page(board.url))


def test_nothing_deployed_is_said_in_words(page, board):
    """An empty board is not a broken one."""
    at = page(board.url)
    assert "Nothing has been deployed yet" in at.info[0].value
    assert not at.error and not at.warning and not at.subheader


def test_a_backend_that_is_down_is_said_in_words_and_its_return_noticed(page, start, sqlite_url, stub):
    """One box, no traceback; the rest of the page stands."""
    stub.status = 503
    at = page(stub.url)
    assert "cannot answer right now (status 503)" in at.error[0].value
    assert "Trying again every 2 s" in at.error[0].value
    assert at.title[0].value == "Now" and "Release board" in shown(at)
    stub.status = 200
    again(at)
    assert not at.error and at.info


def test_a_backend_that_cannot_be_reached_is_said_in_words(page):
    """The same when nothing listens."""
    assert "cannot be reached" in page(f"http://127.0.0.1:{free_port()}").error[0].value


def test_a_slow_backend_is_given_up_in_time(page, stub):
    """The page says how long it waited."""
    stub.delay = 5
    assert "did not answer within 0.3 s" in page(stub.url).error[0].value


def test_an_answer_of_another_version_is_said_in_words(page, stub):
    """Not shown as an empty board."""
    stub.body = b'{"things": []}'
    at = page(stub.url)
    assert "not one this version understands" in at.error[0].value
    assert not at.info


def test_what_was_known_stays_on_the_page_during_an_outage(page, stub):
    """With the time it is from."""
    stub.body = b"""{"items": [{"application": "shop", "environment": "lab", "revision": "0000000",
                     "version": "v1", "deployed_at": "2026-01-01T00:00:00Z"}]}"""
    at = page(stub.url)
    stub.cut = True
    again(at)
    assert "Shown is the state of" in at.warning[0].value and "UTC" in at.warning[0].value
    assert not at.error
    assert "`v1`" in shown(at)


def test_the_address_may_ask_for_one_environment(page, board):
    """`?environment=` narrows the table."""
    board.stored(environment="alpha")
    board.stored(environment="beta", application="desk")
    at = page(board.url, query="alpha")
    assert [h.value for h in at.subheader] == ["shop"]
    assert "**beta**" not in shown(at) and not at.warning


@pytest.mark.parametrize("query", ["nowhere", "", "**bold** [x](javascript:alert(1))", "a" * 5000])
def test_an_address_that_asks_for_nonsense_gets_everything_and_a_notice(page, board, query):
    """The nonsense is shown as text, not as markup, and not at length."""
    board.stored()
    at = page(board.url, query=query)
    assert "Nothing is deployed to an environment named" in at.warning[0].value
    assert "**bold**" not in at.warning[0].value and len(at.warning[0].value) < 300
    assert "**lab**" in shown(at)


def test_the_footer_names_the_pages_own_build(page, stub):
    """Version and full commit, also while the backend is away."""
    stub.cut = True
    at = page(stub.url, BOARD_VERSION="v1.2", BOARD_COMMIT="c" * 40)
    assert at.caption[-1].value == f"Release board v1\\.2 · commit {'c' * 40}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOARD_REFRESH_SECONDS", "soon"),
        ("BOARD_REFRESH_SECONDS", "0"),
        ("BOARD_TIMEOUT_SECONDS", "nan"),
        ("BOARD_API_URL", "board-backend"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(variable, value):
    """At the start, not on the page."""
    with pytest.raises(SettingsError, match=variable):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86399, "23 h"),
     (86400, "1 day"), (40 * 86400, "40 days")],
)  # fmt: skip
def test_ages_are_rounded_down_to_one_unit(seconds, text):
    """A clock that is ahead gives no negative age."""
    now = datetime.now(UTC)
    assert view.age(now - timedelta(seconds=seconds), now) == text


def test_short_forms_cope_with_what_is_missing():
    """No commit, no digest, no tag, a state Argo CD may add."""
    assert view.short(None) == "–"
    assert view.image_line(Image(name="a/b", tag="15")) == ("b", "15")
    assert view.image_line(Image(name="b")) == ("b", "–")
    assert view.health("")[0] == "Unknown" and view.health("Novel")[:2] == ("Novel", "gray")
    assert view.grid([], ["x"]).environments == []
    assert Deployment.model_fields.keys() >= {"running_since", "images"}
