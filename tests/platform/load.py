"""Constant load on one environment: HTTP at a fixed rate and open WebSockets, every outcome counted.

    BOARD_READ_TOKEN=… python -m tests.platform.load URL SECONDS

Runs in a process of its own so that the test's own work does not slow it. It targets loopback only, stops by
itself, and prints a line once it runs, and at the end one JSON object: requests, failures (with the first few texts),
sockets and reconnect times. It ends early, as asked, on SIGTERM, and prints the same. `constant_load` is all that.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import httpx
import websockets

if TYPE_CHECKING:
    from .conftest import Platform

RATE = 50
SOCKETS = 10
BACK = 5
"""Seconds until a WebSocket is open again."""
PATHS = ("/version", "/api/now", "/", "/_stcore/health")
TOKEN = "BOARD_READ_TOKEN"
"""The variable that holds what the API asks of readers."""
SHOWN = 10
LONGEST = 3 * 3600
_RUNNING = "running"


@dataclass
class Count:
    """What happened; seconds are wall clock."""

    seconds: float = 0.0
    requests: int = 0
    failures: int = 0
    first_failures: list[str] = field(default_factory=list)
    sockets_opened: int = 0
    sockets_lost: int = 0
    messages: int = 0
    reconnect_seconds: list[float] = field(default_factory=list)

    def fail(self, text: str) -> None:
        """Count a failed request."""
        self.failures += 1
        if len(self.first_failures) < SHOWN:
            self.first_failures.append(f"{time.strftime('%H:%M:%S')} {text}")


async def _request(client: httpx.AsyncClient, path: str, count: Count) -> None:
    count.requests += 1
    try:
        answer = await client.get(path)
    except httpx.HTTPError as exc:
        count.fail(f"{path}: {type(exc).__name__} {exc}")
        return
    if answer.status_code != 200:
        count.fail(f"{path}: {answer.status_code} {answer.text[:80]}")


async def _requests(url: str, count: Count, stop: asyncio.Event) -> None:
    """Start one request every 1/RATE s, whether earlier ones have been answered or not."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    login = {"Authorization": f"Bearer {os.environ[TOKEN]}"}
    async with httpx.AsyncClient(base_url=url, headers=login, timeout=30, limits=limits) as client:
        running: set[asyncio.Task] = set()
        started, number = time.monotonic(), 0
        while not stop.is_set():
            task = asyncio.create_task(_request(client, PATHS[number % len(PATHS)], count))
            running.add(task)
            task.add_done_callback(running.discard)
            number += 1
            if number == RATE:
                print(_RUNNING, flush=True)
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
        await asyncio.gather(*running)


async def _socket(url: str, count: Count, stop: asyncio.Event) -> None:
    """Keep one WebSocket to Streamlit open, each with its own cookies, and reconnect whenever it ends."""
    lost_at: float | None = None
    while not stop.is_set():
        try:
            async with httpx.AsyncClient(base_url=url, timeout=10) as client:
                cookies = (await client.get("/_stcore/health")).cookies
            header = "; ".join(f"{name}={value}" for name, value in cookies.items())
            address = url.replace("http://", "ws://") + "/_stcore/stream"
            options = {"additional_headers": {"Cookie": header}, "subprotocols": ["streamlit"], "origin": url}
            async with websockets.connect(address, ping_interval=1, ping_timeout=4, **options) as socket:
                count.sockets_opened += 1
                if lost_at is not None:
                    count.reconnect_seconds.append(round(time.monotonic() - lost_at, 2))
                lost_at = None
                await _stay(socket, count, stop)
        except (OSError, httpx.HTTPError, websockets.WebSocketException):
            await asyncio.sleep(0.1)
        if not stop.is_set() and lost_at is None:
            lost_at = time.monotonic()
            count.sockets_lost += 1


async def _stay(socket: websockets.ClientConnection, count: Count, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await asyncio.wait_for(socket.recv(), timeout=1)
            count.messages += 1
        except TimeoutError:
            continue


async def load(url: str, seconds: float) -> Count:
    """Run the load for at most `seconds`."""
    if not url.startswith("http://127.0.0.1:"):
        raise SystemExit("the load goes to loopback only")
    count, stop, started = Count(), asyncio.Event(), time.monotonic()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks = [asyncio.create_task(_requests(url, count, stop))]
    tasks += [asyncio.create_task(_socket(url, count, stop)) for _ in range(SOCKETS)]
    try:
        await asyncio.wait_for(stop.wait(), timeout=seconds)
    except TimeoutError:
        stop.set()
    await asyncio.gather(*tasks)
    count.seconds = round(time.monotonic() - started, 1)
    return count


@contextmanager
def constant_load(platform: Platform, environment: str) -> Iterator[dict]:
    """Load from a process of its own, which runs when the block begins; what it counted is there after the block."""
    argv = [sys.executable, "-m", "tests.platform.load", platform.urls[environment], str(LONGEST)]
    env = {**os.environ, TOKEN: platform.read_token}
    counted: dict = {}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout.readline().strip() == _RUNNING, "the load did not start"
            yield counted
        finally:
            process.terminate()
            printed, _ = process.communicate(timeout=60)
    counted.update(json.loads(printed))


def check_unnoticed(counted: dict) -> None:
    """No request failed while Pods were replaced, and every WebSocket that was lost by it was back within `BACK`."""
    print(json.dumps(counted))
    assert counted["requests"] > 0.8 * RATE * counted["seconds"], "the load generator did not keep its rate"
    assert counted["sockets_opened"] >= SOCKETS, "the WebSockets never opened"
    assert counted["sockets_lost"] > 0, "no WebSocket saw a Pod end: the rollouts did not happen"
    assert counted["failures"] == 0, counted["first_failures"]
    assert len(counted["reconnect_seconds"]) == counted["sockets_lost"], "a WebSocket did not come back"
    assert max(counted["reconnect_seconds"]) <= BACK


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(load(sys.argv[1], float(sys.argv[2]))))))
