"""How long `slipway check` and `slipway diff` take, beside the loop that a person would write, and how they grow.

The loop is `kustomize build | kubeconform` with the pinned binaries and the same schemas; it is measured on a
hundred overlays and scaled to all. Its output must be what the render helper makes, byte for byte. Times include
the start of every process. Memory is the sum over all processes, at its peak.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway import paths, toolchain
from slipway.gate.render import Target, render, schemas

from tests.perf import big_repo

APPS = 1000
GROWTH = (100, 1000, 10_000)
SAMPLE = 100
ROUNDS = 5
PAGE = os.sysconf("SC_PAGE_SIZE")
SLIPWAY = Path(sys.executable).with_name("slipway")
SETTLED = 2.5
"""Seconds after which a file's time of change is trusted; a person's next save comes later than that."""
TARGETS = {
    "loop / cold": (">=", 20),
    "warm, one overlay changed, seconds": ("<=", 1.0),
    "warm, one base changed, seconds": ("<=", 1.5),
    "diff of one base, warm, seconds": ("<=", 1.5),
    "peak memory, MB": ("<=", 600),
}


def measure(apps: int = APPS, growth: Sequence[int] = GROWTH) -> dict[str, object]:
    """Seconds of each way on `apps` × 3 overlays, the ratios with their targets, and the growth."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        repository = Repository(Path(name) / "deploy", apps)
        loop, sampled = repository.loop(SAMPLE)
        cold = repository.check()
        unchanged = [repository.check().seconds for _ in range(ROUNDS)]
        overlay = [
            repository.after_change("overlays/prod/app-00007/kustomization.yaml") for _ in range(ROUNDS)
        ]
        base = [repository.after_change("base/app-00009/service.yaml") for _ in range(ROUNDS)]
        diffs = repository.diffs(ROUNDS)
    scaled = loop * cold.overlays / sampled
    values = {
        "loop / cold": scaled / cold.seconds,
        "warm, one overlay changed, seconds": statistics.median(overlay),
        "warm, one base changed, seconds": statistics.median(base),
        "diff of one base, warm, seconds": statistics.median(diffs[1:]),
        "peak memory, MB": cold.megabytes,
    }
    return {
        "what": "slipway check beside `kustomize build | kubeconform`",
        "overlays": cold.overlays,
        "objects": cold.objects,
        "seconds": {
            f"loop over {sampled} overlays": round(loop, 2),
            f"loop over all {cold.overlays}, scaled": round(scaled, 1),
            "cold": round(cold.seconds, 2),
            "warm, nothing changed": [round(seconds, 3) for seconds in unchanged],
            "warm, one overlay changed": [round(seconds, 3) for seconds in overlay],
            "warm, one base changed": [round(seconds, 3) for seconds in base],
            "diff of one base, cold": round(diffs[0], 2),
            "diff of one base, warm": [round(seconds, 3) for seconds in diffs[1:]],
        },
        "values": {what: round(value, 2) for what, value in values.items()},
        "met": {what: _met(what, value) for what, value in values.items()},
        "growth": [grown(number) for number in growth],
    }


