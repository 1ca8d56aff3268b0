"""What stands behind and before a load balancer in its tests: small targets, and a load that counts."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from http import HTTPStatus
from typing import Any

import httpx
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Target:
    """A small HTTP and WebSocket server on an address of its own; it tells who answered and what it was sent."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, ip: str):
        self.ip, self.port, self.healthy = ip, free_port(), True
        self.probed: set[str] = set()
        if Target._loop is None:
            Target._loop = asyncio.new_event_loop()
            threading.Thread(target=Target._loop.run_forever, daemon=True).start()
        self.server: Server = self._await(self._start())

    @property
    def id(self) -> dict[str, Any]:
        return {"Id": self.ip, "Port": self.port}

    def _await(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, Target._loop).result(10)

    async def _start(self) -> Server:
        return await serve(self._echo, self.ip, self.port, process_request=self._request, ping_interval=None)

    async def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/ws"):
            return None
        if request.path.endswith("/healthz"):
            self.probed.add(request.path)
            return connection.respond(HTTPStatus.OK if self.healthy else HTTPStatus.SERVICE_UNAVAILABLE, "")
        if request.path.startswith("/slow"):
            await asyncio.sleep(3)
        seen = {"by": self.ip, "path": request.path, "headers": dict(request.headers.raw_items())}
        return connection.respond(HTTPStatus.OK, json.dumps(seen))

    async def _echo(self, connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(f"{self.ip} {message}")

    def die(self) -> None:
        """No longer accept connections, from one moment to the next."""

        async def close() -> None:
            self.server.server.close()

        self._await(close())


class Load:
    """Constant requests, one connection each, in the background; counts statuses and who answered, and when last."""

    def __init__(self, url: str, rate: float = 90):
        self.url, self.pause = url, 1 / rate
        self.statuses: Counter[str] = Counter()
        self.by: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(2)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with httpx.Client(
            limits=httpx.Limits(max_keepalive_connections=0), trust_env=False, timeout=10
        ) as client:
            while not self._end.wait(2 * self.pause):
                try:
                    response = client.get(self.url)
                    self.statuses[str(response.status_code)] += 1
                    self.last[str(response.status_code)] = time.monotonic()
                    if response.is_success:
                        self.by[response.json()["by"]] += 1
                except httpx.TransportError as exc:
                    self.statuses[type(exc).__name__] += 1
