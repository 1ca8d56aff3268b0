"""The border to HAProxy: one master with its workers, started by this process or by one before it.

As an ALB's data plane does, it serves on while nobody controls it: a process that was killed leaves it behind, and
the next one takes it over by a reload.

A reload starts a new worker that takes over the listening sockets; the former one ends when its last connection
does. HAProxy refuses changes of servers in a former worker, so there only connections are cut, one by one. What is
left of the difference to an ALB: a client connection that was idle since before the reload may send one last request
by the state of that time; after its answer it is closed.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import select
import signal
from collections.abc import Mapping
from pathlib import Path

from slipway.errors import CommandFailed, MachineError, ToolError, Unreachable
from slipway.platform.alb.plan import Server
from slipway.proc import run

PROGRAM = Path("/usr/sbin/haproxy")
USER = "haproxy"
LOG = "haproxy.log"
"""Its own file and no pipe to this process, which may end before HAProxy does."""
_LOG_LIMIT = 20 << 20
_MASTER = re.compile(r"^(\d+)\s+master\s", re.MULTILINE)
_WORKER = re.compile(r"^(\d+)\s+worker\s+(\d+)\s", re.MULTILINE)
_SESSION = re.compile(r"^(0x[0-9a-f]+): .* be=(\S+) .*?srv=(\S+) ", re.MULTILINE)
_REFUSED = re.compile(r"No such|Unknown command|disabled|Require|Can't find", re.IGNORECASE)
Servers = Mapping[str, Server]
"""`backend/server` to what it should be."""


def user() -> str | None:
    """The user for the workers: Debian's, when this process is root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        return None


