"""The only road to the backend."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from board_frontend.schema import Deployment, Deployments

Answer = TypeVar("Answer", bound=BaseModel)


class BoardError(Exception):
    """The backend gave no answer that can be shown; the text is fit for the reader of the page."""


class BoardUnavailable(BoardError):
    """It does not answer, not in time, or says that it cannot right now; the next try may work."""


class BoardMismatch(BoardError):
    """It answered something this version of the page does not understand."""


class BoardClient:
    """Typed calls; every failure is a `BoardError`."""

    def __init__(self, base_url: str, *, timeout: float):
        self._timeout = timeout
        # A fresh connection for each call: a kept one may lead to a Pod that is just being replaced, and would
        # bind all calls of this process to a single replica.
        self._http = httpx.Client(
            base_url=base_url,
            timeout=timeout,
            transport=httpx.HTTPTransport(retries=1, limits=httpx.Limits(max_keepalive_connections=0)),
            headers={"Accept": "application/json"},
        )

    def current(self) -> list[Deployment]:
        """What runs now, one item per application and environment."""
        return self._get("/api/deployments", Deployments, current="true").items

    def _get(self, path: str, model: type[Answer], **query: str) -> Answer:
        try:
            answer = self._http.get(path, params=query)
        except httpx.TimeoutException as exc:
            raise BoardUnavailable(f"The backend did not answer within {self._timeout:g} s.") from exc
        except httpx.HTTPError as exc:
            raise BoardUnavailable("The backend cannot be reached.") from exc
        if answer.status_code >= 500 or answer.status_code == 429:
            raise BoardUnavailable(f"The backend cannot answer right now (status {answer.status_code}).")
        if answer.status_code != 200:
            raise BoardMismatch(f"The backend refused the question (status {answer.status_code}).")
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as exc:
            raise BoardMismatch("The backend's answer is not one this version understands.") from exc
