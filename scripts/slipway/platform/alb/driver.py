"""The loop: follow the ELBv2 state, probe the targets, keep HAProxy in step, write back what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx

from slipway.errors import CommandFailed, MachineError, Unreachable
from slipway.platform.alb import config, haproxy, health, status
from slipway.platform.alb.health import CHECKING, REGISTERING, Health
from slipway.platform.alb.model import Model, Target, TargetGroup
from slipway.platform.alb.plan import Plan, Server, Slots, TargetKey, key, plan
from slipway.platform.alb.reader import Reader

log = logging.getLogger("slipway.alb")
SETTLE = 0.2
"""Seconds to wait after a change for the ones that come with it, so that one reload covers them."""
RETRY = 5
"""Seconds until a configuration that did not load is tried again."""


class Driver:
    """The data plane of every load balancer; `folder` holds its status, configuration and certificates."""

    def __init__(
        self,
        aws_url: str,
        folder: Path,
        ports: Mapping[tuple[str, int], int],
        lag: float,
        register_lag: float = 0,
        metrics: int | None = None,
    ):
        self.api = httpx.AsyncClient(base_url=aws_url, trust_env=False, timeout=40)
        self.folder = folder
        self.ports = ports
        self.lag = lag
        self.register_lag = register_lag
        self.metrics = metrics
        self.model = Model()
        self.health: dict[TargetKey, Health] = {}
        self.checks: dict[tuple[TargetKey, health.HealthCheck], asyncio.Task[None]] = {}
        self.slots: dict[str, Slots] = {}
        self.haproxy = haproxy.HAProxy(folder)
        self.shape = ""
        self.dirty = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; ends with an error when HAProxy does."""
        try:
            async with health.client() as self.prober, asyncio.TaskGroup() as tasks:
                self.tasks = tasks
                if await self.haproxy.adopt():
                    log.warning("HAProxy of an earlier process taken over")
                    tasks.create_task(self.haproxy.ended())
                tasks.create_task(self._follow())
                tasks.create_task(self._apply_changes())
        finally:
            await self.haproxy.stop()
            await self.api.aclose()

    async def _follow(self) -> None:
        """Take over every version of the ELBv2 state; while the API is away, what was known stays in force."""
        version, away = 0, False
        while True:
            try:
                answer = await self.api.get("/slipway/elbv2", params={"after": version, "wait": 20})
                snapshot = answer.raise_for_status().json()
            except (httpx.HTTPError, ValueError) as exc:
                if not away:
                    log.warning("the AWS API does not answer, going on with what is known: %s", exc)
                away = True
                await asyncio.sleep(0.5)
                continue
            away = False
            self.haproxy.trim_log()
            if snapshot["Version"] != version:
                version = snapshot["Version"]
                self._take(Reader(self.ports, self._certificates(snapshot)).read(snapshot))

    def _certificates(self, snapshot: Mapping) -> frozenset[str]:
        listeners = [listener for lb in snapshot["LoadBalancers"] for listener in lb["Listeners"]]
        arns = {arn for listener in listeners for arn in listener["Certificates"]}
        return frozenset(a for a in arns if config.certificate_file(self.folder, a).is_file())

    def _take(self, model: Model) -> None:
        for entry in model.unsupported:
            if entry not in self.model.unsupported:
                log.warning("not supported: %s: %s", entry.resource, entry.feature)
        self.model = model
        wanted = {}
        for group in model.groups:
            for target in group.targets:
                one = key(group, target)
                self.health.setdefault(one, _first(target))
                if target.left is None:
                    wanted[one, group.check] = (group, target)
        present = {key(group, target) for group in model.groups for target in group.targets}
        self.health = {one: seen for one, seen in self.health.items() if one in present}
        for gone in self.checks.keys() - wanted.keys():
            self.checks.pop(gone).cancel()
        for new in wanted.keys() - self.checks.keys():
            self.checks[new] = self.tasks.create_task(self._check(*wanted[new]))
        self.dirty.set()

    async def _check(self, group: TargetGroup, target: Target) -> None:
        one, loop = key(group, target), asyncio.get_running_loop()
        if self.register_lag and self.health[one].state == health.INITIAL:
            self.health[one] = REGISTERING
            await asyncio.sleep(target.since + self.register_lag - time.time())
            self.health[one] = CHECKING
            self.dirty.set()
        while True:
            started = loop.time()
            outcome = await health.probe(self.prober, target.ip, target.port, group.check)
            before = self.health[one]
            self.health[one] = before.after(outcome, group.check)
            if self.health[one].state != before.state:
                log.warning("%s %s:%d is %s", group.name, target.ip, target.port, self.health[one].state)
                self.dirty.set()
            await asyncio.sleep(max(0, started + group.check.interval - loop.time()))

    async def _apply_changes(self) -> None:
        """Keep HAProxy, the status file and the API in step with the plan, from the first snapshot on."""
        until: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if until is None else max(0, until - time.time())):
                    await self.dirty.wait()
                    await asyncio.sleep(SETTLE)
            self.dirty.clear()
            now = plan(self.model, self.health, self.slots, time.time(), self.lag)
            error = await self._apply(now)
            until = time.time() + RETRY if error else now.until
            document = status.document(self.model, self.health, now, self.lag, self.haproxy.reloads, error)
            status.write(self.folder / "status.json", document, datetime.now(UTC))
            await self._write_back()

    async def _apply(self, now: Plan) -> str | None:
        """Reload when listeners, rules or groups changed; otherwise change servers in the running workers.

        Returns why it failed, if it did: what was in force before then stays in force.
        """
        names = {group.arn: config.backend_name(group) for group in self.model.groups}
        servers = {f"{names[arn]}/{s.name}": s for arn, row in now.servers.items() for s in row}
        bare = {arn: tuple(Server(s.name) for s in row) for arn, row in now.servers.items()}
        shape = config.render(self.model, bare, self.folder)
        try:
            if shape != self.shape:
                text = config.render(self.model, now.servers, self.folder, haproxy.user(), self.metrics)
                if await self.haproxy.load(text, servers):
                    self.tasks.create_task(self.haproxy.ended())
                self.shape = shape
                log.warning("configuration loaded, %d reloads so far", self.haproxy.reloads)
            await self.haproxy.sync(servers)
        except (CommandFailed, MachineError, Unreachable) as exc:
            log.error("%s", exc.render())
            return exc.message
        return None

    async def _write_back(self) -> None:
        """Tell the API every health that differs from what it shows; what does not arrive now arrives next time."""
        changed = []
        for group in self.model.groups:
            for target in group.targets:
                seen = self.health[key(group, target)]
                if target.left is None and (seen.state, seen.reason) != (target.state, target.reason):
                    where = {
                        "TargetGroupArn": group.arn,
                        "Id": target.ip,
                        "Port": target.port,
                        "Since": target.since,
                    }
                    what = {"State": seen.state, "Reason": seen.reason, "Description": seen.description}
                    changed.append(where | what)
        if changed:
            try:
                body = json.dumps({"Targets": changed})
                (await self.api.put("/slipway/elbv2/health", content=body)).raise_for_status()
            except httpx.HTTPError as exc:
                log.warning("the health of %d targets could not be written: %s", len(changed), exc)


def _first(target: Target) -> Health:
    """A target known from before this process began keeps its state; a new one waits for its first pass."""
    return CHECKING if target.state == health.INITIAL else Health(target.state, target.reason)
