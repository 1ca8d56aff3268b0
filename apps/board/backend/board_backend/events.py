"""What is written: the notifications of Argo CD."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from pydantic import ValidationError
from slipway.dora.events import Event

from board_backend.access import writer
from board_backend.api import PROBLEMS
from board_backend.ingest import Away
from board_backend.schema import EventResult, Problem

log = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024
"""Bytes of an event that are read."""

_PROBLEMS = {code: PROBLEMS[code] for code in (401, 422, 429, 503)}
_PROBLEMS |= {413: {"model": Problem, "description": f"More than {BODY_LIMIT} bytes"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": Event.model_json_schema()}},
    }
}

router = APIRouter(prefix="/api", dependencies=[Depends(writer)], responses=_PROBLEMS)


@router.post("/events", response_model=EventResult, summary="Keep a notification", openapi_extra=_BODY)
async def keep_event(request: Request) -> Response:
    """Answered when it is committed; telling it twice is fine, in whatever order."""
    counter = request.app.state.metrics.events
    try:
        event = Event.model_validate_json(await _body(request))
    except ValidationError as exc:
        counter.labels("unknown", "rejected").inc()
        raise HTTPException(422, problems(exc)) from exc
    try:
        stored = await request.app.state.writer.keep(event.fact())
    except Away as exc:
        counter.labels(event.event, "away").inc()
        raise HTTPException(503, str(exc), headers={"Retry-After": "1"}) from exc
    counter.labels(event.event, "stored" if stored else "duplicate").inc()
    fields = event.model_dump(include={"event", "application", "environment", "revision"})
    log.info("event", extra={"fields": {**fields, "stored": stored}})
    return Response(_STORED[stored], media_type="application/json")


_STORED = {known: EventResult(stored=known).model_dump_json().encode() for known in (True, False)}


async def _body(request: Request) -> bytes:
    """The body; 413 as soon as it is known to be longer than `BODY_LIMIT`."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not declared.isdecimal() or int(declared) > BODY_LIMIT:
        raise HTTPException(413, f"an event has at most {BODY_LIMIT} bytes")
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise HTTPException(413, f"an event has at most {BODY_LIMIT} bytes")
    return bytes(body)


def problems(error: ValidationError) -> str:
    """Where and what is wrong, without repeating what was sent."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'event'}: {one['msg']}" for one in found[:10])
