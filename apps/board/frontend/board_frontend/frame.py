"""What every page of the board has: renewing, notices, filters that live in the address, and the footer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import streamlit as st

from board_frontend import view
from board_frontend.ask import Board, Told
from board_frontend.client import BoardForbidden, BoardInvalid, BoardMismatch, BoardUnknown
from board_frontend.markup import render
from board_frontend.period import DAYS, PERIODS, Period, between, last
from board_frontend.schema import Source
from board_frontend.settings import Settings

Answer = TypeVar("Answer")

SLOW = 2.0
"""Seconds an answer may take before the page says that it took long."""

_ICONS = {
    BoardForbidden: ":material/lock:",
    BoardMismatch: ":material/difference:",
    BoardInvalid: ":material/help:",
    BoardUnknown: ":material/search_off:",
}

_SOURCE_TONES = {"ok": "ok", "stale": "warn"}


class Frame:
    """The parts of one page, in an order that never changes, so that nothing moves when the page renews itself."""

    def __init__(self, title: str, settings: Settings):
        self.settings = settings
        self.board = Board(settings)
        self._title, self._questions = title, 0
        self._notices = st.container(key="notices")
        self.filters = st.container(key="filters", horizontal=True, vertical_alignment="bottom")
        self._wrong = st.container(key="wrong")
        self._loading = st.container(key="loading")
        self.content = st.container(key="content")
        self._footer = st.container(key="footer")
        self._told: list[str] = []

    def ask(self, question: Callable[[], Told[Answer]], *, height: int = 320) -> Answer | None:
        """What is known, with a notice when it may be old; None, with a notice, when nothing is."""
        self._questions += 1
        seen = f"seen {self._title} {self._questions}"
        if seen in st.session_state:
            told = question()
        else:
            with self._loading, st.skeleton(height=height):
                told = question()
        self._tell(told)
        if told.value is not None:
            st.session_state[seen] = True
        return told.value

    def _tell(self, told: Told) -> None:
        """Say what went wrong, once."""
        if told.error is None:
            if told.seconds > SLOW and "slow" not in self._told:
                self._told.append("slow")
                text = f"The backend is slow: it takes more than {SLOW:g} s to answer."
                self._notices.info(text, icon=":material/hourglass_top:")
            return
        icon = _ICONS.get(type(told.error), ":material/cloud_off:")
        again = f"Trying again every {self.settings.refresh_seconds:g} s."
        text = view.plain(str(told.error))
        # Several questions may fail for one reason.
        if str(told.error) in self._told:
            return
        self._told.append(str(told.error))
        if isinstance(told.error, (BoardUnknown, BoardInvalid)):
            self._notices.info(text, icon=icon)
        elif told.at is None:
            self._notices.error(f"{text} {again}", icon=icon)
        else:
            known = f"Shown is the state of {view.moment_to_the_second(told.at)}."
            self._notices.warning(f"{text} {known} {again}", icon=icon)

    def choose(
        self,
        what: str,
        name: str,
        options: Sequence[str],
        *,
        label: str | None = None,
        every: str | None = None,
        default: str | None = None,
    ) -> str | None:
        """One of `options`, kept in the address as `name`; None for `every`, which then comes first.

        An address that asks for what there is not is told so, until something else is chosen.
        """
        offered = [every, *options] if every else list(options)
        first = offered.index(default) if default in offered else 0
        wanted = st.query_params.get(name)
        if name in st.session_state:
            # Chosen on another page, which offers more, or no longer offered: no mistake of the address.
            if st.session_state[name] not in offered:
                del st.session_state[name]
        elif wanted is not None and wanted not in offered:
            st.session_state[f"wrong {name}"] = wanted
        with self.filters:
            chosen = st.selectbox(label or what, offered, index=first, key=name, bind="query-params", on_change=self._right, args=(name,), width=220)  # fmt: skip
        if (wrong := st.session_state.get(f"wrong {name}")) is not None:
            self._wrong.warning(
                f"The address asks for “{view.plain(view.clipped(wrong))}”, which is no {what.lower()} here."
                f" Shown: {view.plain(str(chosen))}.",
                icon=":material/link_off:",
            )
        return None if every and chosen == every else chosen

    def _right(self, name: str) -> None:
        st.session_state.pop(f"wrong {name}", None)

    def choose_period(self, default: str, name: str) -> Period:
        """A time that ends now, or whole days; kept in the address as `name` and `days`."""
        chosen = self.choose("Period", name, [*PERIODS, DAYS], default=default)
        now = datetime.now(UTC)
        if chosen != DAYS:
            return last(chosen, now)
        week = (now.date() - timedelta(days=6), now.date())
        with self.filters:
            days = st.date_input("Days (UTC)", week, key="days", bind="query-params", format="YYYY-MM-DD", width=220)  # fmt: skip
        # While the second day is being chosen there is only the first.
        return between(days[0], days[-1]) if days else between(*week)

    def html(self, template: str, **values: object) -> None:
        """A template as the next part of the content."""
        with self.content:
            st.html(render(template, **values))

    def empty(self, text: str) -> None:
        """Say in words that there is nothing, and what will change that."""
        self.content.info(text, icon=":material/inbox:")

    def footer(self, sources: Sequence[Source] | None = None) -> None:
        """How fresh the backend's sources are, and which build of the page this is."""
        if sources is None:
            status = self.board.status()
            sources = status.value.sources if status.value else ()
        stale = [view.plain(view.clipped(one.name)) for one in sources if one.state == "stale"]
        if stale:
            text = (
                f"The backend could not renew what it knows from: {', '.join(stale)}."
                " Details are at the foot of the page."
            )
            self._notices.warning(text, icon=":material/update_disabled:")
        with self._footer:
            st.html(
                render("footer.html", sources=sources, settings=self.settings, source_tones=_SOURCE_TONES)
            )


def page(title: str, about: str, body: Callable[[Frame], None]) -> None:
    """A page that renews itself."""
    settings = Settings.from_environment()
    st.title(title, anchor=False)
    st.caption(about)

    def renewed() -> None:
        body(Frame(title, settings))

    st.fragment(renewed, run_every=settings.refresh_seconds, key=title)()
