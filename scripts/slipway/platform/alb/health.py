"""Health checks: what one probe found, and what a row of them makes of a target. Only `probe` does I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

INITIAL, HEALTHY, UNHEALTHY = "initial", "healthy", "unhealthy"


@dataclass(frozen=True)
class HealthCheck:
    """A target group's health check; times in seconds, `matcher` like `200`, `200,204` or `200-399`."""

    tls: bool
    port: int | None
    path: str
    interval: float
    timeout: float
    healthy_threshold: int
    unhealthy_threshold: int
    matcher: str

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> HealthCheck:
        """From a target group of the snapshot; `port` None is the traffic port."""
        port = raw["HealthCheckPort"]
        return cls(
            tls=raw["HealthCheckProtocol"] == "HTTPS",
            port=int(port) if port.isdigit() else None,
            path=raw["HealthCheckPath"] or "/",
            interval=raw["HealthCheckIntervalSeconds"],
            timeout=raw["HealthCheckTimeoutSeconds"],
            healthy_threshold=raw["HealthyThresholdCount"],
            unhealthy_threshold=raw["UnhealthyThresholdCount"],
            matcher=raw["Matcher"],
        )

    def accepts(self, status: int) -> bool:
        """Whether the matcher names this status."""
        for part in self.matcher.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


@dataclass(frozen=True)
class Outcome:
    """What one probe found; `reason` and `description` in ELB's words when it failed."""

    passed: bool
    reason: str | None = None
    description: str | None = None


PASSED = Outcome(True)


@dataclass(frozen=True)
class Health:
    """A target's health and how many probes in a row speak against it."""

    state: str
    reason: str | None = None
    description: str | None = None
    against: int = 0

    def after(self, outcome: Outcome, check: HealthCheck) -> Health:
        """The health after one more probe; a new target needs one pass, an unhealthy one the threshold."""
        if outcome.passed:
            if self.state == HEALTHY:
                return Health(HEALTHY)
            needed = 1 if self.state == INITIAL else check.healthy_threshold
            if self.against + 1 >= needed:
                return Health(HEALTHY)
            return Health(self.state, self.reason, self.description, self.against + 1)
        if self.state == UNHEALTHY:
            return Health(UNHEALTHY, outcome.reason, outcome.description)
        if self.against + 1 >= check.unhealthy_threshold:
            return Health(UNHEALTHY, outcome.reason, outcome.description)
        return Health(self.state, self.reason, self.description, self.against + 1)


REGISTERING = Health(INITIAL, "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = Health(INITIAL, "Elb.InitialHealthChecking", "Initial health checks in progress")


async def probe(client: httpx.AsyncClient, ip: str, port: int, check: HealthCheck) -> Outcome:
    """Ask the target once, on a connection of its own, as an ALB's node does; never raises for a bad target."""
    url = f"{'https' if check.tls else 'http'}://{ip}:{check.port or port}{check.path}"
    headers = {"User-Agent": "ELB-HealthChecker/2.0", "Connection": "close"}
    try:
        async with asyncio.timeout(check.timeout):
            response = await client.get(url, headers=headers, timeout=None)
    except TimeoutError:
        return Outcome(False, "Target.Timeout", "Request timed out")
    except (httpx.HTTPError, httpx.InvalidURL):
        return Outcome(False, "Target.FailedHealthChecks", "Health checks failed")
    if check.accepts(response.status_code):
        return PASSED
    text = f"Health checks failed with these codes: [{response.status_code}]"
    return Outcome(False, "Target.ResponseCodeMismatch", text)


def client() -> httpx.AsyncClient:
    """The client for `probe`: no proxy, no redirects, certificates of targets not verified, as with an ALB."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(verify=False, trust_env=False, limits=limits)
