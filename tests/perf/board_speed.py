"""How the release board answers, and takes in, with years of deployments in its table.

50 applications in three environments, 100,000 facts in a PostgreSQL of its own, and the Git history that they are of.
Requests come at a fixed rate, whether the one before was answered or not, and are timed from the moment at which they
should have been sent; a page is open in a browser meanwhile, and a deployment arrives every second. Then events are
sent as fast as they are taken while PostgreSQL is restarted, each of them again until it is acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import httpx
from slipway.dora.metrics import nearest_rank

from tests.cli.bump_lab import GitServer, Registry
from tests.perf.board_story import ENVIRONMENTS, Story

ROOT = Path(__file__).resolve().parents[2]
BOARD = ROOT / "apps" / "board"
sys.path[:0] = [str(ROOT / "tests" / "app"), str(BOARD / "backend"), str(BOARD / "frontend")]

APPS, FACTS = 50, 100_000
RATE, SECONDS = 100, 20
EVENTS, SENDERS = 12_000, 48
READ, WRITE = "reader", "writer"
TARGETS = {
    "API p99, milliseconds": ("<=", 50),
    "first page usable, seconds": ("<=", 1.5),
    "events taken each second": (">=", 500),
    "events acknowledged, but not stored": ("<=", 0),
}


def measure(apps: int = APPS, facts: int = FACTS) -> dict[str, object]:
    """The times of both halves, what the backend needs, and each target with whether it is met."""
    from board_testing import Postgres, migrated

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-board-")))
        story = Story(folder, apps, facts)
        postgres = Postgres()
        stack.callback(postgres.remove)
        postgres.start()
        url = migrated(postgres.create_database())
        _fill(url, story)
        git = stack.enter_context(GitServer(folder))
        git.http.handle_error = lambda *_: None  # who hangs up has what it asked for
        registry = stack.enter_context(Registry())
        backend = stack.enter_context(_backend(url, git.url, registry.mirrors, folder))
        api = _run(_asked(backend, story))
        page = stack.enter_context(_page(backend))
        api_with_page = _run(_asked(backend, story))
        usable = page()
        taken = _run(_taken(backend, story, postgres))
        stored = _count(url) - facts - 2 * SECONDS
        peak = backend.peak()
    values = {
        "API p99, milliseconds": api_with_page["p99"],
        "first page usable, seconds": usable["first"],
        "events taken each second": taken["rate"],
        "events acknowledged, but not stored": taken["acknowledged"] - stored,
    }
    return {
        "what": "the release board under load",
        "applications": apps,
        "facts": facts,
        "start": {"table shown, seconds": backend.shown, "Git read, seconds": backend.whole},
        "API without a page": api,
        "API with a page open": api_with_page,
        "page": usable,
        "ingest": taken | {"stored": stored},
        "memory, MB": peak,
        "values": {what: round(value, 2) for what, value in values.items()},
        "met": {what: _met(what, value) for what, value in values.items()},
    }


def table(result: dict) -> str:
    """The same for people."""
    lines = [f"{result['applications']} applications, {result['facts']} facts"]
    for part in ("start", "API without a page", "API with a page open", "page", "ingest", "memory, MB"):
        lines.append(f"{part}: {', '.join(f'{key} {value}' for key, value in result[part].items())}")
    for what, value in result["values"].items():
        sign, target = TARGETS[what]
        lines.append(
            f"{what:<38}{value:9.2f}   target {sign} {target}: {'met' if result['met'][what] else 'MISSED'}"
        )
    return "\n".join(lines)


def _met(what: str, value: float) -> bool:
    sign, target = TARGETS[what]
    return value >= target if sign == ">=" else value <= target


def _run(coroutine: Coroutine[Any, Any, dict[str, object]]) -> dict[str, object]:
    """Its result; in a thread of its own, since the browser's driver has a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def _fill(url: str, story: Story) -> None:
    """Put the facts into the table as the backend would."""
    from board_backend import database
    from board_backend.store import Store

    store, facts = Store(database.connect(url)), story.facts()
    while batch := list(islice(facts, 2000)):
        store.add({fact.identity: fact for fact in batch})
    store.close()


