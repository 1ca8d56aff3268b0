"""The page «Timeline»: deployments, failures and rollbacks over time."""

from __future__ import annotations

import streamlit as st
from board_frontend import charts, grid, view
from board_frontend.frame import Frame, page

LIMIT = 1000
"""Deployments that are asked for; more points than that are a cloud."""

ROWS = 50
"""Lines of the table on one of its pages."""

KINDS = {"Deployments": "images", "Rollbacks": "rollback", "Configuration": "config"}
FAILED = "Failures"
"""What the filter offers, and how the API calls it."""

TONES = {
    "deployed": "ok",
    "configuration": "none",
    "rolled back": "warn",
    "failed": "bad",
    "running": "busy",
    "superseded": "none",
}


def body(frame: Frame) -> None:
    """The part that renews itself."""
    overview = frame.ask(frame.board.now)
    if overview is None:
        return frame.footer(())
    frame.footer(overview.sources)
    if not overview.places:
        return frame.empty("Nothing has been deployed yet. The first deployment appears here by itself.")
    names = [one.name for one in grid.environments(overview, frame.settings.environments)]
    applications = sorted({place.application for place in overview.places})
    application = frame.choose("Application", "application", applications, every="All applications")
    environment = frame.choose("Environment", "environment", names, every="All environments")
    kind = frame.choose("Kind", "kind", [*KINDS, FAILED], every="All kinds")
    period = frame.choose_period("7 days", "period")
    query = {
        "application": application,
        "environment": environment,
        "kind": KINDS.get(kind),
        "failed": "true" if kind == FAILED else None,
        "limit": str(LIMIT),
    }
    found = frame.ask(lambda: frame.board.deployments(**query, **period.query))
    if found is None:
        return None
    if not found.items:
        return frame.empty("Nothing of this kind happened in this time. A longer period may show more.")
    with frame.content:
        if found.next:
            st.info(f"Shown are the newest {view.number(LIMIT)}. A narrower filter shows earlier ones.", icon=":material/filter_list:")  # fmt: skip
        by = "application" if environment else "environment"
        here = {getattr(one, by) for one in found.items}
        lanes = [name for name in (applications if environment else names) if name in here]
        chart = charts.timeline(found.items, lanes, by=by)
        st.altair_chart(
            chart,
            key="chart",
            alt="Deployments over time; the table below has the same.",
        )
        st.caption(
            "Drag to move, Ctrl and wheel or two fingers to zoom. A double click, or a new deployment, shows everything."
        )
        pages = -(-len(found.items) // ROWS)
        number = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
        first = (number - 1) * ROWS
    rows = [(one, charts.outcome(one), charts.ending(one)) for one in found.items[first : first + ROWS]]
    return frame.html("timeline.html", rows=rows, outcome_tones=TONES, first=first, count=len(found.items))


page("Timeline", "Deployments, failures and rollbacks over time.", body)
