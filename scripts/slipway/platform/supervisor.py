"""The platform's processes under supervisord (PyPI): one instance for the machine, one as the node's first process."""

from __future__ import annotations

import os
import resource
import signal
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway.errors import StateError
from slipway.proc import run


@dataclass(frozen=True)
class Program:
    """A supervised process. `stop_signal` KILL is for the node, which ends whole or not at all."""

    name: str
    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    user: str | None = None
    stop_signal: str = "TERM"


def configuration(folder: Path, programs: Sequence[Program], *, foreground: bool) -> str:
    """The text of a supervisord.conf whose socket, logs and pid file are in `folder`."""
    lines = [
        "[unix_http_server]",
        f"file={folder}/supervisor.sock",
        "chmod=0700",
        "[supervisord]",
        f"logfile={folder}/supervisord.log",
        f"pidfile={folder}/supervisord.pid",
        f"nodaemon={'true' if foreground else 'false'}",
        "silent=true",
        f"minfds={resource.getrlimit(resource.RLIMIT_NOFILE)[1]}",
        "user=root",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in programs:
        pairs = ",".join(f'{name}="{_escape(value)}"' for name, value in program.env.items())
        lines += [
            f"[program:{program.name}]",
            f"command={' '.join(_quote(str(a)) for a in program.argv)}",
            f"environment={pairs}",
            f"directory={program.directory or folder}",
            "autostart=false",
            "autorestart=true",
            "startsecs=0",
            "startretries=1000",
            f"stopsignal={program.stop_signal}",
            "stopasgroup=true",
            "killasgroup=true",
            "stopwaitsecs=10",
            "redirect_stderr=true",
            f"stdout_logfile={folder}/{program.name}.log",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=1",
        ]
        if program.user:
            lines.append(f"user={program.user}")
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    if set(value) & set("\"'\n;#"):
        raise StateError("supervisord cannot pass on a value with quotes, a semicolon, # or a line break")
    return value.replace("%", "%%")


def _quote(argument: str) -> str:
    argument = argument.replace("%", "%%")
    return f'"{argument}"' if any(c in argument for c in " ;'") else argument


class Supervisor:
    """Talks to the instance whose files are in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def _rpc(self) -> xmlrpc.client.ServerProxy:
        """A new connection for each call: supervisor's transport does not recover from a failed one."""
        transport = SupervisorTransport(None, None, f"unix://{self.folder}/supervisor.sock")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor

    def alive(self) -> bool:
        """Whether the instance answers."""
        try:
            return self._rpc.getState()["statename"] in ("RUNNING", "RESTARTING")
        except (OSError, xmlrpc.client.Error):
            return False

    def start(self, programs: Sequence[Program]) -> None:
        """Start the instance, or make a running one know changed programs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "supervisord.conf"
        text = configuration(self.folder, programs, foreground=False)
        changed = not file.exists() or file.read_text() != text
        file.write_text(text)
        file.chmod(0o600)
        if not self.alive():
            for stale in ("supervisor.sock", "supervisord.pid"):
                (self.folder / stale).unlink(missing_ok=True)
            # Git settings of the caller's shell are not those of the services: Gitea writes its own.
            without = [part for name in os.environ if name.startswith("GIT_") for part in ("-u", name)]
            run(["env", *without, Path(sys.prefix) / "bin" / "supervisord", "-c", file], timeout=30)
            self._wait()
        elif changed:
            added, updated, removed = self._rpc.reloadConfig()[0]
            for name in [*updated, *removed]:
                self._rpc.stopProcessGroup(name)
                self._rpc.removeProcessGroup(name)
            for name in [*added, *updated]:
                self._rpc.addProcessGroup(name)

    @retry(
        retry=retry_if_exception_type(StateError),
        stop=stop_after_delay(10),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def _wait(self) -> None:
        if not self.alive():
            raise StateError("supervisord does not answer", path=self.folder / "supervisord.log")

    def run(self, name: str) -> None:
        """Make sure the program runs."""
        if not self.running(name):
            self._rpc.startProcess(name)

    def halt(self, name: str) -> None:
        """Make sure the program does not run, whether the instance is up and knows it or not."""
        if self.alive() and name in {p["name"] for p in self.processes()} and self.running(name):
            self._rpc.stopProcess(name)

    def running(self, name: str) -> bool:
        """Whether the program runs now."""
        return self._rpc.getProcessInfo(name)["statename"] in ("RUNNING", "STARTING")

    def processes(self) -> list[dict]:
        """Name, state and pid of every program."""
        return [{k: p[k] for k in ("name", "statename", "pid")} for p in self._rpc.getAllProcessInfo()]

    def stop(self) -> None:
        """End every program and the instance; what does not listen is killed by its recorded pid."""
        if self.alive():
            self._rpc.stopAllProcesses()
            pid = self._rpc.getPID()
            self._rpc.shutdown()
            _wait_gone(pid)


def _wait_gone(pid: int) -> None:
    @retry(
        retry=retry_if_exception_type(StateError),
        stop=stop_after_delay(15),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def gone() -> None:
        if runs(pid):
            raise StateError(f"supervisord ({pid}) does not end")

    try:
        gone()
    except StateError:
        os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Whether the process exists and is not merely waiting for its parent to notice that it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
