"""A commit pushed to the source repository is what the load balancer serves, with no other action."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from slipway.platform import config

from .conftest import Platform, eventually

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OUTPUT = Path("out/screenshots")


@pytest.fixture(scope="module")
def followed(platform: Platform) -> dict:
    """A commit that went all the way, and what `slipway live` said of it before and afterwards."""
    commit = platform.push_a_change("A change that a user can see")
    before = platform.live(commit, "--env", "dev")
    platform.wait_built(commit)
    after = platform.live(commit, "--env", "dev", "--wait", "--timeout", "300")
    served = {platform.version("dev")["commit"] for _ in range(20)}
    return {"commit": commit, "before": before, "after": after, "served": served}


@pytest.fixture(scope="module")
def pushed(platform: Platform, followed: dict) -> str:
    """The commit, live."""
    platform.wait_live("dev", followed["commit"])
    return followed["commit"]


def test_the_commit_is_not_built_then_live_and_served_when_it_is_called_live(followed: dict) -> None:
    """`slipway live --wait` ends when every request is answered by the new version, and not before."""
    assert (followed["before"][0], followed["before"][1][0]["state"]) == (5, "not-built")
    assert (followed["after"][0], followed["after"][1][0]["state"]) == (0, "live"), followed["after"]
    assert followed["served"] == {followed["commit"]}


def test_the_api_answers_with_the_pushed_commit_and_the_digest_in_git(
    platform: Platform, pushed: str
) -> None:
    """Pipeline, image, registry, bump, Argo CD and rolling update agree on one digest."""
    answer = platform.version("dev")
    overlay, _ = platform.read("deploy", "overlays/dev/board/kustomization.yaml")
    assert answer["commit"] == pushed
    assert answer["digest"].startswith("sha256:")
    assert answer["digest"] in overlay


def test_the_deploy_commit_names_the_source_commit(platform: Platform, pushed: str) -> None:
    """From a line in the deploy repository one finds what it ships."""
    with platform.api("operator") as api:
        path = f"/repos/{config.ORGANISATION}/deploy/commits"
        newest = api.get(path, params={"path": "overlays/dev/board/kustomization.yaml", "limit": 1}).json()[0]
    assert f"Source-Commit: {pushed}" in newest["commit"]["message"]


def test_a_browser_shows_the_pushed_commit(platform: Platform, pushed: str) -> None:
    """The Streamlit page, through the load balancer and its WebSocket, in a real browser."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    assert CHROMIUM.is_file(), "chromium is not installed: `make up` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(platform.urls["dev"], wait_until="domcontentloaded")
        page.get_by_text(pushed[:7]).first.wait_for(timeout=60_000)
        page.screenshot(path=OUTPUT / "now.png", full_page=True)
        page.set_viewport_size({"width": 400, "height": 800})
        page.screenshot(path=OUTPUT / "now-narrow.png", full_page=True)
        browser.close()
    assert errors == []


def test_every_environment_appears_on_the_board(platform: Platform, pushed: str) -> None:
    """Argo CD's notifications reach the board of another environment: it knows what dev runs, and from which commit."""
    digest = platform.version("dev")["digest"]

    def known() -> bool:
        with platform.board("prod") as board:
            places = board.get("/now").raise_for_status().json()["places"]
        return any(
            place["environment"] == "dev"
            and place["commit"] == pushed
            and digest in {image["digest"] for image in place["images"]}
            for place in places
        )

    eventually(known, 60, "the board in prod shows what dev runs")
