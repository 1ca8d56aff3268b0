"""The border to other processes: every short-lived process that Slipway starts goes through `run`."""

from __future__ import annotations

import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import CommandFailed, ToolError

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


def redact(text: str) -> str:
    """Remove the user part of every URL, which is where credentials hide."""
    return _USERINFO.sub("", text)


@dataclass(frozen=True)
class Result:
    """What a process printed and how it ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
    timeout: float = 120,
    check: bool = True,
    allowed: Sequence[int] = (0,),
    log: Path | None = None,
    fix: str | None = None,
) -> Result:
    """Run `argv` (never a shell) and return what it printed.

    `env` is added to the current environment. `timeout` is in seconds. With `log`, output goes to that file
    instead (appended) and its tail is quoted on failure. Raises `CommandFailed` when the code is not in
    `allowed`, `ToolError` when the program does not exist.
    """
    command = tuple(str(a) for a in argv)
    name = Path(command[0]).name
    sink = log.open("a", encoding="utf-8") if log else None
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.STDOUT if sink else subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as exc:
        raise ToolError(
            f"{name} is not installed", fix=fix or "run `make up`, which installs what is needed"
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise CommandFailed(f"{name} did not end within {timeout:.0f} s", fix=fix) from exc
    finally:
        if sink:
            sink.close()
    result = Result(command, done.returncode, done.stdout or "", done.stderr or "")
    if check and done.returncode not in allowed:
        output = log.read_text(errors="replace") if log else (result.stderr.strip() or result.stdout.strip())
        tail = redact("\n".join(output.strip().splitlines()[-8:]))
        shown = redact(" ".join(command[:4]))
        raise CommandFailed(
            f"`{shown}` ended with code {done.returncode}: {tail}",
            returncode=done.returncode,
            output=redact(output),
            fix=fix,
        )
    return result


def stream(
    argv: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    fix: str | None = None,
) -> None:
    """Run `argv` and hand every line it prints (both streams) to `on_line` as it comes.

    For work that takes minutes and shows progress. Raises `CommandFailed` with the last lines when it fails.
    """
    command = tuple(str(a) for a in argv)
    tail: deque[str] = deque(maxlen=12)
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as exc:
        raise ToolError(f"{Path(command[0]).name} is not installed", fix=fix) from exc
    with process:
        try:
            for line in process.stdout or ():
                tail.append(line.rstrip())
                on_line(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        shown = redact(" ".join(command[:3]))
        raise CommandFailed(
            f"`{shown}` ended with code {process.returncode}: " + redact("\n".join(tail)),
            returncode=process.returncode,
            fix=fix,
        )
