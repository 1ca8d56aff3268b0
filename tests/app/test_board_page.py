"""Every page of the board in every state it can be in: loaded, empty, down, slow, refused, asked for nonsense."""

from __future__ import annotations

import re
from copy import deepcopy

import board_stub
import pytest
from board_frontend.shell import SCREENS
from board_stub import HOSTILE
from board_testing import free_port

pytest_plugins = ["board_apptest"]

PAGES = list(SCREENS)
QUERY = {"change": {"change": "359bf6a"}}
"""What a page needs in its address to show all it can."""

LOADED = {
    "now": ("shop", "main · ", "Let shop answer sooner", "Healthy"),
    "promotion": ("shop", "staging → prod", "Round prices once", "Ada Lovelace", "5 h", "+2.4 MB", "unknown"),
    "timeline": ("search", "deployed", "failed", "rolled back", "14 min"),
    "dora": ("11.0 a week", "1 h 42 min", "21 min", "5.9 %", "3.3 %", "Formula"),
    "change": ("2 of 2 Pods run exactly this", "Change written", "after 3 min 4 s", "Recent changes"),
}

EMPTY = {
    "now": "Nothing has been deployed yet",
    "promotion": "there is nothing to promote",
    "timeline": "Nothing has been deployed yet",
    "dora": "No environment is known yet",
    "change": "No source commit is known yet",
}

NONSENSE = {
    "now": {"environment": "nowhere"},
    "promotion": {"application": "nothing", "to": "nowhere"},
    "timeline": {
        "application": "x",
        "environment": "x",
        "kind": "x",
        "period": "x",
        "page": "x",
        "days": "x",
    },
    "dora": {"application": "x", "environment": "x", "over": "-1 days"},
}


def emptied(backend) -> None:
    """A backend that has just been installed."""
    backend.answers |= {"/api/now": board_stub.now(chain=()), "/api/changes": {"items": []}}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_the_backend_knows(open_page, backend, name):
    """Without a notice of any kind."""
    page = open_page(backend.url, name, QUERY.get(name))
    for text in LOADED[name]:
        assert text in page.text, page.text
    assert not any(page.boxes(kind) for kind in ("error", "warning", "info"))
    assert "Release board dev" in page.text and "events ok" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_an_empty_board_says_so_in_words(open_page, backend, name):
    """It is not a broken one."""
    emptied(backend)
    page = open_page(backend.url, name)
    assert EMPTY[name] in page.boxes("info")[0]
    assert not page.boxes("error") and not page.boxes("warning")


@pytest.mark.parametrize("name", PAGES)
def test_a_backend_that_is_down_is_said_in_words_and_its_return_noticed(open_page, backend, name):
    """One box, the rest of the page stands; nothing has to be done when it is back."""
    backend.cut = True
    page = open_page(backend.url, name, QUERY.get(name))
    assert page.boxes("error") == ["The backend cannot be reached. Trying again every 2 s."]
    assert page.at.title[0].value == SCREENS[name] and "Release board" in page.text
    backend.cut = False
    page.again()
    assert not page.boxes("error") and LOADED[name][0] in page.text


@pytest.mark.parametrize("name", PAGES)
def test_what_was_known_stays_during_an_outage_with_its_time(open_page, backend, name):
    """Also on a page that is opened only then; and it is new again when the backend is."""
    page = open_page(backend.url, name, QUERY.get(name))
    backend.cut = True
    for one in (page.again(), open_page(backend.url, name, QUERY.get(name))):
        assert re.search(r"Shown is the state of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", one.boxes("warning")[0])
        assert len(one.boxes("warning")) == 1 and not one.boxes("error")
        assert all(text in one.text for text in LOADED[name])
    backend.cut = False
    assert not page.again().boxes("warning")


@pytest.mark.parametrize("name", PAGES)
def test_a_slow_backend_is_given_up_in_time(open_page, backend, name):
    """The page says how long it waited."""
    backend.delay = 5
    page = open_page(backend.url, name, BOARD_TIMEOUT_SECONDS="0.2")
    assert "did not answer within 0.2 s" in page.boxes("error")[0]


def test_an_answer_that_took_long_is_shown_and_said_to_be_slow(open_page, backend):
    """The reader knows that it is not the page."""
    backend.delay = 2.1
    page = open_page(backend.url, "now", BOARD_TIMEOUT_SECONDS="5")
    assert page.boxes("info") == ["The backend is slow: it takes more than 2 s to answer."]
    assert "Healthy" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_may_not_read_says_so_and_shows_nothing(open_page, backend, name):
    """What was known before is gone too: the right to see it may have been taken away."""
    page = open_page(backend.url, name, QUERY.get(name))
    backend.status = 401
    page.again()
    (error,) = page.boxes("error")
    assert "does not let this page read (status 401)" in error and "BOARD_READ_TOKEN" in error
    assert LOADED[name][1] not in page.text


@pytest.mark.parametrize("name", PAGES)
def test_the_reason_the_backend_gives_is_shown(open_page, backend, name):
    """As when nobody has said who may read."""
    backend.status, backend.detail = 503, "No way to read is configured: set BOARD_READ_TOKEN or BOARD_OPEN"
    assert backend.detail in open_page(backend.url, name, QUERY.get(name)).boxes("error")[0]


