"""Walks through the board's pages in a real browser; knows nothing but the address they are served at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

PAGES = {
    "now": "Now",
    "promotion": "Promotion",
    "timeline": "Timeline",
    "dora": "DORA",
    "change": "One change",
}
"""Place in the address and title; the first is also at the address itself."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SIZES = {1200: 900, 400: 800}
"""Widths in pixels, each with its height: a desk and a telephone."""

LOOKS = ((1200, "light"), (400, "dark"))
"""Every size and both themes, neither of which depends on the other."""

_WIDEST = """() => Math.max(document.documentElement.scrollWidth,
    ...[...document.querySelectorAll('.stMain *')].map(one => one.getBoundingClientRect().right))"""


@dataclass
class Visit:
    """One page as it was opened: seconds until it was usable, what it said, and what was wrong with it."""

    name: str
    width: int
    scheme: str
    seconds: float = 0.0
    text: str = ""
    problems: list[str] = field(default_factory=list)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's browser without a window."""
    program = shutil.which("chromium")
    assert program, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def address(base: str, name: str, query: Mapping[str, str] | None = None) -> str:
    """Where a page is."""
    place = "" if name == next(iter(PAGES)) else name
    return f"{base.rstrip('/')}/{place}{'?' + urlencode(query) if query else ''}"


def watch(page: Page, base: str, problems: list[str]) -> None:
    """Note what a visitor's console would show, and whatever is asked of any other server."""
    home = urlsplit(base).netloc

    def asked(request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != home:
            problems.append(f"asked another server: {request.url}")

    page.on("request", asked)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda said: said.type == "error" and problems.append(f"console: {said.text}"))
    page.on("response", lambda got: got.status >= 400 and problems.append(f"{got.status}: {got.url}"))


def usable(page: Page, name: str) -> None:
    """Wait until a page shows what it knows, or why it knows nothing."""
    page.get_by_role("heading", level=1, name=PAGES[name], exact=True).wait_for(timeout=30_000)
    page.locator(".board .footer").wait_for(timeout=30_000)
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=30_000)


def visit(
    browser: Browser,
    base: str,
    name: str,
    *,
    width: int = 1200,
    scheme: str = "light",
    query: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Visit:
    """Open one page in a browser that has never been there; with `folder`, keep a picture there."""
    seen = Visit(name, width, scheme)
    context = browser.new_context(viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme)
    page = context.new_page()
    watch(page, base, seen.problems)
    begin = time.monotonic()
    page.goto(address(base, name, query), wait_until="domcontentloaded")
    usable(page, name)
    seen.seconds = time.monotonic() - begin
    if page.locator("[data-testid=stVegaLiteChart]").count():
        page.locator("[data-testid=stVegaLiteChart] :is(canvas, svg)").first.wait_for(timeout=30_000)
    # Until the fonts are there and a first renewal has passed.
    page.evaluate("document.fonts.ready.then(() => true)")
    page.wait_for_timeout(500)
    seen.text = page.inner_text("body")
    if (widest := page.evaluate(_WIDEST)) > width + 0.5:
        seen.problems.append(f"wider than the screen: {widest:g} of {width} pixels")
    if page.locator("[data-testid=stException]").count():
        seen.problems.append("shows an exception")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
    context.close()
    return seen


def walk(
    browser: Browser,
    base: str,
    folder: Path | None = None,
    queries: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Visit]:
    """Every page at every size and in both themes; `queries` are what to ask of a page by its name."""
    return [
        visit(browser, base, name, width=width, scheme=scheme, query=(queries or {}).get(name), folder=folder)
        for width, scheme in LOOKS
        for name in PAGES
    ]
