"""Answers as bytes: made once for a snapshot, told apart by their ETag."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from fastapi import HTTPException, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from board_backend.snapshot import Snapshot

_CACHE = "private, no-cache"


def current(request: Request) -> Snapshot:
    """The newest snapshot; 503 until the table was read for the first time."""
    model = request.app.state.model
    if model.snapshot is None:
        why = f"nothing has been read from the database yet: {model.sources.get('database').message}"
        raise HTTPException(503, why, headers={"Retry-After": "1"})
    return model.snapshot


async def kept(request: Request, snapshot: Snapshot, key: str, make: Callable[[], BaseModel]) -> Response:
    """The answer under `key`, made in a thread unless the snapshot has it, and once for all who ask meanwhile."""
    found = snapshot.kept.get(key)
    if found is None:
        found = asyncio.ensure_future(run_in_threadpool(_made, make))
        snapshot.kept.put(key, found)
        found.add_done_callback(lambda done: done.exception() and snapshot.kept.drop(key))
    # Who hangs up does not take the answer from the others.
    return _response(request, *await asyncio.shield(found))


async def fresh(request: Request, make: Callable[[], BaseModel]) -> Response:
    """An answer of things that change without the snapshot."""
    return _response(request, *await run_in_threadpool(_made, make))


def _made(make: Callable[[], BaseModel]) -> tuple[str, bytes]:
    body = make().model_dump_json().encode()
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"', body


def _response(request: Request, tag: str, body: bytes) -> Response:
    headers = {"ETag": tag, "Cache-Control": _CACHE}
    asked = request.headers.get("if-none-match", "")
    if asked and (
        asked.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in asked.split(","))
    ):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)
