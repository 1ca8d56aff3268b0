"""A year of deliveries of any size: the facts, and the Git history that they are of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO

from slipway.dora.events import DEGRADED, DEPLOYED, RUNNING, SYNC_FAILED, Fact
from slipway.registry.references import Reference

from tests.cli.bump_lab import HOST, git

ENVIRONMENTS = ("dev", "staging", "prod")
YEAR = timedelta(days=360)


@dataclass(frozen=True)
class Delivery:
    """One build of one application, and its deploy commit in each environment; times are UTC."""

    application: str
    commit: str
    revisions: tuple[str, ...]
    begun: datetime

    @property
    def image(self) -> Reference:
        """What was built."""
        name = f"{HOST}/slipway/{self.application}"
        return Reference(
            name, f"main-{self.commit[:7]}", f"sha256:{sha256(self.commit.encode()).hexdigest()}"
        )


class Story:
    """Deliveries of `apps` applications until there are `facts` facts, with both repositories below `folder`."""

    def __init__(self, folder: Path, apps: int, facts: int):
        self.apps = [f"app-{number:02}" for number in range(apps)]
        self.source, self.deploy = folder / "source.git", folder / "deploy.git"
        self._wanted = facts
        # Two facts of each deployment at least, since a failed one has two as well.
        rounds = facts // (len(ENVIRONMENTS) * 2 * apps) + 1
        self.deliveries = self._delivered(rounds * apps)

    def _delivered(self, count: int) -> list[Delivery]:
        begin, step = datetime.now(UTC).replace(microsecond=0) - YEAR, YEAR / count
        moments = [begin + timedelta(seconds=int(step.total_seconds() * number)) for number in range(count)]
        apps = [self.apps[number % len(self.apps)] for number in range(count)]
        commits = _imported(self.source, self._pushed(apps, moments), count)
        bumps = _imported(self.deploy, self._bumped(apps, moments, commits), count * 3 + 1)[1:]
        return [
            Delivery(app, commits[n], tuple(bumps[n * 3 : n * 3 + 3]), moments[n])
            for n, app in enumerate(apps)
        ]

    @staticmethod
    def _pushed(apps: list[str], moments: list[datetime]) -> Iterator[bytes]:
        for number, (app, moment) in enumerate(zip(apps, moments, strict=True)):
            yield _commit(number, moment, f"{app}: change {number}", {f"apps/{app}.txt": str(number)})

    def _bumped(self, apps: list[str], moments: list[datetime], commits: list[str]) -> Iterator[bytes]:
        files = {}
        for order, env in enumerate(ENVIRONMENTS, 1):
            before = f"from: {ENVIRONMENTS[order - 2]}\n" if order > 1 else ""
            files[f"overlays/{env}/environment.yaml"] = (
                f"name: {env}\norder: {order}\n{before}delivery: direct\n"
            )
            files |= {f"overlays/{env}/{app}/kustomization.yaml": "images: []\n" for app in self.apps}
        yield _commit(0, moments[0], "first", files)
        number = 0
        for app, moment, commit in zip(apps, moments, commits, strict=True):
            image = Delivery(app, commit, (), moment).image
            body = f'images:\n- name: {image.name}\n  newTag: "{image.tag}"\n  digest: "{image.digest}"\n'
            for later, env in enumerate(ENVIRONMENTS):
                number += 1
                trailers = (
                    f"Image: {image.name}:{image.tag}\nDigest: {image.digest}\nSource-Commit: {commit}\n"
                )
                message = f"{env}: {app} {image.tag}\n\n{trailers}Previous: {env}/{app} {image.tag}\n"
                moment_ = moment + timedelta(minutes=5 + 20 * later)
                yield _commit(number, moment_, message, {f"overlays/{env}/{app}/kustomization.yaml": body})

    def facts(self) -> Iterator[Fact]:
        """What Argo CD would have reported, as many as were asked for."""
        made = (fact for one in self.deliveries for fact in _reported(one))
        yield from islice(made, self._wanted)


def _reported(one: Delivery) -> Iterator[Fact]:
    for later, env in enumerate(ENVIRONMENTS):
        revision, began = one.revisions[later], one.begun + timedelta(minutes=6 + 20 * later)
        number = int(revision[:8], 16)

        def fact(event: str, seconds: int, health: str, env=env, revision=revision, began=began) -> Fact:
            at = began + timedelta(seconds=seconds)
            return Fact(
                event, one.application, env, revision, at, began, (one.image,), "Synced", health, "told"
            )

        yield fact(RUNNING, 0, "Progressing")
        if number % 20 == 0:
            yield fact(SYNC_FAILED, 20, "Healthy")
            continue
        yield fact(DEPLOYED, 45, "Healthy")
        if number % 20 == 1:
            yield fact(DEGRADED, 300, "Degraded")
            yield fact(DEPLOYED, 600, "Healthy")


def _commit(number: int, moment: datetime, message: str, files: dict[str, str]) -> bytes:
    """A commit for `git fast-import`, with its number as its mark."""
    who = f"dev{number % 7} <d@d> {moment.timestamp():.0f} +0000"
    text = message.encode()
    lines = [
        f"commit refs/heads/main\nmark :{number + 1}\nauthor {who}\ncommitter {who}\ndata {len(text)}\n".encode(),
        text,
    ]
    lines += [f"\nM 100644 inline {name}\ndata {len(body)}\n{body}".encode() for name, body in files.items()]
    return b"".join(lines) + b"\n"


def _imported(path: Path, commits: Iterator[bytes], count: int) -> list[str]:
    """A bare repository of these commits; their names in order."""
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path))
    marks = path / "marks"
    command = ["git", "fast-import", "--quiet", f"--export-marks={marks}"]
    with subprocess.Popen(command, cwd=path, stdin=subprocess.PIPE) as importer:
        _write(importer.stdin, commits)
    assert importer.returncode == 0
    names = dict(line.split() for line in marks.read_text().splitlines())
    return [names[f":{number + 1}"] for number in range(count)]


def _write(stream: IO[bytes], commits: Iterator[bytes]) -> None:
    for commit in commits:
        stream.write(commit)
    stream.close()
