"""What the pages ask: one question a second to the backend for each address, however many pages are open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import streamlit as st
from pydantic import BaseModel

from board_frontend.client import BoardClient, BoardError, Known
from board_frontend.schema import Change, Changes, Deployments, Figures, Overview, Promotion, Status
from board_frontend.settings import Settings

Answer = TypeVar("Answer", bound=BaseModel)

AGAIN = 1
"""Seconds for which an answer, or the lack of one, is that of every page that asks the same."""


@dataclass(frozen=True)
class Told(Generic[Answer]):
    """What is known, since when it may be old, and how long the backend took, in seconds.

    `error` is why there is nothing newer; `value` and `at` are then what was known before, or None.
    """

    value: Answer | None
    at: datetime | None
    seconds: float
    error: BoardError | None = None


@st.cache_resource(show_spinner=False)
def _client(url: str, timeout: float, token: str) -> BoardClient:
    return BoardClient(url, timeout=timeout, token=token)


# A resource and not data, because data would be copied for each page.
@st.cache_resource(ttl=AGAIN, max_entries=256, show_spinner=False)
def asked(_question: Callable[[BoardClient], Known], api: tuple, key: tuple) -> Told:
    """What the backend says to a question, which `key` stands for."""
    begin = time.monotonic()
    try:
        known = _question(_client(*api))
    except BoardError as exc:
        before = exc.known
        return Told(before and before.value, before and before.at, time.monotonic() - begin, error=exc)
    return Told(known.value, known.at, time.monotonic() - begin)


class Board:
    """The questions; none of them raises."""

    def __init__(self, settings: Settings):
        self._api = (settings.api_url, settings.timeout_seconds, settings.read_token)

    def _ask(self, name: str, *args: str, **query: str | None) -> Told:
        key = (name, args, tuple(sorted(query.items())))
        return asked(lambda client: getattr(client, name)(*args, **query), self._api, key)

    def now(self) -> Told[Overview]:
        """What runs where."""
        return self._ask("now")

    def deployments(self, **query: str | None) -> Told[Deployments]:
        """As `BoardClient.deployments`."""
        return self._ask("deployments", **query)

    def promotion(self, application: str, to: str) -> Told[Promotion]:
        """What would ship."""
        return self._ask("promotion", application=application, to=to)

    def figures(self, **query: str | None) -> Told[Figures]:
        """As `BoardClient.figures`."""
        return self._ask("figures", **query)

    def changes(self) -> Told[Changes]:
        """The newest source commits."""
        return self._ask("changes")

    def change(self, text: str) -> Told[Change]:
        """A commit or an image."""
        return self._ask("change", text)

    def status(self) -> Told[Status]:
        """How well the backend knows what it says."""
        return self._ask("status")
