"""A commit pushed to the source repository is what users get, with no other action, and everybody is told of it.

One push, followed from all sides: by a command, by a page that was open, by a board that was away meanwhile, and by
the page that was open there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from slipway.platform import config

from .conftest import Platform, eventually
from .pages import address, usable, watch

OUTPUT = Path("out/screenshots")
GONE = "The backend cannot"
"""How a page says that nobody answers, or that the load balancer does in the backend's place."""


class OpenPage:
    """What runs where, by the board of an environment, in a page that stays open; `stayed` is known once it closes."""

    def __init__(self, browser: Browser, base: str, watched: Callable[[Page, str, list[str]], None]):
        self.problems: list[str] = []
        self.page = browser.new_page(viewport={"width": 1200, "height": 900})
        watched(self.page, base, self.problems)
        self.page.goto(address(base, "now"), wait_until="domcontentloaded")
        usable(self.page, "now")
        self.page.evaluate("window.stayed = true")

    def close(self) -> None:
        """Note whether it was ever loaded again."""
        self.stayed = self.page.evaluate("window.stayed") is True
        self.page.close()


@dataclass
class Push:
    """What was seen of a commit on its way: verdicts of `slipway live`, answers, open pages, the board that was away."""

    commit: str
    before: tuple[int, list[dict]]
    after: tuple[int, list[dict]]
    served: set[str]
    here: OpenPage
    shown_seconds: float
    lost: OpenPage
    lost_text: str
    known_in_staging: set[int]


@pytest.fixture(scope="module")
def push(platform: Platform, browser: Browser) -> Push:
    """Beside an open page of prod's board, and while staging's board and its database are lost."""
    platform.quiet()
    here = OpenPage(browser, platform.urls["prod"], watch)
    lost = OpenPage(browser, platform.urls["staging"], watch_errors)
    known = {one["id"] for one in deployments(platform, "staging")}
    lose_the_board(platform, "staging")
    lost.page.get_by_text(GONE).first.wait_for(timeout=30_000)
    lost_text = lost.page.inner_text("body")
    lost.page.screenshot(path=OUTPUT / "now-backend-killed.png")

    revision = platform.application("dev-board")["status"]["sync"]["revision"]
    commit = platform.push_a_change("A change that a user can see")
    before = platform.live(commit, "--env", "dev")
    platform.wait_built(commit)
    with ThreadPoolExecutor(max_workers=1) as beside:
        waiting = beside.submit(wait_as_a_user, platform, commit)
        eventually(lambda: is_live(platform, revision), 240, "dev is healthy at the new commit", every=0.1)
        healthy = time.monotonic()
        here.page.locator(".board tbody").get_by_text(commit[:7]).first.wait_for(timeout=30_000)
        here.page.get_by_text("rolling").first.wait_for(state="detached", timeout=30_000)
        seconds = time.monotonic() - healthy
        after, served = waiting.result()
    lost.page.get_by_text(GONE).first.wait_for(state="detached", timeout=120_000)
    here.close()
    lost.close()
    return Push(commit, before, after, served, here, seconds, lost, lost_text, known)


def watch_errors(page: Page, base: str, problems: list[str]) -> None:
    """Only what breaks the page's own program: the answers of a backend that is gone are errors, too."""
    page.on("pageerror", lambda error: problems.append(str(error)))


def wait_as_a_user(platform: Platform, commit: str) -> tuple[tuple[int, list[dict]], set[str]]:
    """What `slipway live --wait` ends with, and what is served at that moment."""
    verdict = platform.live(commit, "--env", "dev", "--wait", "--timeout", "300")
    return verdict, {platform.version("dev")["commit"] for _ in range(20)}


def is_live(platform: Platform, before: str) -> bool:
    """Whether dev is synced to a newer commit than `before`, and healthy with it."""
    status = platform.application("dev-board")["status"]
    synced, operation = status["sync"], status.get("operationState", {})
    return (
        (synced["status"], status["health"]["status"]) == ("Synced", "Healthy")
        and synced["revision"] != before
        and operation.get("phase") == "Succeeded"
        and operation.get("syncResult", {}).get("revision") == synced["revision"]
    )


