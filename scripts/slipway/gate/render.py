"""The border to the render helper: kustomize and the schemas of Kubernetes, for many overlays in one call."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slipway import toolchain
from slipway.errors import CommandFailed

TIME_LIMIT = 8.0
"""Seconds of processor time allowed for one overlay, so that a hostile one is named within ten."""


@dataclass(frozen=True)
class Target:
    """A folder to render: of the work tree, or of a commit when one is given."""

    path: str
    commit: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why a folder was not rendered."""

    rule: str
    message: str
    file: str
    line: int


@dataclass
class Rendered:
    """A folder after rendering; `objects` as the helper describes them: data, file, line, verdict, problems."""

    target: Target
    error: Refusal | None
    objects: list[dict] = field(default_factory=list)
    digest: str = ""
    yaml: str = ""
    files: dict[str, str] = field(default_factory=dict)
    """Every file reached, with its content's id as a git blob."""
    absent: list[str] = field(default_factory=list)
    """What was looked for and is not there."""
    documents: dict[str, list] = field(default_factory=dict)
    """The kustomizations reached, as plain data."""
    duplicates: list[dict] = field(default_factory=list)


class Rendering:
    """Targets that are being rendered on all cores, from the moment this is made; use it in a `with`.

    Its items come in the order in which they are done. Raises `ToolError` when the helper is not built,
    `CommandFailed` when it ends early.
    """

    def __init__(
        self,
        root: Path,
        targets: Iterable[Target],
        *,
        objects: bool = True,
        check: bool = True,
        digest: bool = False,
        yaml: bool = False,
        workers: int | None = None,
        limit: float = TIME_LIMIT,
    ):
        self.targets = list(targets)
        self._flags = {"objects": objects, "check": check, "digest": digest, "yaml": yaml}
        if not self.targets:
            return
        argv = [str(toolchain.tool("render")), "-root", str(root), "-limit", f"{limit}s"]
        argv += ["-workers", str(min(workers or os.cpu_count() or 1, len(self.targets)))]
        if check:
            argv += ["-schemas", str(schemas())]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=_environment()
        )
        # In a thread, since the helper reads on only while its answers are taken.
        self._writer = threading.Thread(target=self._ask, daemon=True)
        self._writer.start()

    def __enter__(self) -> Rendering:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.targets:
            self._process.kill()
            self._process.stdout.close()
            self._writer.join()
            self._process.wait()
            self._errors.close()

    def __iter__(self) -> Iterator[Rendered]:
        if not self.targets:
            return
        done = 0
        for line in self._process.stdout:
            answer = json.loads(line)
            yield _rendered(self.targets[answer["id"]], answer)
            done += 1
        if self._process.wait() or done < len(self.targets):
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().removeprefix("render: ")
            cause = said or f"code {self._process.returncode}"
            raise CommandFailed(f"the renderer ended early: {cause}", output=said)

    def _ask(self) -> None:
        try:
            with self._process.stdin as pipe:
                for number, target in enumerate(self.targets):
                    asked = {"id": number, "path": target.path, "commit": target.commit} | self._flags
                    pipe.write(json.dumps(asked).encode() + b"\n")
        except BrokenPipeError:
            pass  # the helper ended; its exit code and text say why


def render(root: Path, targets: Iterable[Target], **options) -> Iterator[Rendered]:
    """Every target as `Rendering` gives it, with the same options."""
    with Rendering(root, targets, **options) as rendering:
        yield from rendering


def schemas() -> Path:
    """The folder of JSON schemas, `<group>/<kind>_<version>.json`; the core group is named by its version."""
    return toolchain.share("render", "schemas")


def _environment() -> dict[str, str]:
    """What the helper needs to find git; no variable of the user changes what is rendered."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def _rendered(target: Target, answer: dict) -> Rendered:
    error = answer.get("error")
    return Rendered(
        target,
        Refusal(**error) if error else None,
        answer.get("objects") or [],
        answer.get("digest", ""),
        answer.get("yaml", ""),
        answer.get("files") or {},
        answer.get("absent") or [],
        answer.get("documents") or {},
        answer.get("duplicates") or [],
    )