class Adopted:
    """A HAProxy that an earlier process started: no child of this one, so its exit code is not told."""

    def __init__(self, pid: int):
        self._pidfd = os.pidfd_open(pid)

    @property
    def returncode(self) -> int | None:
        """None while it runs, as a child's."""
        ready, _, _ = select.select([self._pidfd], [], [], 0)
        return -1 if ready else None

    def send_signal(self, number: int) -> None:
        """Never to another process that got its pid."""
        signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """End it."""
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait until it has ended."""
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        return -1


class HAProxy:
    """The process, its configuration file and its control socket, both in `folder`."""

    def __init__(self, folder: Path):
        self.file = folder / "haproxy.cfg"
        self.socket = folder / "haproxy.sock"
        self.log = folder / LOG
        self.process: asyncio.subprocess.Process | Adopted | None = None
        self.reloads = 0
        self.current = 0
        self.known: dict[int, dict[str, Server]] = {}

    async def adopt(self) -> bool:
        """Take over what an earlier process left running in this folder; True when there was something.

        Its workers' servers are not known: `load` replaces them, and what they still have ends by itself.
        """
        try:
            answer = await self.command("show proc")
        except Unreachable:
            return False
        master = _MASTER.search(answer)
        if master is None:
            return False
        self.process = Adopted(int(master[1]))
        self.known = {pid: {} for pid in await self.workers()}
        return True

    async def load(self, text: str, servers: Servers) -> bool:
        """Start with this configuration, or move to it without losing a connection; True when it was started.

        `servers` is what the text says of them. Raises `CommandFailed` when HAProxy refuses the text (the old one
        then stays in force) and `MachineError` when it does not take over, for example because a port is in use.
        """
        await self._check(text)
        before = set(self.known)
        started = self.process is None or self.process.returncode is not None
        if started:
            await self._start()
        else:
            self.process.send_signal(signal.SIGUSR2)  # type: ignore[union-attr]
            self.reloads += 1
        self.current = await self._taken_over(before)
        self.known[self.current] = dict(servers)
        return started

    async def ended(self) -> None:
        """Wait for the process to end, which it must not: raises `MachineError`."""
        code = await self.process.wait()  # type: ignore[union-attr]
        raise MachineError(f"HAProxy ended with code {code}", fix=f"see {self.log}")

    async def _check(self, text: str) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".new")
        partial.write_text(text)
        await asyncio.to_thread(run, [PROGRAM, "-c", "-f", partial], fix="install the Debian package haproxy")
        partial.rename(self.file)

    async def _start(self) -> None:
        self.socket.unlink(missing_ok=True)
        argv = [str(PROGRAM), "-W", "-S", f"{self.socket},mode,600", "-f", str(self.file)]
        try:
            with self.log.open("ab") as log:
                self.process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log)
        except FileNotFoundError as exc:
            raise ToolError("haproxy is not installed", fix="install the Debian package haproxy") from exc

    def trim_log(self) -> None:
        """Empty the log when it is long; HAProxy appends, so it goes on at the beginning."""
        if self.log.is_file() and self.log.stat().st_size > _LOG_LIMIT:
            os.truncate(self.log, 0)

    async def _taken_over(self, before: set[int]) -> int:
        """Wait until a worker that was not there before serves, and return its pid."""
        for _ in range(100):
            await asyncio.sleep(0.05)
            if self.process and self.process.returncode is not None:
                break
            try:
                workers = await self.workers()
            except Unreachable:
                continue
            fresh = [pid for pid, age in workers.items() if age == 0 and pid not in before]
            if fresh:
                self.known = {pid: servers for pid, servers in self.known.items() if pid in workers}
                return fresh[0]
        raise MachineError(
            f"HAProxy did not take over the configuration {self.file}",
            fix=f"see {self.log}; most often a port of --ports is in use by another process",
        )

    async def workers(self) -> dict[int, int]:
        """The pids of the workers and how many reloads each has seen; raises `Unreachable`."""
        return {int(pid): int(age) for pid, age in _WORKER.findall(await self.command("show proc"))}

    async def command(self, text: str) -> str:
        """What the control socket answers; raises `Unreachable`."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                writer.write(text.encode() + b"\n")
                writer.write_eof()
                answer = await reader.read()
                writer.close()
        except (OSError, TimeoutError) as exc:
            raise Unreachable(f"HAProxy does not answer on {self.socket}: {exc}") from exc
        return answer.decode(errors="replace")

    async def sync(self, servers: Servers) -> None:
        """Make the servers what they should be, and cut what former workers still have with targets that are gone."""
        workers = await self.workers()
        self.known = {pid: known for pid, known in self.known.items() if pid in workers}
        for pid, known in self.known.items():
            differing = {name for name in known.keys() & servers.keys() if known[name] != servers[name]}
            if pid == self.current:
                await self._change(
                    pid, [c for name in differing for c in changes(name, known[name], servers[name])]
                )
                known.update({name: servers[name] for name in differing})
            elif gone := {name for name in differing if moved(known[name], servers[name])}:
                await self._cut(pid, gone)
                known.update({name: servers[name] for name in gone})

    async def _change(self, pid: int, commands: list[str]) -> None:
        if commands:
            answer = await self.command("; ".join(f"@!{pid} {command}" for command in commands))
            if _REFUSED.search(answer):
                raise CommandFailed(f"HAProxy's worker {pid} refused a change: {answer.strip()}")

    async def _cut(self, pid: int, gone: set[str]) -> None:
        """End a former worker's connections to these servers."""
        sessions = _SESSION.findall(await self.command(f"@!{pid} show sess"))
        ended = [session for session, backend, server in sessions if f"{backend}/{server}" in gone]
        if ended:
            await self.command("; ".join(f"@!{pid} shutdown session {session}" for session in ended))

    async def stop(self) -> None:
        """End it at once."""
        if self.process and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()


def moved(old: Server, new: Server) -> bool:
    """Whether the slot's old target is gone."""
    return old.ip is not None and (old.ip, old.port) != (new.ip, new.port)


def changes(name: str, old: Server, new: Server) -> list[str]:
    """The runtime commands that turn one server into another; connections to a target that is gone are cut.

    The state `maint` and not `drain`: the latter would still let clients with the target's cookie in.
    """
    commands = []
    if old.serving and (moved(old, new) or not new.serving):
        commands.append(f"set server {name} state maint")
    if moved(old, new):
        commands.append(f"shutdown sessions server {name}")
    if new.ip and (old.ip, old.port) != (new.ip, new.port):
        commands.append(f"set server {name} addr {new.ip} port {new.port}")
    if new.serving and (moved(old, new) or not old.serving):
        commands.append(f"set server {name} state ready")
    return commands
