"""The HTML document in which Streamlit's page runs."""

from __future__ import annotations

import json
import re

import streamlit as st
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.url_util import make_url_path

from board_frontend.assets import STATIC

SCREENS = {
    "now": "Now",
    "promotion": "Promotion",
    "timeline": "Timeline",
    "dora": "DORA",
    "change": "One change",
}
"""The pages: their place in the address and their title; the first is also the page of no place at all."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
    "frame-ancestors 'self'"
)
"""Whatever a text from outside becomes, the browser asks no other server for anything."""


class Shell:
    """ASGI middleware that answers the addresses of the pages with Streamlit's own document, and two things added.

    Told where the server is, the browser does not look for it below each page's own address, which costs two
    answers 404. The policy lets it ask no other server.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self._base = make_url_path(st.get_option("server.baseUrlPath"), "").rstrip("/")
        self._paths = {f"{self._base}/", *(f"{self._base}/{name}" for name in SCREENS)}
        self._page = HTMLResponse(
            _document(self._base), headers={"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in self._paths:
            return await self._page(scope, receive, send)
        await self.app(scope, receive, send)


def named() -> list[str]:
    """The files that Streamlit's document names, without which no page shows anything."""
    return re.findall(r'(?:href|src)="\./(static/[^"]+)"', _index())


def _index() -> str:
    return (STATIC / "index.html").read_text(encoding="utf-8")


def _document(base: str) -> str:
    """Streamlit's own document for a base path such as `/board`, or an empty one."""
    where = f"new URL({json.dumps(base + '/')}, location.origin).href"
    told = f"window.__streamlit = {{BACKEND_BASE_URL: {where}, MAIN_PAGE_BASE_URL: {where}}}"
    return _index().replace("<head>", f"<head>\n    <script>{told}</script>", 1)
