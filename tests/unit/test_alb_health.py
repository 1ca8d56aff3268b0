"""Health checks: what counts as a pass, and how many make a target healthy or unhealthy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from slipway.platform.alb.health import CHECKING, PASSED, Health, HealthCheck, Outcome, client, probe

FAILED = Outcome(False, "Target.FailedHealthChecks", "Health checks failed")
CHECK = HealthCheck(
    tls=False,
    port=None,
    path="/healthz",
    interval=5,
    timeout=0.3,
    healthy_threshold=3,
    unhealthy_threshold=2,
    matcher="200",
)


def after(start: Health, outcomes: str) -> str:
    """The state after a row of probes, `+` passed and `-` failed."""
    for outcome in outcomes:
        start = start.after(PASSED if outcome == "+" else FAILED, CHECK)
    return start.state


@pytest.mark.parametrize(
    ("start", "outcomes", "state"),
    [
        (CHECKING, "+", "healthy"),
        (CHECKING, "-", "initial"),
        (CHECKING, "-+", "healthy"),
        (CHECKING, "--", "unhealthy"),
        (Health("healthy"), "-", "healthy"),
        (Health("healthy"), "-+-", "healthy"),
        (Health("healthy"), "--", "unhealthy"),
        (Health("unhealthy"), "++", "unhealthy"),
        (Health("unhealthy"), "++-++", "unhealthy"),
        (Health("unhealthy"), "+++", "healthy"),
    ],
)
def test_a_state_needs_its_row_of_probes(start: Health, outcomes: str, state: str) -> None:
    """A new target needs one pass, an unhealthy one the threshold in a row, a healthy one fails in a row."""
    assert after(start, outcomes) == state


@pytest.mark.parametrize(
    ("matcher", "accepted", "refused"),
    [
        ("200", [200], [201, 199]),
        ("200,204", [200, 204], [203]),
        ("200-299,404", [200, 299, 404], [300, 403]),
    ],
)
def test_the_matcher_names_the_codes_that_pass(matcher: str, accepted: list[int], refused: list[int]) -> None:
    """Single codes, lists and ranges, as in the target group."""
    check = HealthCheck(False, None, "/", 5, 2, 5, 2, matcher)
    assert [check.accepts(code) for code in [*accepted, *refused]] == [True] * len(accepted) + [False] * len(
        refused
    )


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def probed(answer: Answer) -> Outcome:
    """What a probe finds at a server that answers so."""

    async def run() -> Outcome:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with client() as one:
            outcome = await probe(one, "127.0.0.1", port, CHECK)
        server.close()
        return outcome

    return asyncio.run(run())


def test_a_probe_names_what_it_found() -> None:
    """Passed, wrong code, too slow and broken are told apart in ELB's own words."""
    seen = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(text)
        writer.close()

    async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reply(reader, writer, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reply(reader, writer, b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    assert probed(good) == PASSED
    assert seen[0].startswith(b"GET /healthz HTTP/1.1\r\n")
    assert b"ELB-HealthChecker/2.0" in seen[0]
    assert probed(wrong).description == "Health checks failed with these codes: [302]"
    assert probed(slow).reason == "Target.Timeout"
    assert probed(broken).reason == "Target.FailedHealthChecks"
