"""The border to an image registry: the few calls of the OCI distribution API that pushing needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from slipway.errors import RemoteRefused, Unreachable
from slipway.pipeline.mirrors import Place
from slipway.registry import client as registry

_ACCEPT = ", ".join(registry.MANIFESTS + registry.INDEXES)
_CHUNK = 1 << 20

_retry = retry(
    retry=retry_if_exception_type(Unreachable),
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(max=4),
    reraise=True,
)


class Registry:
    """One repository in one registry; what it refuses is `RemoteRefused`, silence is `Unreachable`."""

    def __init__(self, place: Place, auth: httpx.Auth | None = None):
        self.place = place
        self.client = httpx.Client(
            base_url=f"{place.url}/v2/", auth=auth, timeout=httpx.Timeout(300, connect=10)
        )

    @_retry
    def digest(self, tag: str) -> str | None:
        """The digest the registry reports for a tag, or None if there is no such tag."""
        headers = {"Accept": _ACCEPT}
        response = self._call(
            "HEAD", f"{self.place.repository}/manifests/{tag}", allowed=(200, 404), headers=headers
        )
        return None if response.status_code == 404 else response.headers["docker-content-digest"]

    @_retry
    def has_blob(self, digest: str) -> bool:
        """Whether the repository holds the blob."""
        path = f"{self.place.repository}/blobs/{digest}"
        return self._call("HEAD", path, allowed=(200, 404)).status_code == 200

    def put_blob(self, digest: str, size: int, stream: IO[bytes]) -> None:
        """Upload a blob in one request; the registry checks the digest."""
        begun = self._call("POST", f"{self.place.repository}/blobs/uploads/", allowed=(202,))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        sent = self._call(
            "PATCH", self._location(begun), allowed=(202,), content=_chunks(stream), headers=headers
        )
        location = self._location(sent)
        joiner = "&" if "?" in location else "?"
        self._call("PUT", f"{location}{joiner}digest={digest}", allowed=(201,))

    @_retry
    def put_manifest(self, tag: str, media_type: str, manifest: bytes) -> None:
        """Write the manifest under a tag, byte for byte."""
        path = f"{self.place.repository}/manifests/{tag}"
        self._call("PUT", path, allowed=(201,), content=manifest, headers={"Content-Type": media_type})

    def _location(self, response: httpx.Response) -> str:
        return urljoin(str(response.url), response.headers["location"])

    def _call(self, method: str, path: str, *, allowed: tuple[int, ...], **options) -> httpx.Response:
        with _translated(self.place):
            response = self.client.request(method, path, **options)
        if response.status_code in allowed:
            return response
        if response.status_code >= 500 or response.status_code == 429:
            raise Unreachable(f"{self.place.url} answered {response.status_code}")
        hint = "check the credential of the registry" if response.status_code in (401, 403) else None
        raise RemoteRefused(
            f"{self.place.url} refused {method} {self.place.repository}: {response.status_code} {response.text[:300]}",
            fix=hint,
        )


def credential(place: Place, env: Mapping[str, str] = os.environ) -> httpx.Auth | None:
    """The login for the registry, found as everywhere in Slipway; for ECR through the machine's AWS identity."""
    with registry.Registry(ecr=True, env=env) as known:
        pair = known.credentials(urlsplit(place.url).netloc)
    return httpx.BasicAuth(*pair) if pair else None


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


@contextmanager
def _translated(place: Place) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as exc:
        raise Unreachable(
            f"the registry {place.url} does not answer: {exc}",
            fix="start it, or correct SLIPWAY_REGISTRY_MIRRORS",
        ) from exc