def grown(apps: int) -> dict[str, object]:
    """Cold and warm seconds and peak memory of one size."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        repository = Repository(Path(name) / "deploy", apps)
        cold = repository.check()
        warm = [repository.after_change("overlays/prod/app-00007/kustomization.yaml") for _ in range(3)]
        return {
            "overlays": cold.overlays,
            "cold seconds": round(cold.seconds, 2),
            "one overlay changed, seconds": round(statistics.median(warm), 3),
            "diff of one base, seconds": round(statistics.median(repository.diffs(3)[1:]), 3),
            "peak memory, MB": round(cold.megabytes),
        }


def table(result: dict) -> str:
    """The same for people."""
    lines = [f"{result['overlays']} overlays, {result['objects']} objects"]
    for way, seconds in result["seconds"].items():
        middle = statistics.median(seconds) if isinstance(seconds, list) else seconds
        lines.append(f"{way:<36} {middle:9.3f} s")
    for what, value in result["values"].items():
        sign, target = TARGETS[what]
        verdict = "met" if result["met"][what] else "MISSED"
        lines.append(f"{what:<36} {value:9.2f}   target {sign} {target}: {verdict}")
    for row in result["growth"]:
        lines.append("  ".join(f"{what}: {value}" for what, value in row.items()))
    return "\n".join(lines)


def _met(what: str, value: float) -> bool:
    sign, target = TARGETS[what]
    return value >= target if sign == ">=" else value <= target


@dataclass(frozen=True)
class Run:
    """One run of `slipway check`."""

    seconds: float
    megabytes: float
    overlays: int
    objects: int


class Repository:
    """A generated deploy repository with a cache of its own."""

    def __init__(self, root: Path, apps: int):
        self.root = big_repo.build(root, apps)
        self.cache = root.parent / "cache"
        self.cache.mkdir()
        (self.cache / "tools").symlink_to(paths.cache() / "tools")
        time.sleep(SETTLED)

    def loop(self, number: int) -> tuple[float, int]:
        """Seconds of the loop over some overlays, spread over all, and how many they were.

        Raises `AssertionError` when a rendering differs from the helper's, or an object is not valid.
        """
        folders = sorted(f.parent for f in self.root.glob("overlays/*/*/kustomization.yaml"))
        chosen = folders[:: max(len(folders) // number, 1)][:number]
        location = f"{schemas()}/{{{{ .Group }}}}/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json"
        conform = [toolchain.tool("kubeconform"), "-strict", "-summary", "-schema-location", location]
        kustomize = toolchain.tool("kustomize")
        started = time.monotonic()
        for folder in chosen:
            with subprocess.Popen([kustomize, "build", folder], stdout=subprocess.PIPE) as build:
                subprocess.run(conform, stdin=build.stdout, stdout=subprocess.DEVNULL, check=True)
            assert build.returncode == 0
        spent = time.monotonic() - started
        self._compare(chosen)
        return spent, len(chosen)

    def _compare(self, folders: Sequence[Path]) -> None:
        """Raise `AssertionError` when the helper renders something else than kustomize."""
        targets = [Target(folder.relative_to(self.root).as_posix()) for folder in folders]
        for one in render(self.root, targets, objects=False, check=False, digest=True):
            argv = [toolchain.tool("kustomize"), "build", self.root / one.target.path]
            rendered = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
            assert one.digest == hashlib.sha256(rendered).hexdigest(), one.target.path

    def check(self) -> Run:
        """Run the verb in a process of its own."""
        env = os.environ | {"SLIPWAY_CACHE": str(self.cache)}
        argv = [SLIPWAY, "check", "--json", "--repo", self.root]
        started = time.monotonic()
        with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env, start_new_session=True) as process:
            meter = Meter(process.pid)
            output = process.stdout.read()
        seconds = time.monotonic() - started
        report = json.loads(output)
        assert report["findings"] == [], report["findings"][:3]
        return Run(seconds, meter.stop(), report["overlays"], report["counts"]["valid"])

    def diffs(self, rounds: int) -> list[float]:
        """Seconds of `slipway diff` over commits that change one base each; the first learns what reaches what."""
        self._git("init", "--quiet")
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "everything")
        return [self._diff(number) for number in range(rounds + 1)]

    def _diff(self, number: int) -> float:
        file = self.root / f"base/app-{number + 20:05d}/service.yaml"
        file.write_text(file.read_text().replace("port: 80", f"port: 80{number + 10}"))
        self._git("commit", "--quiet", "--all", "--message", "one base")
        env = os.environ | {"SLIPWAY_CACHE": str(self.cache)}
        argv = [SLIPWAY, "diff", "HEAD~1", "--json", "--repo", self.root]
        started = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.PIPE, env=env, check=True)
        seconds = time.monotonic() - started
        assert len(json.loads(done.stdout)["environments"]) == 3
        return seconds

    def _git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0"]
        subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True)

    def after_change(self, name: str) -> float:
        """Seconds of a run after a change of one file."""
        file = self.root / name
        file.write_text(file.read_text() + f"# changed at {time.time_ns()}\n")
        time.sleep(SETTLED)
        return self.check().seconds


class Meter(threading.Thread):
    """The memory of all processes of a session at its peak, looked at ten times a second."""

    def __init__(self, session: int):
        super().__init__(daemon=True)
        self.session, self.peak, self._ended = session, 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Look until it is stopped."""
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, sum(self._pages()))

    def stop(self) -> float:
        """The peak in megabytes."""
        self._ended.set()
        self.join()
        return self.peak * PAGE / 1e6

    def _pages(self):
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    status = (folder / "stat").read_text().rpartition(")")[2].split()
                    if int(status[3]) == self.session:
                        yield int((folder / "statm").read_text().split()[1])
                except (OSError, ValueError, IndexError):
                    continue


if __name__ == "__main__":
    chosen = [int(argument) for argument in sys.argv[1:]]
    found = measure(chosen[0], chosen[1:]) if chosen else measure()
    print(json.dumps(found), flush=True)
    print(table(found), file=sys.stderr)
