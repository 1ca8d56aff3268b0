"""How long one bump takes, beside the two ways a person would go, how it grows, and how a hundred at once fare.

A bump, a full clone and a sparse clone write to the same generated repository, in turn, so that each meets the same
machine; the remote is `git http-backend` on loopback, which wants a password. A full clone takes longer the longer the
history is, so it is measured with ten bumps of each overlay behind it, and once more with none. The hundred writers go
to a Gitea. Every time includes the start of all processes.

How a bump grows with the repository is measured on a Gitea too, as people have one, and on the bare server. A part of
it is the server's own: after a push Git walks every folder that was there before, to see that nothing is missing. That
walk is measured by itself, with the command that the server runs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slipway import toolchain

from tests.cli.bump_lab import HOST, Deploy, GitServer, Registry, git
from tests.cli.storm_lab import BOT, Gitea, app_of, fleet, storm
from tests.perf.generated import app_name, generate

ROUNDS, WRITERS = 10, 100
LOGIN = ("slipway-bot", "a password")
SLIPWAY = Path(sys.executable).with_name("slipway")
TARGETS = {
    "full clone / bump": (">=", 25),
    "full clone without history / bump": (">=", 0),
    "bump / sparse clone": ("<=", 1.5),
    "bump on Gitea, 30,000 overlays / 30 overlays": ("<=", 1.2),
    "bump on a bare server, 30,000 overlays / 30 overlays": ("<=", 1.2),
    "peak memory of a bump, MB": ("<=", 100),
    "100 at once / one after the other": ("<=", 2),
}
_ASKPASS = """#!/bin/sh
case "$1" in U*) echo "$SLIPWAY_GIT_USERNAME" ;; *) echo "$SLIPWAY_GIT_PASSWORD" ;; esac
"""


def measure() -> dict[str, object]:
    """Median seconds of each way, and the ratios that matter with whether they meet their targets."""
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name, Registry() as registry:
        with GitServer(Path(name), LOGIN) as server:
            bench = Bench(Path(name), server.url, registry)
            times = bench.ways() | bench.growth("a bare server")
            memory, walk = bench.memory(), bench.walk()
        with Gitea(Path(name) / "forge") as gitea:
            times |= on_gitea(gitea, registry).growth("Gitea")
        one_by_one, at_once = many(Path(name), registry)
    median = {way: round(statistics.median(seconds), 3) for way, seconds in times.items()}
    ratios = {
        "full clone / bump": median["full clone"] / median["bump"],
        "full clone without history / bump": median["full clone without history"] / median["bump"],
        "bump / sparse clone": median["bump"] / median["sparse clone"],
        **{
            f"bump on {where}, 30,000 overlays / 30 overlays": median[f"{where}, 30,000 overlays"]
            / median[f"{where}, 30 overlays"]
            for where in ("Gitea", "a bare server")
        },
        "peak memory of a bump, MB": memory,
        "100 at once / one after the other": at_once / one_by_one,
    }
    return {
        "what": "one bump beside a clone, and a hundred at once",
        "seconds": {way: [round(t, 3) for t in seconds] for way, seconds in times.items()},
        "median": median
        | {"100 one after the other": round(one_by_one, 1), "100 at once": round(at_once, 1)}
        | {"the server's own walk, 30,000 overlays": round(walk, 3)},
        "ratios": {what: round(value, 2) for what, value in ratios.items()},
        "met": {what: _met(what, value) for what, value in ratios.items()},
    }


def table(result: dict) -> str:
    """The same for people."""
    lines = [f"{way:<36} {seconds:8.3f} s" for way, seconds in result["median"].items()]
    for what, value in result["ratios"].items():
        sign, target = TARGETS[what]
        said = f"  target {sign} {target}: {'met' if result['met'][what] else 'MISSED'}" if target else ""
        lines.append(f"{what:<36} {value:8.2f}  {said}")
    return "\n".join(lines)


def _met(what: str, value: float) -> bool:
    sign, target = TARGETS[what]
    return value >= target if sign == ">=" else value <= target


class Bench:
    """Generated deploy repositories in `folder`, which `url` serves, and the ways to write to them.

    `create` tells the server of a repository before it is there.
    """

    def __init__(self, folder: Path, url: str, registry: Registry, login=LOGIN, create=lambda name: None):
        self.folder, self.url, self.registry, self.create = folder, url, registry, create
        self.build = 0
        askpass = folder / "askpass"
        askpass.write_text(_ASKPASS)
        askpass.chmod(0o700)
        identity = {f"GIT_{who}_{what}": "b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        credentials = dict(zip(("SLIPWAY_GIT_USERNAME", "SLIPWAY_GIT_PASSWORD"), login, strict=True))
        registries = {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(folder)}
        plain = {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_ASKPASS": str(askpass),
        }
        self.env = os.environ | identity | credentials | registries | plain

    def ways(self) -> dict[str, list[float]]:
        """Seconds of a bump, a full clone and a sparse clone, on 3,000 overlays."""
        deploy, young = self.repository(3_000, 30_000), self.repository(3_000, 0)
        return self._in_turn(
            {
                "bump": lambda n: self.bump(deploy, n),
                "full clone": lambda n: self.clone(deploy, n),
                "full clone without history": lambda n: self.clone(young, n),
                "sparse clone": lambda n: self.clone(
                    deploy, n, "--depth", "1", "--filter=blob:none", "--sparse"
                ),
            }
        )

    def growth(self, where: str) -> dict[str, list[float]]:
        """Seconds of a bump on 30 and on 30,000 overlays."""
        small, large = self.repository(30, 1_000), self.repository(30_000, 1_000)
        return self._in_turn(
            {
                f"{where}, 30 overlays": lambda n: self.bump(small, n),
                f"{where}, 30,000 overlays": lambda n: self.bump(large, n),
            }
        )

    def _in_turn(self, ways: dict[str, Callable[[int], None]]) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(-1, ROUNDS):  # the first round, which warms caches, does not count
            for name, way in ways.items():
                begun = time.monotonic()
                way(number % ROUNDS)
                times[name] += [time.monotonic() - begun] if number >= 0 else []
                shutil.rmtree(self.folder / "clone", ignore_errors=True)
        return times

    def bump(self, deploy: Deploy, number: int) -> None:
        """`slipway bump` of one application."""
        self._run(self._bump(deploy, number))

    def _bump(self, deploy: Deploy, number: int) -> list:
        image, tag, _ = self._image(number)
        return [
            SLIPWAY,
            "bump",
            "--repo",
            deploy.url,
            "--env",
            "dev",
            "--app",
            app_name(number),
            f"{image}=:{tag}",
        ]

    def clone(self, deploy: Deploy, number: int, *options: str) -> None:
        """Clone, `kustomize edit set image`, commit, push; with options, only the one overlay is checked out."""
        image, tag, digest = self._image(number)
        clone, overlay = self.folder / "clone", f"overlays/dev/{app_name(number)}"
        self._run(["git", "clone", "--quiet", *options, deploy.url, clone])
        if options:
            self._run(["git", "sparse-checkout", "set", overlay], clone)
        edit = [toolchain.tool("kustomize"), "edit", "set", "image", f"{image}={image}:{tag}@{digest}"]
        self._run(edit, clone / overlay)
        self._run(["git", "commit", "--quiet", "--all", "-m", f"dev: {image} {tag}"], clone)
        self._run(["git", "push", "--quiet"], clone)

    def _run(self, command: list, folder: Path | None = None) -> None:
        done = subprocess.run(command, cwd=folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def _image(self, number: int) -> tuple[str, str, str]:
        """A newer build of an application's image: name, tag, digest."""
        self.build += 1
        image, tag = f"{HOST}/slipway/{app_name(number)}", f"b{self.build}"
        moment = f"{self.build // 60:02}:{self.build % 60:02}"
        return image, tag, self.registry.push(image, tag, created=f"2026-11-23T{moment}:00Z")

    def repository(self, overlays: int, bumps: int) -> Deploy:
        """A deploy repository of that size, generated once."""
        name = f"{overlays}-{bumps}.git"
        if (self.folder / name).exists():
            return Deploy(self.folder / name, f"{self.url}/{name}")
        self.create(name.removesuffix(".git"))
        return generate(self.folder / name, f"{self.url}/{name}", overlays=overlays, bumps=bumps)

    def walk(self) -> float:
        """Seconds that a server spends after a push, to see that nothing is missing; median of five."""
        deploy = self.repository(30_000, 1_000)
        new, old = (git("rev-parse", name, cwd=deploy.path).strip() for name in ("main", "main~1"))
        times = []
        for _ in range(5):
            begun = time.monotonic()
            asked = f"{new}\n^{old}\n".encode()
            git("rev-list", "--objects", "--stdin", "--quiet", cwd=deploy.path, input=asked)
            times.append(time.monotonic() - begun)
        return statistics.median(times)

    def memory(self) -> float:
        """The most that a bump and the processes it started held at one time, in MB; of three."""
        deploy = self.repository(3_000, 30_000)
        return max(self._peak(deploy, number) for number in range(3))

    def _peak(self, deploy: Deploy, number: int) -> float:
        process, peak = (
            subprocess.Popen(self._bump(deploy, number), env=self.env, stdout=subprocess.DEVNULL),
            0,
        )
        while process.poll() is None:
            peak = max(peak, sum(map(_resident, _family(process.pid))))
            time.sleep(0.002)
        assert process.returncode == 0
        return peak / 1e6


