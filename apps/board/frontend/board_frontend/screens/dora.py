"""The page «DORA»: how fast and how safely is delivered, and how each figure comes about."""

from __future__ import annotations

import streamlit as st
from board_frontend import charts, grid, view
from board_frontend.figures import cards
from board_frontend.frame import Frame, page


def body(frame: Frame) -> None:
    """The part that renews itself."""
    overview = frame.ask(frame.board.now)
    if overview is None:
        return frame.footer(())
    frame.footer(overview.sources)
    names = [one.name for one in grid.environments(overview, frame.settings.environments)]
    if not names:
        return frame.empty("No environment is known yet. The first deployment brings one.")
    applications = sorted({place.application for place in overview.places})
    application = frame.choose("Application", "application", applications, every="All applications")
    environment = frame.choose("Environment", "environment", names, default=names[-1])
    period = frame.choose_period("90 days", "over")
    figures = frame.ask(
        lambda: frame.board.figures(application=application, environment=environment, **period.query)
    )
    if figures is None:
        return None
    frame.html("cards.html", cards=cards(figures))
    with frame.content:
        st.subheader("Where the lead time goes", anchor=False)
        if any(stage.median is not None for stage in figures.lead_time.stages):
            st.altair_chart(charts.stages(figures.lead_time), key="stages", alt="Median and p90 of each stage of the lead time; the table below has the same.")  # fmt: skip
        else:
            st.caption("Undefined: no source commit went live for the first time in this time.")
    frame.html("stages.html", lead=figures.lead_time, titles={name: title for name, (title, _) in charts.STAGES.items()})  # fmt: skip
    with frame.content:
        st.subheader("Failed deployments", anchor=False)
    frame.html("failures.html", failures=figures.failures[::-1], figures=figures)
    with frame.content:
        st.caption("The same figures, from Git alone:")
        parts = ["slipway dora", f"--env {figures.environment}"]
        parts += [f"--app {figures.application}"] if figures.application else []
        parts += [f"--since {view.iso(figures.since)}", f"--until {view.iso(figures.until)}"]
        st.code(" ".join(parts), language=None, wrap_lines=True)
    return None


page("DORA", "How fast and how safely is delivered. Every figure says how it comes about; what cannot be known is undefined, never 0.", body)  # fmt: skip
