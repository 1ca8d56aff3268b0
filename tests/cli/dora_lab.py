"""Dated repositories and an event log with a story whose figures were computed by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.cli.bump_lab import BACKEND, git

DAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
POLICIES = {
    f"overlays/{env}/environment.yaml": f"name: {env}\norder: {order}\ndelivery: direct\n"
    for order, env in enumerate(("dev", "prod"), 1)
}


def at(minutes: float) -> datetime:
    """A time of the story."""
    return DAY + timedelta(minutes=minutes)


@dataclass
class Repo:
    """A bare repository whose commits are dated."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> Repo:
        git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path))
        return cls(path)

    @property
    def tip(self) -> str:
        return git("rev-parse", "main", cwd=self.path).strip()

    def commit(
        self, message: str, files: dict[str, str], written: float, committed: float | None = None
    ) -> str:
        """Write files on top of main, at these minutes of the story."""
        dates = [
            f"{at(m).timestamp():.0f} +0000" for m in (written, written if committed is None else committed)
        ]
        parts = [f"commit refs/heads/main\nauthor a <a@a> {dates[0]}\ncommitter c <c@c> {dates[1]}\n"]
        parts.append(f"data {len(message)}\n{message}\n")
        if git("for-each-ref", "refs/heads/main", cwd=self.path):
            parts.append("from refs/heads/main^0\n")
        parts += [f"M 100644 inline {name}\ndata {len(body)}\n{body}\n" for name, body in files.items()]
        git("fast-import", "--quiet", cwd=self.path, input="".join(parts).encode())
        return self.tip


def overlay(version: str, env: str = "prod") -> dict[str, str]:
    return {f"overlays/{env}/board/kustomization.yaml": f"images: [{version}]\n"}


def bump(source: str, env: str = "prod") -> str:
    digest = f"sha256:{source:0<64}"
    return f"bump\n\nImage: {BACKEND}:{source[:7]}\nDigest: {digest}\nSource-Commit: {source}\nPrevious: {env}/board v1\n"


def event(
    kind: str, revision: str, source: str, started: float, finished: float, health: float | None = None
):
    """A file of the event log."""
    body = {
        "event": kind, "application": "board", "environment": "prod", "revision": revision,
        "images": [f"{BACKEND}:{source[:7]}@sha256:{source:0<64}"], "sync": "Synced", "health": "Healthy",
        "started_at": at(started).isoformat(), "finished_at": at(finished).isoformat(),
        "health_changed_at": at(health if health is not None else finished).isoformat(),
    }  # fmt: skip
    return {f"prod/board/{started:g}-{finished:g}-{kind}.json": json.dumps(body)}


def story(folder: Path) -> dict[str, Repo]:
    """s1 live; s2 bumped at 120, merged at 150, live at 155, degraded at 170, rolled back by revert, live at 204."""
    names = ("source", "deploy", "events")
    repos = {name: Repo.create(folder / f"{name}.git") for name in names}
    source, deploy, events = repos.values()
    deploy.commit("first", POLICIES | overlay("none"), 0)
    s1 = source.commit("s1", {"a": "1"}, 0)
    d1 = deploy.commit(bump(s1), overlay("s1"), 10)
    s2 = source.commit("s2", {"a": "2"}, 100)
    d2 = deploy.commit(bump(s2), overlay("s2"), 120, 150)
    r2 = deploy.commit(f"Revert\n\nThis reverts commit {d2}.\n", overlay("s1"), 200)
    events.commit("start", {"README.md": "what Argo CD reported\n"}, 0)
    events.commit("e", event("on-deployed", d1, s1, 11, 12), 12)
    events.commit("e", event("on-deployed", d2, s2, 151, 153, 155), 155)
    events.commit("e", event("on-health-degraded", d2, s2, 151, 153, 170), 170)
    events.commit("e", event("on-deployed", r2, s1, 201, 202, 204), 204)
    return repos
