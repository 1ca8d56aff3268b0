"""Streamlit's own scripts, styles and fonts, compressed once and served from memory.

Streamlit sends them as they are, 3 MB for a first visit, and leaves the rest to a proxy; a load balancer does nothing.
"""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Iterable
from pathlib import Path

import streamlit as st
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.url_util import make_url_path

STATIC = Path(st.__file__).with_name("static")

COMPRESSED = {".js", ".css", ".svg", ".json"}
"""Endings of what gets smaller; fonts and pictures are compressed already."""


class Assets:
    """ASGI middleware that answers for the files below `static/`; whatever else is asked goes on to the application."""

    def __init__(self, app: ASGIApp, first: Iterable[str] = ()):
        """`first` are files, named from `static/` on, that are made ready at once."""
        self.app = app
        base = make_url_path(st.get_option("server.baseUrlPath"), "").rstrip("/")
        found = (path for path in (STATIC / "static").rglob("*") if path.is_file())
        self._files = {f"{base}/{path.relative_to(STATIC).as_posix()}": path for path in found}
        self._ready: dict[str, Response] = {}
        for name in first:
            self._answer(f"{base}/{name}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._files:
            headers = Headers(scope=scope)
            if "gzip" in headers.get("accept-encoding", "") and "range" not in headers:
                return await self._answer(scope["path"])(scope, receive, send)
        await self.app(scope, receive, send)

    def _answer(self, address: str) -> Response:
        if address not in self._ready:
            path = self._files[address]
            # Each name holds a digest of the content.
            headers = {"Cache-Control": "public, immutable, max-age=31536000", "Vary": "Accept-Encoding"}
            content = path.read_bytes()
            if path.suffix in COMPRESSED:
                content = gzip.compress(content, compresslevel=6)
                headers["Content-Encoding"] = "gzip"
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            self._ready[address] = Response(content, headers=headers, media_type=kind)
        return self._ready[address]
