"""What the registry tells of images, asked for when somebody looks, and then kept: a digest never changes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from slipway.errors import SlipwayError
from slipway.registry.attestations import Scanned, scanned
from slipway.registry.client import Registry
from slipway.registry.references import Reference

from board_backend.schema import ImageFacts, Vulnerabilities

log = logging.getLogger(__name__)

PATIENCE = 3.0
"""Seconds that an answer waits for the registry; what comes later is there for the next one."""

_AGAIN = 60.0
"""Seconds after which what could not be told is asked for again."""

_RENEW = 6 * 3600.0
"""Seconds for which a login is used; ECR's hold for twelve hours, and making one takes a second and a call to AWS."""

_LIMIT = 4096
"""Images that are kept."""

_UNREADABLE = "what the registry says of {} cannot be read"

Key = tuple[str | None, bytes | None]
"""A digest, and the public key of those whose word on it counts."""


class Images:
    """Facts of images by digest."""

    def __init__(self) -> None:
        self._lock, self._kept = threading.Lock(), dict[Key, ImageFacts]()
        self._asked: dict[Key, Future[ImageFacts]] = {}
        self._failed: dict[Key, tuple[float, str]] = {}
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="registry")
        self._own = threading.local()

    def facts(
        self, references: Sequence[Reference], public_key: bytes | None
    ) -> tuple[dict[Reference, ImageFacts], list[str]]:
        """What is known within `PATIENCE`, and why the rest is not; without a key nobody is believed on a scan."""
        asked = {one: self._ask(one, public_key) for one in references if one.digest}
        wait([future for future in asked.values() if isinstance(future, Future)], PATIENCE)
        found, notes = {}, []
        for one in references:
            told = asked.get(one)
            if isinstance(told, Future):
                told = self._told(one, told)
            found[one] = told if isinstance(told, ImageFacts) else unknown(one)
            if isinstance(told, str):
                notes.append(told)
        return found, sorted(set(notes))

    def close(self) -> None:
        """Ask nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, reference: Reference, public_key: bytes | None) -> ImageFacts | Future[ImageFacts] | str:
        """What is kept, or being asked for, or why it could not be told a moment ago."""
        key = (reference.digest, public_key)
        with self._lock:
            if kept := self._kept.get(key):
                return kept
            since, why = self._failed.get(key, (0.0, ""))
            if why and time.monotonic() - since < _AGAIN:
                return why
            if key not in self._asked:
                self._asked[key] = self._pool.submit(self._read, reference, public_key)
            return self._asked[key]

    @staticmethod
    def _told(reference: Reference, asked: Future[ImageFacts]) -> ImageFacts | str:
        if not asked.done():
            return f"the registry has not answered for {reference.short} yet"
        try:
            return asked.result()
        except SlipwayError as exc:
            return exc.message
        except Exception:
            log.exception("an image could not be read")
            return _UNREADABLE.format(reference.short)

    def _read(self, reference: Reference, public_key: bytes | None) -> ImageFacts:
        key = (reference.digest, public_key)
        try:
            found = _read(self._registry(), reference, public_key)
        except Exception as exc:
            why = exc.message if isinstance(exc, SlipwayError) else _UNREADABLE.format(reference.short)
            with self._lock:
                self._asked.pop(key, None)
                self._failed[key] = (time.monotonic(), why)
            raise
        with self._lock:
            self._asked.pop(key, None)
            self._failed.pop(key, None)
            self._kept[key] = found
            while len(self._kept) > _LIMIT:
                self._kept.pop(next(iter(self._kept)))
        return found

    def _registry(self) -> Registry:
        """This thread's connections and logins."""
        own, now = self._own, time.monotonic()
        if not hasattr(own, "registry") or now - own.since > _RENEW:
            if hasattr(own, "registry"):
                own.registry.close()
            own.registry, own.since = Registry(ecr=True), now
        return own.registry


def _read(registry: Registry, reference: Reference, public_key: bytes | None) -> ImageFacts:
    # By digest alone: that a tag was moved since says nothing of the image.
    exact = Reference(reference.name, None, reference.digest)
    image = registry.resolve(exact)
    scan = scanned(registry, exact, public_key) if public_key else None
    return ImageFacts(
        tag=reference.tag,
        digest=reference.digest,
        size=image.size or None,
        created=image.created,
        revision=image.revision,
        vulnerabilities=_counts(scan) if scan else None,
    )


def _counts(scan: Scanned) -> Vulnerabilities:
    counts = dict(scan.counts)
    return Vulnerabilities(unknown=counts.pop("unscored"), **counts)


def unknown(reference: Reference) -> ImageFacts:
    """An image of which nothing is told."""
    return ImageFacts(
        tag=reference.tag,
        digest=reference.digest,
        size=None,
        created=None,
        revision=None,
        vulnerabilities=None,
    )
