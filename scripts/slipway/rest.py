"""The border to JSON APIs over HTTP: one request at a time, passing failures repeated, refusals told apart."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import tenacity

from slipway.errors import InvalidInput, RemoteRefused, Unreachable

_TRIES = 5


class _Passing(Exception):
    """A failure that may pass; `after` is how many seconds the server wants to be left alone."""

    def __init__(self, text: str, after: float = 0):
        super().__init__(text)
        self.after = after


def check_api(url: str) -> str:
    """`url` without a slash at its end; raises `InvalidInput` unless credentials are safe with it.

    Plain HTTP is for this machine, private addresses and Services of the cluster only.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"{url!r} is not an API's address", fix="write https://HOST or https://HOST/PATH")
    if "@" in parts.netloc:
        raise InvalidInput(
            f"the address of {parts.hostname} carries a credential", fix="set it in the environment"
        )
    if parts.scheme == "http" and not _is_private(parts.hostname):
        raise InvalidInput(f"{url} would send credentials unencrypted", fix="use https://")
    return url.rstrip("/")


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".svc", ".svc.cluster.local"))


class Rest:
    """One API below `base`; `name` and `login` are what errors call it and the way to its credentials."""

    def __init__(self, base: str, headers: Mapping[str, str], *, name: str, login: str, patience: float = 60):
        self.name, self.login, self.patience = name, login, patience
        self._client = httpx.Client(
            base_url=check_api(base),
            headers={"User-Agent": "slipway", **headers},
            timeout=httpx.Timeout(30, connect=10),
        )

    def ask(
        self, method: str, path: str, *allowed: int, json: object = None, params: Mapping[str, object] = {}
    ) -> httpx.Response:
        """The answer, if its status is 2xx or in `allowed`.

        Raises `RemoteRefused` for what the API refuses for good, `Unreachable` when it gives no answer in `patience`
        seconds or asks for a longer pause.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(_TRIES), self._is_too_long),
            wait=self._pause,
            reraise=True,
        )
        try:
            return retrying(self._once, method, path, allowed, json, dict(params))
        except _Passing as exc:
            pause = f", and asks to be left alone for {exc.after:.0f} s" if exc.after else ""
            fix = "try again later: nothing is written twice"
            raise Unreachable(f"{self.name} does not answer: {exc}{pause}", fix=fix) from exc

    def _is_too_long(self, state: tenacity.RetryCallState) -> bool:
        return state.seconds_since_start + state.outcome.exception().after > self.patience

    @staticmethod
    def _pause(state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.2, max=4)(state)
        return max(jitter, state.outcome.exception().after)

    def _once(self, method: str, path: str, allowed: tuple[int, ...], json: object, params: dict):
        try:
            answer = self._client.request(method, path, json=json, params=params)
        except httpx.TransportError as exc:
            raise _Passing(f"{self._client.base_url}: {exc}") from exc
        status = answer.status_code
        if answer.is_success or status in allowed:
            return answer
        after = _retry_after(answer)
        if status == 429 or status >= 500 or status == 403 and after:
            raise _Passing(f"{status} {told(answer)}".strip(), after)
        asked = f"{method} {answer.request.url.path}"
        if answer.is_redirect:
            raise InvalidInput(f"{self.name} redirects {asked} elsewhere", fix="give its present address")
        if status in (401, 403):
            raise RemoteRefused(f"{self.name} refuses {asked} ({status}): {told(answer)}", fix=self.login)
        if status == 404:
            fix = f"check the address and the rights; {self.login}"
            raise RemoteRefused(
                f"{self.name} has no {answer.request.url.path}, or not for this user", fix=fix
            )
        raise RemoteRefused(f"{self.name} refuses {asked} ({status}): {told(answer)}", fix="see its own text")


def told(answer: httpx.Response) -> str:
    """What an API says of an error, in one line."""
    try:
        data = answer.json()
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return ""
    parts = [
        data.get("message"),
        *(e.get("message") for e in data.get("errors") or [] if isinstance(e, dict)),
    ]
    return re.sub(r"\s+", " ", "; ".join(part for part in parts if isinstance(part, str)))[:300]


def _retry_after(answer: httpx.Response) -> float:
    """How many seconds the server asks to wait; 0 when it does not say."""
    text = answer.headers.get("retry-after", "")
    if not text and answer.headers.get("x-ratelimit-remaining") == "0":
        text = answer.headers.get("x-ratelimit-reset", "")
        return max(1.0, float(text) - datetime.now(UTC).timestamp()) if text.isdecimal() else 1.0
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0
