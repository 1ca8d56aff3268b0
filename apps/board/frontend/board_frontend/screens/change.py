"""The page «One change»: a commit or an image from push to live, with the answer of `slipway live`."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st
from board_frontend import view
from board_frontend.frame import Frame, page


def body(frame: Frame) -> None:
    """The part that renews itself."""
    with frame.filters:
        asked = st.text_input("Commit or image", key="change", bind="query-params", type="search", max_chars=300, placeholder="Source commit, deploy commit, or NAME@sha256:…", width="stretch")  # fmt: skip
    asked = (asked or "").strip()
    if asked:
        change = frame.ask(lambda: frame.board.change(asked))
        if change is not None:
            places = {(one.environment, one.app) for one in change.verdicts}
            ways = {(one.environment, one.application): one for one in change.steps}
            rows = [(one, ways.get((one.environment, one.app))) for one in change.verdicts]
            rows += [(None, one) for where, one in ways.items() if where not in places]
            frame.html("change.html", change=change, rows=rows, verdict_tones=view.VERDICT_TONES)
    changes = frame.ask(frame.board.changes)
    if changes is not None:
        if changes.items:
            frame.html("changes.html", changes=changes.items, now=datetime.now(UTC), asked=asked)
        elif not asked:
            frame.empty(
                "No source commit is known yet: none was deployed, or the source repository is not read."
            )
    frame.footer()


page(
    "One change",
    "Where a commit or an image is, what keeps it from being live, and how long each step took.",
    body,
)
