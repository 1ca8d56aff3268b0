"""Who may read, who may write, and how often."""

from __future__ import annotations

import math
import secrets
import time
from ipaddress import ip_address
from typing import Annotated

from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from board_backend.settings import Settings

READ = HTTPBearer(scheme_name="readToken", description="BOARD_READ_TOKEN", auto_error=False)
WRITE = HTTPBearer(scheme_name="eventsToken", description="BOARD_EVENTS_TOKEN", auto_error=False)
Given = HTTPAuthorizationCredentials | None


class Access:
    """The rules of one application object; limits count in this process."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._reads = RateLimitItemPerMinute(settings.reads_per_minute)
        self._events = RateLimitItemPerMinute(settings.events_per_minute)

    def reader(self, request: Request, given: Given) -> None:
        """Let a reader through: 401 for anyone else, 429 for one too eager, 503 when nobody was ever let in."""
        settings = self._settings
        if not (settings.read_token or settings.sign_on_header or settings.open):
            ways = "BOARD_READ_TOKEN, BOARD_SIGN_ON_HEADER with BOARD_SIGN_ON_FROM, or BOARD_OPEN=true"
            raise HTTPException(503, f"reading is switched off: set {ways}")
        login = self._login(request, given)
        # A login behind a proxy has the proxy's address: it is counted by its name.
        self._count(self._reads, "read", login or _peer(request))
        if login is None:
            raise _unknown("a valid bearer token or single sign-on is needed")

    def _login(self, request: Request, given: Given) -> str | None:
        """Who reads; None for a stranger."""
        settings = self._settings
        if settings.open or _is(given, settings.read_token):
            return f"peer {_peer(request)}"
        name = settings.sign_on_header and request.headers.get(settings.sign_on_header)
        return f"login {name}" if name and self._is_proxy(_peer(request)) else None

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._settings.sign_on_networks)

    def writer(self, request: Request, given: Given) -> None:
        """Let the holder of the events token through; 401 for anyone else, 503 when there is no token to compare."""
        token = self._settings.events_token
        if token is None:
            raise HTTPException(503, "events are switched off: BOARD_EVENTS_TOKEN is not set")
        self._count(self._events, "write", _peer(request))
        if not _is(given, token):
            raise _unknown("a valid bearer token is needed")

    def _count(self, limit: RateLimitItemPerMinute, what: str, who: str) -> None:
        if not self._limiter.hit(limit, what, who):
            reset = self._limiter.get_window_stats(limit, what, who).reset_time
            after = max(1, math.ceil(reset - time.time()))
            raise HTTPException(429, "too many requests", headers={"Retry-After": str(after)})


async def reader(request: Request, given: Annotated[Given, Security(READ)]) -> None:
    """The dependency of what is read."""
    request.app.state.access.reader(request, given)


async def writer(request: Request, given: Annotated[Given, Security(WRITE)]) -> None:
    """The dependency of what is written."""
    request.app.state.access.writer(request, given)


def _is(given: Given, token) -> bool:
    if given is None or token is None:
        return False
    return secrets.compare_digest(given.credentials.strip().encode(), token.get_secret_value().encode())


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _unknown(why: str) -> HTTPException:
    return HTTPException(401, why, headers={"WWW-Authenticate": "Bearer"})