def lose_the_board(platform: Platform, environment: str) -> None:
    """Its database and both Pods of its backend, at once."""
    for which in (["pod", "board-postgres-0"], ["pods", "--selector=app.kubernetes.io/name=board-backend"]):
        platform.cluster.kubectl("--namespace", environment, "delete", *which, "--grace-period=0", "--force")


def deployments(platform: Platform, environment: str) -> list[dict]:
    """The newest deployments that a board knows."""
    with platform.board(environment) as board:
        return board.get("/deployments", params={"limit": 200}).raise_for_status().json()["items"]


def test_the_commit_is_not_built_then_live_and_served_when_it_is_called_live(push: Push) -> None:
    """`slipway live --wait` ends when every request is answered by the new version, and not before."""
    assert (push.before[0], push.before[1][0]["state"]) == (5, "not-built")
    assert (push.after[0], push.after[1][0]["state"]) == (0, "live"), push.after
    assert push.served == {push.commit}


def test_an_open_page_shows_it_within_five_seconds_without_a_reload(push: Push) -> None:
    """From Argo CD calling it healthy to a page in another environment showing it."""
    print(f"an open page showed the deployment {push.shown_seconds:.1f} s after Argo CD called it healthy")
    assert push.here.stayed and push.here.problems == []
    assert push.shown_seconds <= 5


def test_a_page_says_that_its_backend_is_gone_and_recovers(push: Push) -> None:
    """Both Pods of it, at once: what was known stays on the page, which is as before when they are back."""
    assert "Shown is the state of" in push.lost_text
    assert push.lost.stayed and push.lost.problems == []


def test_a_board_that_was_away_with_its_database_knows_it_afterwards(platform: Platform, push: Push) -> None:
    """Argo CD writes what happened into Git; nothing that was known before is lost."""

    def told() -> bool:
        newest = deployments(platform, "staging")
        return any(one["commit"] == push.commit and one["state"] == "live" for one in newest)

    eventually(told, 120, "the board in staging knows what happened while it was down")
    assert push.known_in_staging <= {one["id"] for one in deployments(platform, "staging")}


def test_the_api_answers_with_the_pushed_commit_and_the_digest_in_git(platform: Platform, push: Push) -> None:
    """Pipeline, image, registry, bump, Argo CD and rolling update agree on one digest."""
    answer = platform.version("dev")
    overlay, _ = platform.read("deploy", "overlays/dev/board/kustomization.yaml")
    assert answer["commit"] == push.commit
    assert answer["digest"].startswith("sha256:")
    assert answer["digest"] in overlay


def test_the_deploy_commit_names_the_source_commit(platform: Platform, push: Push) -> None:
    """From a line in the deploy repository one finds what it ships."""
    with platform.api("operator") as api:
        path = f"/repos/{config.ORGANISATION}/deploy/commits"
        newest = api.get(path, params={"path": "overlays/dev/board/kustomization.yaml", "limit": 1}).json()[0]
    assert f"Source-Commit: {push.commit}" in newest["commit"]["message"]


def test_a_browser_shows_the_pushed_commit(platform: Platform, browser: Browser, push: Push) -> None:
    """The Streamlit page, through the load balancer and its WebSocket, in a real browser."""
    problems: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    watch(page, platform.urls["dev"], problems)
    page.goto(platform.urls["dev"], wait_until="domcontentloaded")
    page.get_by_text(push.commit[:7]).first.wait_for(timeout=60_000)
    page.screenshot(path=OUTPUT / "now.png", full_page=True)
    page.set_viewport_size({"width": 400, "height": 800})
    page.screenshot(path=OUTPUT / "now-narrow.png", full_page=True)
    page.close()
    assert problems == []


def test_every_environment_appears_on_the_board(platform: Platform, push: Push) -> None:
    """Argo CD's notifications reach the board of another environment: it knows what dev runs, and from which commit."""
    digest = platform.version("dev")["digest"]

    def known() -> bool:
        with platform.board("prod") as board:
            places = board.get("/now").raise_for_status().json()["places"]
        return any(
            place["environment"] == "dev"
            and place["commit"] == push.commit
            and digest in {image["digest"] for image in place["images"]}
            for place in places
        )

    eventually(known, 60, "the board in prod shows what dev runs")
