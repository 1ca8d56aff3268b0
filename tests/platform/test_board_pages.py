"""The board on the platform, as people use it: through the load balancer, in a real browser.

What an open page shows of a deployment, and of the loss of its backend: test_push_to_live.py.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from .conftest import Platform
from .pages import walk

OUTPUT = Path("out/screenshots/platform")


def test_every_page_shows_what_the_platform_did(platform: Platform, browser: Browser) -> None:
    """Wide, narrow, light and dark; no console error, nothing from another server; pictures are kept."""
    version = platform.version("dev")
    queries = {
        "promotion": {"application": "board", "to": "staging"},
        "timeline": {"environment": "dev"},
        "dora": {"environment": "dev"},
        "change": {"change": version["commit"]},
    }
    visits = walk(browser, platform.urls["prod"], OUTPUT, queries)
    assert {f"{one.name} {one.width}": one.problems for one in visits if one.problems} == {}
    said = {one.name: one.text for one in visits if one.width == 1200}
    assert version["commit"][:7] in said["now"] and version["commit"][:7] in said["change"]
    assert "4 of 4 Pods run exactly this" in said["change"]
    assert all("cannot be reached" not in text for text in said.values())
