"""A year of deliveries of any size: the facts, and the Git history that they are of."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
TEAM = 5
"""Applications that one team builds from one commit and delivers together."""


@dataclass(frozen=True)
class Delivery:
    """What one commit of a team brought: its deploy commit in each environment; times are UTC."""

    applications: tuple[str, ...]
    commit: str
    revisions: tuple[str, ...]
    begun: datetime

    def image(self, application: str) -> Reference:
        """What was built."""
        digest = sha256(f"{self.commit} {application}".encode()).hexdigest()
        return Reference(f"{HOST}/slipway/{application}", f"main-{self.commit[:7]}", f"sha256:{digest}")


class Story:
    """Deliveries of `apps` applications until there are `facts` facts, with both repositories below `folder`.

    Every commit of the one source repository is delivered by the team that wrote it, to one environment after the
    other; so each delivery also brings what other teams committed in between.
    """

    def __init__(self, folder: Path, apps: int, facts: int):
        self.apps = [f"app-{number:02}" for number in range(apps)]
        self.source, self.deploy = folder / "source.git", folder / "deploy.git"
        self._wanted = facts
        # Two facts of each deployment at least, since a failed one has two as well.
        self.teams = [tuple(self.apps[first : first + TEAM]) for first in range(0, apps, TEAM)]
        rounds = facts // (len(ENVIRONMENTS) * 2 * apps) + 1
        self.deliveries = self._delivered(rounds * len(self.teams))

    def _delivered(self, count: int) -> list[Delivery]:
        begin, step = datetime.now(UTC).replace(microsecond=0) - YEAR, YEAR / count
        moments = [begin + timedelta(seconds=int(step.total_seconds() * number)) for number in range(count)]
        teams = [self.teams[number % len(self.teams)] for number in range(count)]
        commits = _imported(self.source, self._pushed(teams, moments), count)
        deliveries = [Delivery(team, commits[n], (), moments[n]) for n, team in enumerate(teams)]
        bumps = _imported(self.deploy, self._bumped(deliveries), count * len(ENVIRONMENTS) + 1)[1:]
        return [
            replace(one, revisions=tuple(bumps[n * len(ENVIRONMENTS) : (n + 1) * len(ENVIRONMENTS)]))
            for n, one in enumerate(deliveries)
        ]

    @staticmethod
    def _pushed(teams: list[tuple[str, ...]], moments: list[datetime]) -> Iterator[bytes]:
        for number, (team, moment) in enumerate(zip(teams, moments, strict=True)):
            yield _commit(number, moment, f"{team[0]}: change {number}", {f"apps/{team[0]}.txt": str(number)})

    def _bumped(self, deliveries: list[Delivery]) -> Iterator[bytes]:
        files = {}
        for order, env in enumerate(ENVIRONMENTS, 1):
            before = f"from: {ENVIRONMENTS[order - 2]}\n" if order > 1 else ""
            files[f"overlays/{env}/environment.yaml"] = (
                f"name: {env}\norder: {order}\n{before}delivery: direct\n"
            )
            files |= {f"overlays/{env}/{app}/kustomization.yaml": "images: []\n" for app in self.apps}
        yield _commit(0, deliveries[0].begun, "first", files)
        for number, one in enumerate(deliveries):
            for later, env in enumerate(ENVIRONMENTS):
                moment = one.begun + timedelta(minutes=5 + 20 * later)
                told, changed = "", {}
                for app in one.applications:
                    image = one.image(app)
                    told += f"Image: {image.name}:{image.tag}\nDigest: {image.digest}\nSource-Commit: {one.commit}\n"
                    told += f"Previous: {env}/{app} {image.tag}\n"
                    changed[f"overlays/{env}/{app}/kustomization.yaml"] = (
                        f'images:\n- name: {image.name}\n  newTag: "{image.tag}"\n  digest: "{image.digest}"\n'
                    )
                mark = number * len(ENVIRONMENTS) + later + 1
                yield _commit(mark, moment, f"{env}: {', '.join(one.applications)}\n\n{told}", changed)

    def facts(self) -> Iterator[Fact]:
        """What Argo CD would have reported, as many as were asked for."""
        made = (fact for one in self.deliveries for fact in _reported(one))
        yield from islice(made, self._wanted)


def _reported(one: Delivery) -> Iterator[Fact]:
    """Of twenty syncs one fails, and after one the application is degraded for five minutes."""
    for later, env in enumerate(ENVIRONMENTS):
        revision, began = one.revisions[later], one.begun + timedelta(minutes=6 + 20 * later)
        number = int(revision[:8], 16)
        story = [(RUNNING, 0, "Progressing")]
        if number % 20 == 0:
            story += [(SYNC_FAILED, 20, "Healthy")]
        else:
            story += [(DEPLOYED, 45, "Healthy")]
        if number % 20 == 1:
            story += [(DEGRADED, 300, "Degraded"), (DEPLOYED, 600, "Healthy")]
        for app in one.applications:
            for event, seconds, health in story:
                moment, images = began + timedelta(seconds=seconds), (one.image(app),)
                yield Fact(event, app, env, revision, moment, began, images, "Synced", health, "told")


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
