"""The page «Now»: which version runs in which environment, since when, and what is in its way."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st
from board_frontend import grid, view
from board_frontend.frame import Frame, page

TONES = {"deployed": "none", "rolling": "busy", "failed": "bad", "degraded": "bad", "held": "warn"}


def body(frame: Frame) -> None:
    """The part that renews itself."""
    overview = frame.ask(frame.board.now)
    if overview is None:
        return frame.footer(())
    order = frame.settings.environments
    if not overview.places:
        frame.empty("Nothing has been deployed yet. The first deployment appears here by itself.")
        return frame.footer(overview.sources)
    names = [one.name for one in grid.environments(overview, order)]
    with frame.filters:
        application = st.text_input("Application", key="name", bind="query-params", type="search", placeholder="Any part of a name", max_chars=63, width=220)  # fmt: skip
    environment = frame.choose("Environment", "environment", names, every="All environments")
    with frame.filters:
        attention = st.toggle("Only what needs attention", key="attention", bind="query-params")
    found = grid.arrange(
        overview, order=order, environment=environment, application=application or "", attention=attention
    )
    if found.rows:
        frame.html(
            "now.html", grid=found, counts=grid.counts(found), count_tones=TONES, now=datetime.now(UTC)
        )
    elif attention and not application:
        frame.content.success("Nothing needs attention.", icon=":material/check_circle:")
    else:
        where = f" in {view.plain(environment)}" if environment else ""
        what = f"No application{where} has “{view.plain(application or '')}” in its name" if application else f"Nothing is deployed{where}"  # fmt: skip
        frame.empty(f"{what}{' and needs attention' if attention else ''}.")
    frame.footer(overview.sources)


page("Now", "Which version runs in which environment, since when, and what is in its way.", body)