def _count(url: str) -> int:
    from board_backend import database
    from sqlalchemy import text

    engine = database.connect(url)
    with engine.connect() as connection:
        found = connection.scalar(text("SELECT count(*) FROM facts"))
    engine.dispose()
    return found


class _Backend:
    """The backend as the process that its image starts."""

    def __init__(self, port: int, process: subprocess.Popen):
        self.port, self.process, self.url = port, process, f"http://127.0.0.1:{port}"
        self.shown = self.whole = 0.0

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"Authorization": f"Bearer {READ}"}, timeout=60)

    def peak(self) -> dict[str, int]:
        """Megabytes in memory now, and at the most."""
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        )
        return {
            name: int(status[key].split()[0]) // 1000 for name, key in (("now", "VmRSS"), ("peak", "VmHWM"))
        }


@contextmanager
def _backend(url: str, git: str, mirrors: str, folder: Path) -> Iterator[_Backend]:
    """Started, and everything read; the registry that it asks has none of the images, and says so."""
    from board_testing import free_port, healthy, until

    port = free_port()
    env = {
        "BOARD_DATABASE_URL": url, "BOARD_READ_TOKEN": READ, "BOARD_EVENTS_TOKEN": WRITE,
        "BOARD_DEPLOY_REPO": f"{git}/deploy.git", "BOARD_SOURCE_REPO": f"{git}/source.git",
        "BOARD_DATA_DIR": str(folder / "data"), "BOARD_READS_PER_MINUTE": "1000000",
        "BOARD_EVENTS_PER_MINUTE": "1000000", "BOARD_LOG_LEVEL": "INFO",
        "SLIPWAY_REGISTRY_MIRRORS": mirrors,
    }  # fmt: skip
    command = [sys.executable, "-m", "board_backend", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "backend.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=BOARD / "backend", env=os.environ | env, stdout=log, stderr=log
        )
    try:
        one, begin = _Backend(port, process), time.monotonic()
        until(lambda: healthy(one.url + "/readyz"), seconds=300, what="the table is read")
        one.shown = round(time.monotonic() - begin, 1)
        until(lambda: _has_read(one), seconds=600, what="the repositories are read")
        one.whole = round(time.monotonic() - begin, 1)
        yield one
    finally:
        process.terminate()
        process.wait(timeout=60)


def _has_read(backend: _Backend) -> bool:
    time.sleep(1)
    sources = backend.get("/api/status").json()["sources"]
    return {one["state"] for one in sources if one["name"] in ("deploy", "source")} == {"ok"}


@contextmanager
def _page(backend: _Backend) -> Iterator:
    """A page that is open until the end; calling it opens more, and tells how long until they are usable."""
    from board_pages import chromium, usable, visit
    from board_testing import free_port, healthy, until

    port = free_port()
    env = {
        "BOARD_API_URL": backend.url, "BOARD_READ_TOKEN": READ,
        "STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_ADDRESS": "127.0.0.1",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "board_frontend"], cwd=BOARD / "frontend", env=os.environ | env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        until(lambda: healthy(f"{base}/_stcore/health"), seconds=60, what="the frontend answers")
        with chromium() as browser:
            page = browser.new_page()
            page.goto(base)
            usable(page, "now")

            def opened() -> dict[str, object]:
                seconds = [visit(browser, base, "now").seconds for _ in range(5)]
                return {"first": round(sorted(seconds)[2], 2), "each": [round(one, 2) for one in seconds]}

            yield opened
    finally:
        process.terminate()
        process.wait(timeout=60)


