"""The page «Promotion»: what a promotion would ship, and what is in its way."""

from __future__ import annotations

import streamlit as st
from board_frontend import grid, view
from board_frontend.frame import Frame, page

STATES = {
    "ready": ("ok", "Ready", "A promotion would ship what is shown here."),
    "nothing": ("none", "Nothing to ship", "Both environments run the same images."),
}
UNSURE = ("warn", "Unknown", "The backend cannot tell what a promotion would ship.")
BLOCKED = ("warn", "Blocked", "What is shown here waits until the way is free.")
"""Tone, word and sentence."""


def body(frame: Frame) -> None:
    """The part that renews itself."""
    overview = frame.ask(frame.board.now)
    if overview is None:
        return frame.footer(())
    frame.footer(overview.sources)
    applications = sorted({place.application for place in overview.places})
    targets = [one.name for one in grid.environments(overview, frame.settings.environments) if one.from_]
    if not applications:
        return frame.empty("Nothing has been deployed yet, so there is nothing to promote.")
    if not targets:
        return frame.empty(
            "No environment is promoted from another one. An environment's policy names its source as `from`."
        )
    application = frame.choose("Application", "application", applications)
    to = frame.choose("Environment", "to", targets, label="To", default=targets[-1])
    promotion = frame.ask(lambda: frame.board.promotion(application, to))
    if promotion is None:
        return None
    state = STATES.get(promotion.state, UNSURE)
    if promotion.state == "ready" and promotion.blocked:
        state = BLOCKED
    images = [
        (pair, view.size_difference(pair), view.vulnerability_difference(pair)) for pair in promotion.images
    ]
    frame.html("promotion.html", promotion=promotion, state=state, images=images)
    if promotion.state == "ready" and not promotion.blocked:
        with frame.content:
            st.caption("To open the pull request for it:")
            st.code(
                f"slipway promote {promotion.application} --to {promotion.to}", language=None, wrap_lines=True
            )
    return None


page(
    "Promotion", "What a promotion would ship from one environment to the next, and what is in its way.", body
)