def on_gitea(gitea: Gitea, registry: Registry) -> Bench:
    """The same on a forge: its hooks and its bookkeeping are part of every push."""

    def create(name: str) -> None:
        gitea.api("POST", "/user/repos", name=name, default_branch="main")

    folder = gitea.folder / "repositories" / BOT
    folder.mkdir(parents=True, exist_ok=True)
    return Bench(folder, f"{gitea.url}/{BOT}", registry, (BOT, gitea.password), create)


def many(folder: Path, registry: Registry) -> tuple[float, float]:
    """Seconds of a hundred bumps one after the other, and of a hundred at once, each of its own image."""
    images, files = fleet(HOST, WRITERS)
    for image in images:
        registry.push(image, "v1")
    orders = [[f"{image}=:v1", "--app", app_of(image)] for image in images]
    seconds = []
    with Gitea(folder / "gitea") as gitea:
        env = gitea.login | {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(folder)}
        for name, batches in (("sequence", [[order] for order in orders]), ("crowd", [orders])):
            deploy = gitea.repository(name, files)
            begun = time.monotonic()
            ends = [end for batch in batches for end in storm(batch, deploy.url, env)]
            seconds.append(time.monotonic() - begun)
            assert not any(end.code for end in ends), [end.err for end in ends if end.code]
    return seconds[0], seconds[1]


def _family(pid: int) -> list[int]:
    """A process and all that its threads started."""
    found = [pid]
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += [
                one for child in (thread / "children").read_text().split() for one in _family(int(child))
            ]
    except OSError:
        pass  # it ended meanwhile
    return found


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds, shared ones included."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    print(table(measure()))
