"""The charts; colours are readable on light and dark, and each is joined by a shape or a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

import altair as alt
import pandas as pd

from board_frontend import view
from board_frontend.schema import Deployment, LeadTime

OUTCOMES = {
    "deployed": ("circle", "#2f9e57"),
    "configuration": ("square", "#7d8590"),
    "rolled back": ("triangle-left", "#c9831a"),
    "failed": ("cross", "#e5484d"),
    "running": ("diamond", "#3b82f6"),
    "superseded": ("triangle-right", "#7d8590"),
}
"""What became of a deployment: shape and colour."""

STAGES = {
    "build": ("Build", "#3b82f6"),
    "queue": ("Queue", "#8e8cd8"),
    "review": ("Review", "#c9831a"),
    "argocd": ("Argo CD", "#2f9e57"),
    "rollout": ("Rollout", "#2aa3b5"),
}
"""Parts of the lead time: title and colour."""

_TIMES = {
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
    "day": "%a %d",
    "date": "%d %b",
    "week": "%d %b",
}
"""How the axis names a moment, in UTC."""

LANE = 14
"""Pixels of one line of the timeline."""

AROUND = 120
"""Pixels for legend and axis, which Streamlit counts as part of a chart's height."""


def outcome(one: Deployment) -> str:
    """One of `OUTCOMES`."""
    if one.failure or one.state == "failed":
        return "failed"
    if one.state in ("running", "superseded"):
        return one.state
    return {"rollback": "rolled back", "config": "configuration"}.get(one.kind, "deployed")


def ending(one: Deployment) -> str:
    """How a failed deployment ended; nothing for one that did not fail."""
    if not one.failure:
        return ""
    if one.failure.recovered_at is None:
        return "still open"
    return f"recovered after {view.span((one.failure.recovered_at - one.failure.at).total_seconds())}"


def _rows(items: Sequence[Deployment]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "at": one.at.astimezone(UTC),
                "application": one.application,
                "environment": one.environment,
                "outcome": outcome(one),
                "version": view.version(one.version),
                "subject": view.clipped(one.subject or "", 80),
                "reason": view.clipped(one.failure.reason, 80) if one.failure else "",
                "ending": ending(one),
            }
            for one in items
        ]
    )


def timeline(items: Sequence[Deployment], lanes: Sequence[str], *, by: str) -> alt.Chart:
    """Deployments over time, with a lane for each environment or application, as `by` says.

    In a lane of an environment each application has a line of its own.
    """
    rows = _rows(items)
    lines = rows["application"].nunique() if by == "environment" else 1
    height = max(3 * LANE, min(lines, 20) * LANE)
    move = alt.selection_interval(bind="scales", encodings=["x"], zoom="wheel![event.ctrlKey]")
    names = list(OUTCOMES)
    encodings = {
        "x": alt.X(
            "at:T",
            title=None,
            axis=alt.Axis(format=_TIMES, labelOverlap=True),
            scale=alt.Scale(type="utc", nice=False, padding=16),
        ),
        "y": alt.Y(
            f"{by}:N",
            title=None,
            scale=alt.Scale(domain=list(lanes), paddingInner=0.3),
            axis=alt.Axis(grid=True, tickBand="extent", labelLimit=140),
        ),
        "shape": alt.Shape(
            "outcome:N",
            title=None,
            scale=alt.Scale(domain=names, range=[OUTCOMES[n][0] for n in names]),
            legend=alt.Legend(orient="top", columns=3),
        ),  # fmt: skip
        "color": alt.Color(
            "outcome:N", title=None, scale=alt.Scale(domain=names, range=[OUTCOMES[n][1] for n in names])
        ),  # fmt: skip
        "tooltip": [
            alt.Tooltip("at:T", title="Time (UTC)", format="%Y-%m-%d %H:%M:%S"),
            *(alt.Tooltip(f"{name}:N", title=name.capitalize()) for name in rows.columns if name != "at"),
        ],
    }
    if lines > 1:
        encodings["yOffset"] = alt.YOffset("application:N")
    return (
        alt.Chart(rows, height=height * len(lanes) + AROUND)
        .mark_point(filled=True, size=70, opacity=0.85)
        .encode(**encodings)
        .add_params(move)
    )


def stages(lead: LeadTime) -> alt.Chart:
    """The parts of the lead time, in hours, one bar for the median of each and one for its p90."""
    titles = [title for title, _ in STAGES.values()]
    rows = pd.DataFrame(
        [
            {
                "measure": measure,
                "stage": STAGES[stage.name][0],
                "order": n,
                "hours": value / 3600,
                "time": view.span(value),
            }
            for n, stage in enumerate(lead.stages)
            if stage.name in STAGES
            for measure, value in (("median", stage.median), ("p90", stage.p90))
            if value is not None
        ]
    )
    return (
        alt.Chart(rows, height=2 * 34 + AROUND)
        .mark_bar(height=20)
        .encode(
            x=alt.X("hours:Q", title="hours", stack="zero"),
            y=alt.Y("measure:N", title=None, sort=["median", "p90"]),
            color=alt.Color(
                "stage:N",
                title=None,
                sort=titles,
                scale=alt.Scale(domain=titles, range=[colour for _, colour in STAGES.values()]),
                legend=alt.Legend(orient="top", columns=3),
            ),  # fmt: skip
            order=alt.Order("order:Q"),
            tooltip=[
                alt.Tooltip("stage:N", title="Stage"),
                alt.Tooltip("measure:N", title="Measure"),
                alt.Tooltip("time:N", title="Time"),
            ],
        )
    )
