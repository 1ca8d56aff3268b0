"""The board on the platform, as people use it: through the load balancer, in a real browser, over real deployments."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from slipway.kubectl import Cluster

from .conftest import Platform, eventually

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
from board_pages import PAGES, address, chromium, usable, visit, watch

OUTPUT = Path("out/screenshots/platform")
GONE = "The backend cannot"
"""How the page says that nobody answers, or that the load balancer does in the backend's place."""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests; each visit has a profile of its own."""
    with chromium() as one:
        yield one


def test_every_page_shows_what_the_platform_did(platform: Platform, browser: Browser) -> None:
    """Wide, narrow, light and dark; no console error, nothing from another server; pictures are kept."""
    version = platform.version("dev")
    queries = {
        "promotion": {"application": "board", "to": "staging"},
        "timeline": {"environment": "dev"},
        "dora": {"environment": "dev"},
        "change": {"change": version["commit"]},
    }
    visits = [
        visit(browser, platform.urls["prod"], name, query=queries.get(name), folder=OUTPUT, **look)
        for name in PAGES
        for look in ({}, {"width": 400, "scheme": "dark"})
    ]
    assert {f"{one.name} {one.width}": one.problems for one in visits if one.problems} == {}
    said = {one.name: one.text for one in visits if one.width == 1200}
    assert version["commit"][:7] in said["now"] and version["commit"][:7] in said["change"]
    assert "4 of 4 Pods run exactly this" in said["change"]
    assert all("cannot be reached" not in text for text in said.values())


@pytest.mark.timeout(900)
def test_a_deployment_appears_within_five_seconds_without_a_reload(
    platform: Platform, browser: Browser
) -> None:
    """From Argo CD calling it healthy to a page in another environment showing it, while the page stays open."""
    problems: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    watch(page, platform.urls["prod"], problems)
    page.goto(address(platform.urls["prod"], "now"), wait_until="domcontentloaded")
    usable(page, "now")
    page.evaluate("window.stayed = true")
    before = platform.application("dev-board")["status"]["sync"]["revision"]
    commit = platform.push_a_change("A change that an open page shows")
    platform.wait_built(commit)
    eventually(lambda: is_live(platform.cluster, before), 240, "dev is healthy at the new commit", every=0.1)
    healthy = time.monotonic()
    running = page.locator(".board tbody").get_by_text(commit[:7]).first
    running.wait_for(timeout=30_000)
    page.get_by_text("rolling").first.wait_for(state="detached", timeout=30_000)
    seconds = time.monotonic() - healthy
    print(f"an open page showed the deployment {seconds:.1f} s after Argo CD called it healthy")
    assert page.evaluate("window.stayed") and problems == []
    page.close()
    assert seconds <= 5


def is_live(cluster: Cluster, before: str) -> bool:
    """Whether dev is synced to a newer commit, and healthy with it."""
    status = cluster.get("--namespace", "argocd", "application", "dev-board")["status"]
    synced, operation = status["sync"], status.get("operationState", {})
    return (
        (synced["status"], status["health"]["status"]) == ("Synced", "Healthy")
        and synced["revision"] != before
        and operation.get("phase") == "Succeeded"
        and operation.get("syncResult", {}).get("revision") == synced["revision"]
    )


def test_a_page_says_that_its_backend_was_killed_and_recovers(platform: Platform, browser: Browser) -> None:
    """Both Pods of it, at once: what was known stays on the page, which is as before when they are back."""
    problems: list[str] = []
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address(platform.urls["staging"], "now"), wait_until="domcontentloaded")
    usable(page, "now")
    page.evaluate("window.stayed = true")
    platform.cluster.kubectl(
        *("--namespace", "staging", "delete", "pods", "--grace-period=0", "--force"),
        *("--selector", "app.kubernetes.io/name=board-backend"),
    )
    page.get_by_text(GONE).first.wait_for(timeout=30_000)
    assert "Shown is the state of" in page.inner_text("body")
    page.screenshot(path=OUTPUT / "now-backend-killed.png")
    page.get_by_text(GONE).first.wait_for(state="detached", timeout=120_000)
    assert page.evaluate("window.stayed") and problems == []
    page.close()
    platform.settled("staging-board")


@pytest.mark.timeout(600)
def test_no_event_is_lost_while_board_and_database_are_down(platform: Platform) -> None:
    """Argo CD writes what happened into Git; a board that was away, with its database, knows it afterwards."""
    kubectl = platform.cluster.kubectl
    with platform.board("staging") as board:
        before = {one["id"] for one in deployments(board)}
    kubectl("--namespace", "staging", "delete", "pod", "board-postgres-0", "--grace-period=0", "--force")
    kubectl(
        *("--namespace", "staging", "delete", "pods", "--grace-period=0", "--force"),
        *("--selector", "app.kubernetes.io/name=board-backend"),
    )
    commit = platform.push_a_change("A change while a board is down")
    platform.wait_built(commit)
    platform.wait_live("dev", commit)

    def told() -> bool:
        with platform.board("staging") as board:
            return any(one["commit"] == commit and one["state"] == "live" for one in deployments(board))

    eventually(told, 120, "the board in staging knows what happened while it was down")
    with platform.board("staging") as board:
        assert before <= {one["id"] for one in deployments(board)}


def deployments(board) -> list[dict]:
    """The newest deployments that a board knows."""
    return board.get("/deployments", params={"limit": 200}).raise_for_status().json()["items"]
