"""The page in a real browser, as narrow as a telephone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from board_testing import BOARD, free_port, healthy, until
from playwright.sync_api import sync_playwright


@pytest.fixture
def frontend(start, sqlite_url):
    """A backend, and the frontend's process in front of it."""
    backend = start(sqlite_url)
    port = free_port()
    env = {"BOARD_API_URL": backend.url, "BOARD_COMMIT": "f" * 40, "STREAMLIT_SERVER_PORT": str(port)}
    running = subprocess.Popen(
        [sys.executable, "-m", "board_frontend"],
        cwd=BOARD / "frontend",
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: healthy(url + "/_stcore/health"), seconds=20, what="the frontend answers")
    yield backend, url
    running.terminate()
    running.wait(timeout=15)


def test_an_open_page_follows_the_deployments(frontend):
    """A new version within 5 s without a reload; nothing wider than the screen; nothing fetched from elsewhere."""
    backend, url = frontend
    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing: apt-get install chromium"
    backend.stored(minute=1, commit="1111111")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_text("1111111").first.wait_for(timeout=20_000)
        backend.stored(minute=2, commit="2222222")
        page.get_by_text("2222222").first.wait_for(timeout=5_000)
        text = page.inner_text("body")
        width = page.evaluate("document.documentElement.scrollWidth")
        background = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        browser.close()
    assert "1111111" not in text
    assert "f" * 40 in text
    assert width == 400
    assert max(int(part) for part in background[4:-1].split(",")) < 64, (
        "the page follows the dark system theme"
    )
    assert [address for address in asked if not address.startswith((url, "data:", "blob:"))] == []
