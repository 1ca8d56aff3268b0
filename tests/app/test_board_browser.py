"""The board's pages in a real browser, as wide as a desk and as narrow as a telephone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import board_stub
import httpx
import pytest
from board_frontend.shell import SCREENS
from board_pages import PAGES, address, chromium, usable, visit, walk, watch
from board_stub import BoardStub
from board_testing import BOARD, free_port, healthy, until
from playwright.sync_api import Browser, Page

OUTPUT = Path("out/screenshots/board")
_NOTE_CHANGES = """() => {
    window.changes = []
    const page = document.querySelector('.stMain')
    // On a busy machine the answer may be late, which the page says, and takes back.
    const late = node => node.matches?.('.st-key-notices, .st-key-notices *, :has(> .st-key-notices)')
    new MutationObserver(all => all.forEach(one =>
        one.type == 'childList' && [...one.addedNodes, ...one.removedNodes].every(late)
        || window.changes.push(`${one.type} of ${one.target.className}`)))
        .observe(page, {subtree: true, childList: true, characterData: true})
    setInterval(() => page.querySelectorAll('[data-stale=true]').forEach(one =>
        getComputedStyle(one).opacity < 1 && window.changes.push(`dimmed: ${one.className}`)), 50)
}"""
OWN_QUESTION = {
    "now": "/api/now",
    "promotion": "/api/promotion",
    "timeline": "/api/deployments",
    "dora": "/api/dora",
    "change": "/api/changes/",
}
"""What each page asks, once, whenever it renews itself."""
CHANGE = {"change": {"change": "359bf6a"}}


class Frontend:
    """The page's own process, as in its image."""

    def __init__(self, api: str, **env: str):
        self._port = free_port()
        self._env = {**os.environ, "BOARD_API_URL": api, "STREAMLIT_SERVER_PORT": str(self._port), **env}
        self.url = f"http://127.0.0.1:{self._port}/{env.get('STREAMLIT_SERVER_BASE_URL_PATH', '')}".rstrip(
            "/"
        )
        self.start()

    def start(self) -> None:
        """Serve, at the same address as before."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "board_frontend"],
            cwd=BOARD / "frontend",
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(lambda: healthy(self.url + "/_stcore/health"), seconds=60, what="the frontend answers")

    def stop(self) -> None:
        """As a Pod that is replaced."""
        self._process.terminate()
        self._process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests; each visit has a profile of its own."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def shared():
    """One backend and one frontend for the tests that leave them as they were."""
    backend = BoardStub()
    frontend = Frontend(backend.url, BOARD_COMMIT="f" * 40)
    yield backend, frontend
    frontend.stop()
    backend.stop()


@pytest.fixture
def board(shared):
    """The shared pair, its answers as at first."""
    backend, frontend = shared
    backend.answers = BoardStub.known()
    backend.cut, backend.status, backend.delay = False, 200, 0.0
    return backend, frontend


@pytest.fixture
def opened(browser: Browser):
    """Opens an address and gives the page; nothing may be wrong with it afterwards."""
    problems: list[str] = []
    contexts = []

    def begin(url: str, name: str, query: dict | None = None, **options) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1200, "height": 900}, **options))
        page = contexts[-1].new_page()
        watch(page, url, problems)
        page.goto(address(url, name, query), wait_until="domcontentloaded")
        usable(page, name)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert problems == []


def test_every_page_opens_at_every_size_and_in_both_themes(browser, board):
    """No console error, nothing asked of another server, nothing wider than the screen; pictures are kept."""
    backend, frontend = board
    backend.answers["/api/now"] = board_stub.many()
    visits = walk(browser, frontend.url, OUTPUT, CHANGE)
    assert len(visits) == 2 * len(PAGES)
    assert {f"{one.name} {one.width} {one.scheme}": one.problems for one in visits if one.problems} == {}
    assert all("f" * 40 in one.text for one in visits)


def test_the_walk_knows_every_page():
    """A page that is added is looked at."""
    assert PAGES == SCREENS


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_a_page_follows_the_theme_of_the_system(opened, board, scheme, bright):
    """Background and text are far apart in both."""
    page = opened(board[1].url, "now", color_scheme=scheme)
    colour = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert (min(int(part) for part in colour[4:-1].split(",")) > 200) is bright
    assert page.evaluate("getComputedStyle(document.querySelector('.stApp')).colorScheme") == scheme


def test_a_new_deployment_appears_without_a_reload(opened, board):
    """Within 5 s, on what runs now and on the timeline."""
    backend, frontend = board
    now, timeline = opened(frontend.url, "now"), opened(frontend.url, "timeline")
    new = board_stub.place(commit="abcdef1" * 5, version="v9.9.9")
    backend.answers["/api/now"] = board_stub.now(new)
    backend.answers["/api/deployments"]["items"].insert(0, board_stub.deployment(0, version="v9.9.9"))
    now.get_by_text("v9.9.9").wait_for(timeout=5_000)
    timeline.get_by_text("v9.9.9").first.wait_for(timeout=5_000)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_that_the_backend_is_gone_and_recovers(opened, board, name):
    """What was known stays, with its time; nothing has to be done when the backend is back."""
    backend, frontend = board
    page = opened(frontend.url, name, CHANGE.get(name))
    known = page.locator(".board table").first.inner_text()
    backend.stop()
    try:
        page.get_by_text("The backend cannot be reached").wait_for(timeout=10_000)
        assert "Shown is the state of" in page.inner_text("body")
        assert page.locator(".board table").first.inner_text() == known
    finally:
        backend.start()
    page.get_by_text("The backend cannot be reached").wait_for(state="detached", timeout=10_000)
    assert page.locator(".board table").first.inner_text() == known


def test_a_page_opened_during_an_outage_shows_all_when_it_is_over(browser):
    """A process that has never had an answer shows none, and no error of its own."""
    backend = BoardStub()
    backend.stop()
    frontend = Frontend(backend.url)
    try:
        page = browser.new_page()
        query = {"environment": "prod", "period": "30 days"}
        page.goto(address(frontend.url, "timeline", query), wait_until="domcontentloaded")
        page.get_by_text("Trying again every 2 s").wait_for(timeout=30_000)
        backend.start()
        page.locator(".board table").wait_for(timeout=10_000)
        assert page.get_by_role("combobox", name="Environment").input_value() == "prod"
        assert page.get_by_role("combobox", name="Period").input_value() == "30 days"
        page.close()
    finally:
        frontend.stop()
        backend.stop()


def test_a_page_that_loses_its_process_is_the_same_on_the_next(board, browser):
    """As after a rollout: all that was chosen is in the address, and the new Pod knows nothing else."""
    backend, _ = board
    frontend = Frontend(backend.url)
    try:
        page = browser.new_page()
        page.goto(address(frontend.url, "timeline", {"kind": "Failures"}), wait_until="domcontentloaded")
        usable(page, "timeline")
        # Streamlit asks for the code that draws once, and last: a page that lost its process before stays without.
        page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg)").first.wait_for(timeout=30_000)
        page.get_by_role("combobox", name="Environment").click()
        page.get_by_role("option", name="staging").click()
        page.wait_for_url("**environment=staging**")
        frontend.stop()
        frontend.start()
        backend.answers["/api/deployments"] = {
            "items": [board_stub.deployment(1, version="v7")],
            "next": None,
        }
        page.get_by_text("v7").first.wait_for(timeout=30_000)
        assert page.get_by_role("combobox", name="Environment").input_value() == "staging"
        assert page.get_by_role("combobox", name="Kind").input_value() == "Failures"
        # What went wrong while the process was away goes with the next renewal.
        page.get_by_role("alert").first.wait_for(state="detached", timeout=30_000)
        assert not page.get_by_role("dialog").count()
        page.close()
    finally:
        frontend.stop()


def test_every_page_works_below_a_base_path(browser, board):
    """Opened directly and by its link, with what it was asked for."""
    backend, _ = board
    frontend = Frontend(backend.url, STREAMLIT_SERVER_BASE_URL_PATH="board")
    try:
        for name in PAGES:
            assert visit(browser, frontend.url, name, query=CHANGE.get(name)).problems == []
        page = browser.new_page()
        page.goto(frontend.url + "/", wait_until="domcontentloaded")
        usable(page, "now")
        page.get_by_role("link", name="Follow the commit").first.click()
        usable(page, "change")
        assert "/board/change?change=" in page.url
        page.get_by_role("link", name="DORA", exact=True).click()
        usable(page, "dora")
        assert page.url == frontend.url + "/dora"
        page.close()
    finally:
        frontend.stop()


@pytest.mark.parametrize("name", PAGES)
def test_a_renewal_that_brings_nothing_new_moves_nothing(opened, board, name):
    """No part of the page is put anew, and none is dimmed, while it waits for the answer."""
    backend, frontend = board

    def renewed() -> None:
        """At least one whole renewal: of the two that begin, the first has come to its end."""
        before = asked()
        until(lambda: asked() >= before + 2, seconds=60, what="the page renews itself twice")

    def asked() -> int:
        return sum(count for path, count in backend.asked.items() if path.startswith(OWN_QUESTION[name]))

    backend.delay = 0.8
    page = opened(frontend.url, name, CHANGE.get(name))
    # The first renewal takes the places of the skeletons away.
    renewed()
    page.locator(".st-key-loading").wait_for(state="detached")
    page.evaluate(_NOTE_CHANGES)
    renewed()
    assert page.evaluate("window.changes") == []


def test_the_chart_can_be_zoomed_and_grows_without_being_made_anew(opened, board):
    """With the wheel and Ctrl; a new deployment is drawn into the same chart."""
    backend, frontend = board
    page = opened(frontend.url, "timeline")
    chart = page.locator("[data-testid=stVegaLiteChart] svg")
    labels = chart.locator(".role-axis-label").first
    labels.wait_for()
    before, box = labels.text_content(), chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 90)
    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    until(lambda: labels.text_content() != before, what="the axis shows another time")
    chart.evaluate("one => one.dataset.seen = 'yes'")
    backend.answers["/api/deployments"]["items"].insert(0, board_stub.deployment(0, version="v9.9.9"))
    page.get_by_text("v9.9.9").first.wait_for(timeout=5_000)
    assert chart.evaluate("one => one.dataset.seen") == "yes"


def test_everything_is_reached_by_keyboard_and_keeps_the_focus(opened, board):
    """Entries, filters and every link of the table; a renewal that changes nothing takes nothing away."""
    page = opened(board[1].url, "now")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || document.activeElement.tagName"))  # fmt: skip
        if str(reached[-1]).startswith("Follow the commit of shop in prod"):
            break
    said = " ".join(map(str, reached))
    for name in ("Promotion", "DORA", "Application", "Environment", "Commit of shop in dev", "Argo CD: shop in staging", "Follow the commit of shop in prod"):  # fmt: skip
        assert name in said, reached
    page.wait_for_timeout(5_000)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == reached[-1]
    page.keyboard.press("Enter")
    usable(page, "change")


def test_what_is_chosen_is_in_the_address_and_shows_the_same_to_others(opened, board):
    """A view can be shared as it is."""
    frontend = board[1]
    page = opened(frontend.url, "now")
    page.get_by_role("searchbox", name="Application").fill("sho")
    page.keyboard.press("Enter")
    page.wait_for_url("**name=sho**")
    page.get_by_text("Only what needs attention").click()
    page.wait_for_url("**attention=true**")
    said = "has “sho” in its name and needs attention"
    page.get_by_text(said).wait_for(timeout=5_000)
    other = opened(frontend.url, "now", {"name": "sho", "attention": "true"})
    other.get_by_text(said).wait_for(timeout=5_000)
    assert other.get_by_role("searchbox", name="Application").input_value() == "sho"
    assert sorted(urlsplit(other.url).query.split("&")) == sorted(urlsplit(page.url).query.split("&"))


def test_what_was_chosen_is_kept_on_the_next_page_where_that_offers_it(opened, board):
    """And is no mistake of the reader where it does not."""
    page = opened(board[1].url, "timeline")
    page.get_by_role("combobox", name="Environment").click()
    page.get_by_role("option", name="staging").click()
    page.wait_for_url("**environment=staging**")
    page.get_by_role("link", name="DORA", exact=True).click()
    usable(page, "dora")
    chosen = page.get_by_role("combobox", name="Environment")
    until(lambda: chosen.input_value() == "staging", what="DORA is of staging too")
    page.get_by_role("link", name="Promotion", exact=True).click()
    usable(page, "promotion")
    page.get_by_text("slipway promote shop").wait_for()
    page.wait_for_timeout(3_000)
    assert page.get_by_role("combobox", name="Application").input_value() == "shop"
    assert page.get_by_role("alert").count() == 0 and "application=" not in page.url


def test_a_first_visit_fetches_what_is_compressed_and_keeps_it(board):
    """The document is asked for again each time, and lets a browser ask nobody else."""
    url = board[1].url
    document = httpx.get(url + "/timeline")
    assert document.headers["cache-control"] == "no-cache"
    assert "default-src 'self'" in document.headers["content-security-policy"]
    scripts = re.findall(r'src="\./(static/js/[^"]+)"', document.text)
    for name in scripts:
        answer = httpx.get(f"{url}/{name}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["content-encoding"] == "gzip" and "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"].startswith("text/javascript")
        plain = httpx.get(f"{url}/{name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers and plain.content == answer.content
    assert scripts


def test_no_text_of_the_backend_runs_in_a_browser(opened, board):
    """Every text is hostile; none opens a dialogue, loads an image or becomes an element."""
    backend, frontend = board
    place = board_stub.place(
        subject=board_stub.HOSTILE, version=board_stub.HOSTILE, health=board_stub.HOSTILE
    )
    place["hold"] = {"by": board_stub.HOSTILE, "since": None, "reason": board_stub.HOSTILE}
    place["links"] = dict.fromkeys(("commit", "deploy", "argocd"), "javascript:alert(1)")
    backend.answers["/api/now"] = board_stub.now(place)
    page = opened(frontend.url, "now")
    page.on("dialog", lambda dialog: pytest.fail(f"a dialogue: {dialog.message}"))
    assert "<img src=x onerror=alert(1)>" in page.inner_text(".places")
    assert page.locator(".places img").count() == 0
    assert page.locator("[href^=javascript]").count() == 0
