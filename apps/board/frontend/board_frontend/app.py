"""The page «Now»: which version runs in which environment since when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from board_frontend import view
from board_frontend.client import BoardClient, BoardError
from board_frontend.schema import Deployment
from board_frontend.settings import Settings

ICON = Path(__file__).with_name("icon.svg")
"""A file, because a named icon would be fetched from the internet by the visitor's browser."""


@st.cache_resource(show_spinner=False)
def client(url: str, timeout: float) -> BoardClient:
    return BoardClient(url, timeout=timeout)


@st.cache_data(ttl=1, show_spinner=False)
def current(url: str, timeout: float) -> list[Deployment]:
    """One question a second to the backend, however many pages are open."""
    return client(url, timeout).current()


def ask(settings: Settings) -> tuple[datetime, list[Deployment]] | None:
    """What is known and since when; after a failure what was known before, with a notice, or else `None`."""
    try:
        items = current(settings.api_url, settings.timeout_seconds)
    except BoardError as exc:
        known = st.session_state.get("known")
        again = f"Trying again every {settings.refresh_seconds:g} s."
        if known is None:
            st.error(f"{exc} {again}", icon=":material/cloud_off:")
        else:
            st.warning(
                f"{exc} Shown is the state of {view.moment(known[0])}. {again}", icon=":material/cloud_off:"
            )
        return known
    st.session_state["known"] = (datetime.now(UTC), items)
    return st.session_state["known"]


def chosen(items: list[Deployment]) -> list[Deployment]:
    """`items` of the environment that the page's address asks for; all, with a notice, when there is none such."""
    wanted = st.query_params.get("environment")
    if wanted is None:
        return items
    found = [item for item in items if item.environment == wanted]
    if not found:
        st.warning(f"Nothing is deployed to an environment named “{view.plain(wanted[:63])}”. Shown are all.")
    return found or items


def card(item: Deployment | None, environment: str, now: datetime) -> None:
    """One cell of the table."""
    with st.container(border=True):
        if item is None:
            st.markdown(f"**{view.plain(environment)}**")
            st.caption("Not deployed")
            return
        text, colour, icon = view.health(item.health)
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{view.plain(environment)}**", width="content")
            st.badge(text, color=colour, icon=icon)
        st.markdown(f"`{item.version or 'several versions'}`")
        since = item.running_since or item.deployed_at
        st.markdown(f"**{view.age(since, now)}** · since {view.moment(since)}")
        lines = [("commit", view.short(item.commit)), *map(view.image_line, item.images)]
        lines.append(("deploy commit", view.short(item.revision)))
        if item.sync not in ("", "Synced"):
            lines.append(("sync", item.sync))
        st.caption("  \n".join(f"{view.plain(name)} `{value}`" for name, value in lines))


def now(settings: Settings) -> None:
    """The part of the page that renews itself."""
    if "known" in st.session_state:
        known = ask(settings)
    else:
        with st.skeleton(height=220):
            known = ask(settings)
    if known is None:
        return
    if not known[1]:
        st.info(
            "Nothing has been deployed yet. The first deployment appears here by itself.",
            icon=":material/inbox:",
        )
        return
    table = view.grid(chosen(known[1]), settings.environments)
    clock = datetime.now(UTC)
    for application in table.applications:
        st.subheader(view.plain(application), anchor=False)
        for column, environment in zip(st.columns(len(table.environments)), table.environments, strict=True):
            with column:
                card(table.cells.get((application, environment)), environment, clock)


def page(settings: Settings) -> None:
    """Everything."""
    st.set_page_config(page_title="Now · Release board", page_icon=str(ICON), layout="wide")
    st.html("<style>.stMainBlockContainer { padding-top: 2.5rem; padding-bottom: 2rem }</style>")
    st.title("Now", anchor=False)
    st.caption("Which version runs in which environment, since when.")
    st.fragment(now, run_every=settings.refresh_seconds)(settings)
    st.divider()
    st.caption(f"Release board {view.plain(settings.version)} · commit {settings.commit or 'unknown'}")


page(Settings.from_environment())