class _Client:
    """One kept connection that says HTTP/1.1 and no more, so that the other end is what is measured."""

    def __init__(self, port: int, token: str):
        self._port = port
        self._head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> int:
        """The status of the answer, which is read to its end; 0 when there was none."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            self._writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{length}\r\n".encode() + body)
            head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await self._reader.readexactly(length)
            return int(head.split(None, 2)[1])
        except (OSError, asyncio.IncompleteReadError, ValueError):
            if self._writer:
                self._writer.close()
            self._writer = None
            return 0


def _paths(story: Story) -> list[str]:
    """What open pages ask for, in the proportion in which they do."""
    apps, paths = story.apps, []
    for number in range(20):
        app, env = apps[number * 7 % len(apps)], ENVIRONMENTS[number % 3]
        paths += [
            "/api/now",
            "/api/now",
            "/api/deployments?limit=200",
            f"/api/deployments?environment={env}&application={app}",
        ]
        paths += [
            f"/api/promotion?application={app}&to=prod",
            f"/api/dora?environment={env}",
            "/api/changes",
            "/api/status",
        ]
        paths += [f"/api/dora?environment={env}&application={app}"]
    return paths


async def _asked(backend: _Backend, story: Story) -> dict[str, object]:
    """Milliseconds of requests at a fixed rate, while something is deployed every second."""
    clients: asyncio.Queue[_Client] = asyncio.Queue()
    for _ in range(32):
        clients.put_nowait(_Client(backend.port, READ))
    took: list[float] = []
    bad: list[tuple[str, int]] = []

    async def one(path: str, due: float) -> None:
        client = await clients.get()
        status = await client.ask("GET", path)
        took.append((time.perf_counter() - due) * 1000)
        clients.put_nowait(client)
        if status != 200:
            bad.append((path, status))

    async def deploy() -> None:
        writer = _Client(backend.port, WRITE)
        for body in islice(_events(story, "during"), SECONDS):
            assert await writer.ask("POST", "/api/events", body) == 200
            await asyncio.sleep(1)

    deploying = asyncio.create_task(deploy())
    begin, tasks = time.perf_counter(), []
    for number, path in enumerate(islice(cycle(_paths(story)), RATE * SECONDS)):
        due = begin + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(path, due)))
    await asyncio.gather(*tasks, deploying)
    assert not bad, bad[:5]
    return {
        "requests": len(took),
        "p50": _rank(took, 50),
        "p99": _rank(took, 99),
        "most": round(max(took), 1),
    }


def _rank(values: Sequence[float], percent: int) -> float:
    return round(nearest_rank(values, percent), 1)


_told = 0


def _events(story: Story, message: str) -> Iterator[bytes]:
    """Deployments that nobody told of yet, of all applications in turn."""
    global _told
    for one in cycle(story.deliveries[-500:]):
        _told += 1
        now = datetime.now(UTC).isoformat()
        app = one.applications[_told % len(one.applications)]
        yield json.dumps({
            "event": "on-deployed", "application": app, "environment": ENVIRONMENTS[_told % 3],
            "revision": one.revisions[_told % 3], "images": [str(one.image(app))], "sync": "Synced", "health": "Healthy",
            "message": f"{message} {_told}", "started_at": now, "finished_at": now, "health_changed_at": now,
        }).encode()  # fmt: skip


async def _taken(backend: _Backend, story: Story, postgres) -> dict[str, object]:
    """Events from many senders, each until it is acknowledged; PostgreSQL is restarted in the middle."""
    events = _events(story, "storm")
    acknowledged = again = 0
    left = EVENTS

    async def send() -> None:
        nonlocal acknowledged, again, left
        client = _Client(backend.port, WRITE)
        while left > 0:
            left -= 1
            body = next(events)
            while await client.ask("POST", "/api/events", body) != 200:
                again += 1
                await asyncio.sleep(0.1)
            acknowledged += 1

    async def restart() -> float:
        while acknowledged < EVENTS // 3:
            await asyncio.sleep(0.05)
        began = time.perf_counter()
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)
        return time.perf_counter() - began

    begin = time.perf_counter()
    restarting = asyncio.create_task(restart())
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    seconds = time.perf_counter() - begin
    away = await restarting
    return {
        "sent": EVENTS, "acknowledged": acknowledged, "sent again": again, "seconds": round(seconds, 1),
        "database away, seconds": round(away, 2), "rate": round(EVENTS / seconds, 1),
    }  # fmt: skip


if __name__ == "__main__":
    chosen = [int(argument) for argument in sys.argv[1:]]
    found = measure(*chosen)
    print(json.dumps(found), flush=True)
    print(table(found), file=sys.stderr)
