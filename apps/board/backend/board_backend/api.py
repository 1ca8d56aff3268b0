"""What is read: every route below /api but that of the events."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator
from slipway.dora.events import Name
from slipway.dora.metrics import PERIOD, Figures

from board_backend import answers, changes, now, promotion, view
from board_backend.access import reader
from board_backend.schema import Change, Changes, Deployments, Kind, Now, Problem, Promotion, Status
from board_backend.snapshot import Row


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as exc:
        raise ValueError("a time that no clock shows in UTC") from exc


Time = Annotated[datetime, AfterValidator(_utc)]
Asked = Annotated[Name | None, Query()]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "description": text}
    for code, text in (
        (401, "No login, or a wrong one"),
        (404, "Not there"),
        (422, "A parameter that is not allowed"),
        (429, "Too many requests; see Retry-After"),
        (503, "The database is away, or reading is switched off"),
    )
} | {304: {"description": "What If-None-Match names is still right"}}

router = APIRouter(prefix="/api", dependencies=[Depends(reader)], responses=PROBLEMS)


@router.get("/now", response_model=Now, summary="What runs where")
async def read_now(request: Request) -> Response:
    """Every application in every environment, with what Git wants, holds, freezes, and the state of the sources."""
    snapshot, addresses = answers.current(request), request.app.state.addresses
    return await answers.kept(
        request, snapshot, "now", lambda: now.now(snapshot, addresses, datetime.now(UTC))
    )


@router.get("/deployments", response_model=Deployments, summary="Deployments, newest first")
async def read_deployments(
    request: Request,
    environment: Asked = None,
    application: Asked = None,
    kind: Annotated[Kind | None, Query()] = None,
    failed: Annotated[bool | None, Query()] = None,
    since: Annotated[Time | None, Query()] = None,
    until: Annotated[Time | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """One page; `next` leads to the following one, which is the same however much comes in meanwhile."""
    snapshot = answers.current(request)
    before = min(filter(None, (_position(cursor), until and (until, ""))), default=None)

    def fits(row: Row) -> bool:
        return kind in (None, row.attempt.kind) and failed in (None, row.attempt.failure is not None)

    def make() -> Deployments:
        rows = snapshot.newest_first(before, environment, application)
        recent = takewhile(lambda row: since is None or row.at >= since, rows)
        found = list(islice(filter(fits, recent), limit + 1))
        more = _cursor(found[limit - 1]) if len(found) > limit else None
        items = [view.deployment(row, snapshot, request.app.state.addresses) for row in found[:limit]]
        return Deployments(items=items, next=more)

    asked = (environment, application, kind, failed, since, until, limit, cursor)
    return await answers.kept(request, snapshot, f"deployments {asked}", make)


def _cursor(row: Row) -> str:
    return base64.urlsafe_b64encode(f"{row.at.isoformat()} {row.id}".encode()).decode().rstrip("=")


def _position(cursor: str | None) -> tuple[datetime, str] | None:
    """Where a page begins; 422 for what is no cursor of ours."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, identity = text.partition(" ")
        return _utc(datetime.fromisoformat(moment)), identity
    except (ValueError, binascii.Error) as exc:
        raise HTTPException(422, "cursor: not one of those that were given out") from exc


@router.get("/promotion", response_model=Promotion, summary="What a promotion would ship")
async def read_promotion(
    request: Request,
    application: Annotated[Name, Query()],
    to: Annotated[Name, Query()],
    from_: Annotated[Name | None, Query(alias="from")] = None,
) -> Response:
    """Commits with their authors and how long they wait, the images on both sides, and what stands against it."""
    snapshot, state = answers.current(request), request.app.state
    try:
        source = promotion.ends(snapshot, application, to, from_)
    except promotion.Unknown as exc:
        raise HTTPException(404 if exc.missing else 422, str(exc)) from exc
    moment = datetime.now(UTC).replace(second=0, microsecond=0)
    asked = {"application": application, "from_": source, "to": to, "moment": moment}
    return await answers.fresh(
        request, lambda: promotion.promotion(snapshot, state.addresses, state.images, **asked)
    )


@router.get("/dora", response_model=Figures, summary="How fast and how safely is delivered")
async def read_dora(
    request: Request,
    environment: Asked = None,
    application: Asked = None,
    since: Annotated[Time | None, Query()] = None,
    until: Annotated[Time | None, Query()] = None,
) -> Response:
    """The figures of `slipway dora`; what is undefined without a deployment is null."""
    snapshot = answers.current(request)
    names = snapshot.environments
    if environment is not None and environment not in names:
        raise HTTPException(404, f"no environment {environment}; there are: {', '.join(names) or 'none'}")
    where = environment or (names[-1] if names else None)
    if where is None:
        raise HTTPException(404, "no environment is known yet")
    end = until or datetime.now(UTC).replace(microsecond=0)
    begin = since or _before(end, PERIOD)
    if begin >= end:
        raise HTTPException(422, "since: not before `until`")
    asked = (where, application, begin, end)
    return await answers.kept(request, snapshot, f"dora {asked}", lambda: snapshot.figures(*asked))


def _before(end: datetime, period: timedelta) -> datetime:
    try:
        return end - period
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@router.get("/changes", response_model=Changes, summary="The newest changes")
async def read_changes(request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 30) -> Response:
    """The newest source commits that some environment runs, ran or will run."""
    snapshot, addresses = answers.current(request), request.app.state.addresses
    return await answers.kept(
        request, snapshot, f"changes {limit}", lambda: changes.newest(snapshot, addresses, limit)
    )


@router.get("/changes/{text:path}", response_model=Change, summary="One change's way")
async def read_change(request: Request, text: Annotated[str, Path(min_length=1, max_length=600)]) -> Response:
    """A source commit, a deploy commit or an image: the verdicts of `slipway live`, and each step with its time."""
    snapshot, state = answers.current(request), request.app.state
    try:
        return await answers.fresh(
            request, lambda: changes.change(snapshot, state.addresses, state.observe, text)
        )
    except changes.Unrecorded as exc:
        raise HTTPException(404, str(exc)) from exc
    except changes.Unclear as exc:
        raise HTTPException(422, str(exc)) from exc


@router.get("/status", response_model=Status, summary="How the board itself is")
async def read_status(request: Request) -> Response:
    """The sources, and how much is known."""
    snapshot = answers.current(request)

    def make() -> Status:
        return Status(
            sources=list(snapshot.sources),
            facts=snapshot.facts,
            deployments=sum(map(len, snapshot.rows.values())),
            changed_at=snapshot.changed_at,
        )

    return await answers.kept(request, snapshot, "status", make)
