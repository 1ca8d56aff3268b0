"""The builds of the local pipeline: a queue of one for each pull request, a folder for each, and their worker."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from slipway.pipeline.push_event import Wanted

FINISHED = ("success", "failed", "aborted")


@dataclass(frozen=True)
class Build:
    """One build as GET /builds shows it; `status` is queued, running, success, failed, aborted or superseded."""

    number: int
    commit: str
    since: str | None
    message: str
    status: str
    received: str
    started: str | None = None
    finished: str | None = None
    error: str | None = None
    change: int | None = None
    """The pull request; None for a build of the branch."""


Runner = Callable[[Build, Path], tuple[str, str | None]]
"""Runs a build in its folder and returns its status and, if it went wrong, why."""


class Builds:
    """The builds below one folder; at most one runs, and the newest of the branch and of each pull request waits."""

    def __init__(self, folder: Path, runner: Runner, keep: int = 20):
        self.folder = folder
        self.runner = runner
        self.keep = keep
        self._changed = threading.Condition()
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def submit(self, wanted: Wanted) -> Build:
        """Queue a commit; one that waits already gives way, one that is queued, running or built is not repeated."""
        with self._changed:
            known = [b for b in self.all() if b.change == wanted.change]
            same = next((b for b in known if b.commit == wanted.commit), None)
            # A pull request is judged anew, since its labels and its base may be others by now.
            enough = ("queued", "running", "success") if wanted.change is None else ("queued",)
            if same and same.status in enough:
                return same
            since = wanted.since
            for waiting in (b for b in known if b.status == "queued"):
                self._save(
                    replace(waiting, status="superseded", finished=_now(), error=f"{wanted.commit} is newer")
                )
                since = waiting.since
            number, text = self._next(), wanted.message
            build = Build(number, wanted.commit, since, text, "queued", _now(), change=wanted.change)
            self._save(build)
            self._changed.notify_all()
            return build

    def all(self) -> list[Build]:
        """All builds kept, newest first."""
        with self._changed:
            numbers = sorted((int(f.parent.name) for f in self.folder.glob("*/build.json")), reverse=True)
            return [self.get(number) for number in numbers]

    def get(self, number: int) -> Build:
        """One build; raises `FileNotFoundError` if it is not kept."""
        return Build(**json.loads((self.home(number) / "build.json").read_text()))

    def shown(self, build: Build) -> dict:
        """A build with its stages so far, as JSON."""
        file = self.home(build.number) / "result.json"
        result = json.loads(file.read_text()) if file.is_file() else {}
        stages = result.get("stages", [])
        running = [s["name"] for s in stages if s["status"] == "RUNNING"] if build.status == "running" else []
        return asdict(build) | {"stage": running[-1] if running else None, "stages": stages}

    def home(self, number: int) -> Path:
        """The build's folder."""
        return self.folder / str(number)

    def work(self) -> None:
        """Run queued builds for ever."""
        while True:
            self.run_next()

    def run_next(self) -> Build:
        """Wait for a queued build, run it, and forget builds beyond those kept."""
        with self._changed:
            while not (queued := [b for b in self.all() if b.status == "queued"]):
                self._changed.wait()
            build = replace(queued[-1], status="running", started=_now())
            self._save(build)
        try:
            status, error = self.runner(build, self.home(build.number))
        except Exception as exc:  # whatever goes wrong in one build, the next one must run
            status, error = "failed", f"{type(exc).__name__}: {exc}"
        build = replace(build, status=status, error=error, finished=_now())
        with self._changed:
            self._save(build)
            for old in self.all()[self.keep :]:
                shutil.rmtree(self.home(old.number), ignore_errors=True)
        return build

    def _resume(self) -> None:
        """After a restart: what ran is marked, and built again unless something newer waits."""
        queued = {b.change for b in self.all() if b.status == "queued"}
        for build in [b for b in self.all() if b.status == "running"]:
            self._save(replace(build, status="aborted", finished=_now(), error="the receiver was restarted"))
            if build.change not in queued:
                queued.add(build.change)
                fresh = replace(build, number=self._next(), status="queued", received=_now(), started=None)
                self._save(fresh)

    def _next(self) -> int:
        """The next number; it never goes back, even when every folder was removed."""
        file = self.folder / "next"
        number = int(file.read_text()) if file.is_file() else 1
        _write(file, str(number + 1))
        return number

    def _save(self, build: Build) -> None:
        self.home(build.number).mkdir(exist_ok=True)
        _write(self.home(build.number) / "build.json", json.dumps(asdict(build), indent=2))


def _write(file: Path, text: str) -> None:
    """Write a file so that it is whole after a crash."""
    partial = file.with_suffix(".partial")
    with partial.open("w") as sink:
        sink.write(text)
        sink.flush()
        os.fsync(sink.fileno())
    partial.rename(file)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
