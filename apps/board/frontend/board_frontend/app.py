"""The release board: five pages around one frame."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from board_frontend.shell import SCREENS

HERE = Path(__file__).parent
ICON = HERE / "icon.svg"
"""A file, because a named icon would be fetched from the internet by the visitor's browser."""

PAGES = [
    st.Page(HERE / "screens" / f"{name}.py", title=title, url_path=name, default=name == next(iter(SCREENS)))
    for name, title in SCREENS.items()
]

current = st.navigation(PAGES, position="top")
st.set_page_config(page_title=f"{current.title} · Release board", page_icon=str(ICON), layout="wide")
st.logo(ICON, size="large")
st.html(HERE / "style.css")
current.run()