@pytest.mark.parametrize("name", PAGES)
def test_an_answer_of_another_version_is_said_in_words(open_page, backend, name):
    """Not shown as an empty board."""
    backend.answers = {"/api/now": {"things": []}, "/api/changes": {"things": []}, "/api/changes/*": {}}
    page = open_page(backend.url, name, QUERY.get(name))
    assert "not one this version understands" in page.boxes("error")[0]
    assert not page.boxes("info")


@pytest.mark.parametrize("name", NONSENSE)
def test_an_address_that_asks_for_nonsense_gets_a_whole_page_and_a_notice(open_page, backend, name):
    """The notice goes when something else is chosen."""
    page = open_page(backend.url, name, NONSENSE[name])
    warnings = page.boxes("warning")
    assert warnings and all("which is no " in text for text in warnings)
    assert all(text in page.text for text in LOADED[name])
    assert not set(page.at.query_params) & {"application", "environment", "to", "kind", "period", "over"}
    box = page.at.selectbox(key="to" if name == "promotion" else "environment")
    box.set_value("staging").run()
    assert len(page.boxes("warning")) == len(warnings) - 1


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("value", [HOSTILE, "a" * 5000, "", "\x00\ud7ff\u202e", "' OR 1=1 --", "../../etc"])
def test_nothing_in_an_address_becomes_markup_or_breaks_a_page(open_page, backend, name, value):
    """Shown as text, and not at length."""
    backend.answers["/api/changes/*"] = None
    names = (
        "application",
        "environment",
        "to",
        "kind",
        "period",
        "days",
        "page",
        "change",
        "attention",
        "other",
    )
    page = open_page(backend.url, name, dict.fromkeys(names, value))
    assert_harmless(page)
    assert not page.boxes("error")
    assert all(len(text) < 700 for kind in ("warning", "info") for text in page.boxes(kind))


def hostile(value: object, key: str = "") -> object:
    """`value` with every text replaced by one that would be markup, times and states of the protocol left alone."""
    if isinstance(value, dict):
        return {name: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, key) for inner in value]
    kept = ("at", "since", "until", "id", "next", "created", "order")
    return HOSTILE if isinstance(value, str) and not key.endswith(kept) else value


def assert_harmless(page) -> None:
    """No element and no link comes from a text, and nothing is left for Markdown to read."""
    assert {tag for tag, _ in page.elements} <= {
        "a", "b", "br", "div", "h3", "li", "ol", "p", "section", "small", "span", "table", "tbody", "td", "th",
        "thead", "tr", "ul",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert all(link.startswith(("http://", "https://", "change?change=")) for link in page.links)
    for text in page.markup:
        assert not re.search(r"(?<!\\)(<img|\*\*bold|\[x|:red\[|\$z)", text), text


@pytest.mark.parametrize("name", PAGES)
def test_no_text_of_the_backend_becomes_markup(open_page, backend, name):
    """Names, subjects, authors, reasons, links: HTML and Markdown are shown as they are."""
    backend.answers = {path: hostile(deepcopy(answer)) for path, answer in backend.answers.items()}
    page = open_page(backend.url, name, QUERY.get(name))
    assert_harmless(page)
    assert "<img src=x" in page.text
    backend.status, backend.detail = 503, HOSTILE
    assert_harmless(page.again())


@pytest.mark.parametrize("name", PAGES)
def test_a_source_that_could_not_be_renewed_is_named(open_page, backend, name):
    """Above, and with time and reason at the foot."""
    stale = {
        "name": "events",
        "state": "stale",
        "since": board_stub.ago(minutes=9),
        "message": "git: timed out",
    }
    backend.answers["/api/now"]["sources"] = backend.answers["/api/status"]["sources"] = [stale]
    page = open_page(backend.url, name, QUERY.get(name))
    assert "could not renew what it knows from: events" in page.boxes("warning")[0]
    assert "events stale since" in page.text and "git: timed out" in page.text


def test_the_application_opens_on_now_and_names_its_build(open_page, backend):
    """The entry script, as the server runs it."""
    page = open_page(backend.url, "app", BOARD_VERSION="v1.2", BOARD_COMMIT="c" * 40)
    assert page.at.title[0].value == "Now"
    assert f"Release board v1.2 · commit {'c' * 40}" in page.text


@pytest.mark.parametrize("name", PAGES)
def test_the_application_leads_to_every_page(open_page, backend, name):
    """Each has an entry, and is what it says."""
    page = open_page(backend.url, "app")
    page.at.switch_page(f"screens/{name}.py")
    assert page.again().at.title[0].value == SCREENS[name]


def test_a_backend_that_nobody_serves_is_said_in_words(open_page):
    """As when its Service has no Pod."""
    page = open_page(f"http://127.0.0.1:{free_port()}", "now")
    assert "cannot be reached" in page.boxes("error")[0]


def test_many_pages_ask_once_a_second(open_page, backend):
    """Whatever they show, and also while it fails."""
    first = open_page(backend.url, "now")
    for _ in range(5):
        first.at.run()
    assert backend.asked["/api/now"] <= 2
    backend.status = 503
    first.again()
    asked = backend.asked["/api/now"]
    first.at.run()
    assert backend.asked["/api/now"] == asked
