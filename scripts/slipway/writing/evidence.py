"""What is known of images: asked of the registry, read from the branch's commits, held against a policy."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import ImageNotFound, PipelineFailed, PolicyRefused
from slipway.git.remote import is_ancestor
from slipway.registry.references import Reference
from slipway.writing.lineage import Build, Decision, decide, recorded

if TYPE_CHECKING:
    from slipway.policy.environment import Environment
    from slipway.registry.client import Image

FIRST = Decision("newer", "the registry does not have the current image")


class Evidence:
    """Registry answers, each asked for once and in the background; a context manager that owns the threads.

    `source` is a local clone of the source repository, for ancestry; `public_key` stands in for a key file that
    the deploy repository does not have.
    """

    def __init__(self, *, ecr: bool = False, source: Path | None = None, public_key: str | None = None):
        self.source, self.public_key = source, public_key
        self._pool = ThreadPoolExecutor(4)
        self._answers: dict[Reference, Future[Image]] = {}
        self._signed: set[tuple[str, str]] = set()
        self._registry = self._pool.submit(_open_registry, ecr)
        self._pool.submit(importlib.import_module, "slipway.policy.environment")

    def __enter__(self) -> Evidence:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def start(self, reference: Reference) -> None:
        """Begin to ask for an image, without waiting."""
        if reference not in self._answers:
            self._answers[reference] = self._pool.submit(lambda: self._registry.result().resolve(reference))

    def image(self, reference: Reference) -> Image:
        """What the registry has under a reference; raises what `Registry.resolve` raises."""
        self.start(reference)
        return self._answers[reference].result()

    def judge(self, messages: Iterable[str], current: Reference, new: Build) -> Decision:
        """Whether `new` may follow what an entry names now, by the commits on the branch and by the registry."""
        known = recorded(messages, current)
        decision = decide(known, new, self._ancestry)
        if decision.verdict != "unknown":
            return decision
        try:
            image = self.image(current)
        except ImageNotFound:
            return FIRST
        known = known.or_else(build_of(image))
        return decide(replace(known, reference=image.reference), new, self._ancestry)

    def _ancestry(self, older: str, newer: str) -> bool | None:
        return is_ancestor(self.source, older, newer) if self.source else None

    def check(self, image: Image, policy: Environment, key: bytes | None, path: str) -> None:
        """Raise `PolicyRefused` or `PipelineFailed` when an image lacks an architecture or a valid signature.

        `key` is the content of the policy's key file, None when the deploy repository does not have it.
        """
        lacking = [name for name in policy.architectures if name not in image.architectures]
        if lacking:
            has = ", ".join(image.architectures)
            message = f"{image.reference} is for {has}, and {policy.name} needs {', '.join(lacking)}"
            raise PolicyRefused(message, path=path, fix="build it for every architecture of the nodes")
        if policy.signature.required and (image.digest, policy.name) not in self._signed:
            self._verify(image, policy, key, path)
            self._signed.add((image.digest, policy.name))

    def _verify(self, image: Image, policy: Environment, key: bytes | None, path: str) -> None:
        from slipway.pipeline.mirrors import place
        from slipway.pipeline.sign import verify

        where = place(image.reference.name, os.environ)
        name = policy.signature.key or ""
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            if key is not None:
                name = str(Path(folder) / "key.pub")
                Path(name).write_bytes(key)
            elif "://" not in name and self.public_key:
                name = self.public_key
            elif "://" not in name:
                fix = f"commit {name} beside the policy, or give --public-key"
                raise PolicyRefused(
                    f"signatures are required, and the key {name} is missing", path=path, fix=fix
                )
            try:
                verify(where.reference(image.digest), name, plain=where.plain)
            except PipelineFailed as exc:
                raise PolicyRefused(
                    exc.message, path=path, fix="sign the image first: `slipway ci sign`"
                ) from exc


def build_of(image: Image) -> Build:
    """What the registry tells of an image's build."""
    return Build(image.reference, revision=image.revision, created=image.created)


def _open_registry(ecr: bool):
    # httpx's own command line would take longer to load than all the rest of it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from slipway.registry.client import Registry

    return Registry(ecr=ecr)
