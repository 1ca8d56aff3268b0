"""The only road to the backend."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from board_frontend.schema import Change, Changes, Deployments, Figures, Overview, Promotion, Status

Answer = TypeVar("Answer", bound=BaseModel)

KEPT = 256
"""Answers that are kept, each for one address; those longest unused make room."""

PAUSE_LIMIT = 60
"""Seconds that the backend may tell us to wait; more would look like an outage."""


@dataclass(frozen=True)
class Known(Generic[Answer]):
    """An answer, and when it was last known to be true."""

    value: Answer
    at: datetime
    etag: str | None = None


class BoardError(Exception):
    """The backend gave no answer that can be shown; the text is fit for the reader of the page.

    `known` is what the same question was answered before, if that may still be shown.
    """

    known: Known | None = None


class BoardUnavailable(BoardError):
    """It does not answer, not in time, or says that it cannot right now; the next try may work."""


class BoardMismatch(BoardError):
    """It answered something this version of the page does not understand."""


class BoardForbidden(BoardError):
    """It does not let this page read; what was read before is not to be shown either."""


class BoardUnknown(BoardError):
    """There is no such thing; the text says what was looked for."""


class BoardInvalid(BoardError):
    """It does not take a value that was asked with."""


class BoardClient:
    """Typed questions; every failure is a `BoardError`. May be used by many threads."""

    def __init__(self, base_url: str, *, timeout: float, token: str = ""):
        self._timeout = timeout
        self._kept: OrderedDict[str, Known] = OrderedDict()
        self._lock = threading.Lock()
        self._paused_until = 0.0
        login = {"Authorization": f"Bearer {token}"} if token else {}
        # A fresh connection for each call: a kept one may lead to a Pod that is just being replaced, and would
        # bind all calls of this process to a single replica.
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout,
            transport=httpx.HTTPTransport(retries=1, limits=httpx.Limits(max_keepalive_connections=0)),
            headers={"Accept": "application/json", **login},
        )

    def now(self) -> Known[Overview]:
        """What runs where."""
        return self._get(Overview, "/api/now")

    def deployments(self, **query: str | None) -> Known[Deployments]:
        """Of one environment, application or kind, `since` and `until` a time, at most `limit`."""
        return self._get(Deployments, "/api/deployments", query)

    def promotion(self, *, application: str, to: str) -> Known[Promotion]:
        """What would ship."""
        return self._get(Promotion, "/api/promotion", {"application": application, "to": to})

    def figures(self, **query: str | None) -> Known[Figures]:
        """DORA's, of one environment, application, `since` and `until` a time."""
        return self._get(Figures, "/api/dora", query)

    def changes(self) -> Known[Changes]:
        """The newest source commits."""
        return self._get(Changes, "/api/changes", {"limit": "30"})

    def change(self, text: str) -> Known[Change]:
        """A commit or an image; `BoardUnknown` when nothing records it."""
        return self._get(Change, f"/api/changes/{quote(text, safe='')}")

    def status(self) -> Known[Status]:
        """How well the backend knows what it says."""
        return self._get(Status, "/api/status")

    def _get(
        self, model: type[Answer], path: str, query: dict[str, str | None] | None = None
    ) -> Known[Answer]:
        given = {name: value for name, value in sorted((query or {}).items()) if value}
        address = f"{path}?{httpx.QueryParams(given)}" if given else path
        with self._lock:
            before = self._kept.get(address)
        try:
            known = self._answer(model, address, before)
        except (BoardUnavailable, BoardMismatch) as exc:
            exc.known = before
            raise
        with self._lock:
            self._kept[address] = known
            self._kept.move_to_end(address)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known

    def _answer(self, model: type[Answer], address: str, before: Known[Answer] | None) -> Known[Answer]:
        response = self._ask(address, before.etag if before else None)
        if response.status_code == 304 and before:
            return replace(before, at=datetime.now(UTC))
        if response.status_code != 200:
            raise self._error(response)
        try:
            value = model.model_validate_json(response.content)
        except ValidationError as exc:
            raise BoardMismatch("The backend's answer is not one this version understands.") from exc
        return Known(value, datetime.now(UTC), response.headers.get("ETag"))

    def _ask(self, address: str, etag: str | None) -> httpx.Response:
        if time.monotonic() < self._paused_until:
            raise BoardUnavailable("The backend is asked too often and told this page to wait.")
        try:
            return self._http.get(address, headers={"If-None-Match": etag} if etag else {})
        except httpx.TimeoutException as exc:
            raise BoardUnavailable(f"The backend did not answer within {self._timeout:g} s.") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise BoardUnavailable("The backend cannot be reached.") from exc

    def _error(self, response: httpx.Response) -> BoardError:
        status, detail = response.status_code, _detail(response)
        if status in (401, 403):
            with self._lock:
                self._kept.clear()
            return BoardForbidden(
                f"The backend does not let this page read (status {status})."
                " Fix: give frontend and backend the same BOARD_READ_TOKEN."
            )
        if status == 404 and detail not in ("", "Not Found"):
            return BoardUnknown(_sentence(detail))
        if status == 422:
            return BoardInvalid(
                _sentence(detail or "the backend does not take one of the values (status 422)")
            )
        if status == 429:
            self._paused_until = time.monotonic() + _pause(response)
            return BoardUnavailable("The backend is asked too often (status 429) and told this page to wait.")
        if status >= 500:
            said = f": {detail}" if detail else ""
            return BoardUnavailable(_sentence(f"The backend cannot answer right now (status {status}){said}"))
        return BoardMismatch(f"The backend refused the question (status {status}).")


def _detail(response: httpx.Response) -> str:
    """The sentence in an error's body, shortened; nothing when there is none, as from a proxy."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return detail[:500] if isinstance(detail, str) else ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].removesuffix('.')}."


def _pause(response: httpx.Response) -> int:
    """Seconds that Retry-After names."""
    try:
        return min(max(int(response.headers.get("Retry-After", "1")), 1), PAUSE_LIMIT)
    except ValueError:
        return 1
