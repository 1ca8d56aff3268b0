"""Slow requests to several load balancers at once, at a constant rate, every outcome counted for each.

    python -m tests.platform.settings_load NAME=PORT…

Each request is a client of its own, with a connection and without a cookie, and says in `x-due` when it was to be
sent. The rate does not wait for answers, as users do not. Runs in a process of its own, goes to loopback only, and
ends on SIGTERM or after LONGEST seconds; then it waits for the answers that are due and prints one JSON object: name
to requests, failures, how many of which kind, and the first few of them.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field

RATE = 10
"""Requests a second, to each."""
LONGEST = 600
TIMEOUT = 30
SHOWN = 5


@dataclass
class Count:
    """What happened at one load balancer; `kinds` is every failure's text without its time."""

    requests: int = 0
    failures: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    first_failures: list[str] = field(default_factory=list)

    def fail(self, text: str, due: float) -> None:
        """Count a failed request; `due` is when it was to be sent, since the load began."""
        self.failures += 1
        self.kinds[text] = self.kinds.get(text, 0) + 1
        if len(self.first_failures) < SHOWN:
            self.first_failures.append(f"{time.strftime('%H:%M:%S')} due at {due:.1f} s: {text}")


async def _answer(port: int, due: float) -> tuple[str, str]:
    """Status and text of one request, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = ("GET /work HTTP/1.1", f"Host: 127.0.0.1:{port}", f"X-Due: {due}", "Connection: close")
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        head, _, text = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    return head.split(" ", 2)[1] if head else "no answer", " ".join(text.split())[:40]


async def _request(port: int, count: Count, due: float) -> None:
    count.requests += 1
    try:
        async with asyncio.timeout(TIMEOUT):
            status, text = await _answer(port, due)
    except (OSError, TimeoutError) as exc:
        status, text = type(exc).__name__, ""
    if status != "200":
        count.fail(f"{status} {text}".strip(), due)


async def load(ports: dict[str, int]) -> dict[str, Count]:
    """Start a request to each every 1/RATE s, until told to stop."""
    counts, stop, running = {name: Count() for name in ports}, asyncio.Event(), set()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    started, number = loop.time(), 0
    while not stop.is_set() and loop.time() < started + LONGEST:
        for name, port in ports.items():
            task = asyncio.create_task(_request(port, counts[name], number / RATE))
            running.add(task)
            task.add_done_callback(running.discard)
        number += 1
        await asyncio.sleep(max(0.0, started + number / RATE - loop.time()))
    await asyncio.gather(*running)
    return counts


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[1:])
    named = {name: int(port) for name, port in pairs}
    print(json.dumps({name: asdict(count) for name, count in asyncio.run(load(named)).items()}))
