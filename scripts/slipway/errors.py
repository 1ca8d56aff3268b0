"""Everything that can go wrong, with its exit code.

An error carries what failed, where, and how to mend it; `render` is the only place that turns it into text.
Exit codes: 1 findings, 2 could not run (usage, machine, tool), 3 refused by a rule, 4 refused by the remote,
5 lost a race for longer than allowed, 6 something outside did not answer, 130 interrupted.
"""

from __future__ import annotations

from pathlib import Path


class SlipwayError(Exception):
    """Base of all errors that a user is told about without a traceback."""

    exit_code = 2

    def __init__(
        self, message: str, *, fix: str | None = None, path: Path | str | None = None, line: int | None = None
    ):
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.path = path
        self.line = line

    def render(self) -> str:
        """One or two lines: `path:line: message`, then `fix: …`."""
        where = (
            f"{self.path}:{self.line}: " if self.path and self.line else f"{self.path}: " if self.path else ""
        )
        return f"{where}{self.message}" + (f"\n  fix: {self.fix}" if self.fix else "")

    def as_dict(self) -> dict[str, object]:
        """The same for `--json`."""
        return {
            "error": type(self).__name__,
            "message": self.message,
            "fix": self.fix,
            "path": str(self.path) if self.path else None,
            "line": self.line,
        }


# This machine


class MachineError(SlipwayError):
    """The machine lacks something: root, memory, a package, a free port."""


class ForeignCluster(MachineError):
    """A Kubernetes that is not ours runs on this machine; it is never touched."""


class StateError(SlipwayError):
    """The platform's state directory cannot be read, locked or trusted."""


# Tools and processes


class ToolError(SlipwayError):
    """A pinned tool is missing, does not build, or an exported set does not match."""


class CommandFailed(SlipwayError):
    """A process ended with a code that was not allowed, or did not end in time."""

    def __init__(
        self, message: str, *, returncode: int | None = None, output: str = "", fix: str | None = None
    ):
        super().__init__(message, fix=fix)
        self.returncode = returncode
        self.output = output


# Input


class InvalidInput(SlipwayError):
    """A file, an option or a reference that cannot be parsed or is not allowed."""


class EditRefused(SlipwayError):
    """A file that cannot be edited exactly; nothing was written."""

    exit_code = 3


# The write path


class Superseded(SlipwayError):
    """The environment already runs a newer build."""

    exit_code = 3


class PolicyRefused(SlipwayError):
    """A freeze, a hold or an approval rule stands against the write."""

    exit_code = 3


class NotLive(SlipwayError):
    """What is to be promoted does not run healthily, or not for long enough yet."""

    exit_code = 3


class RemoteRefused(SlipwayError):
    """The remote refused the push for good: hook, permission, protection. Not retried."""

    exit_code = 4


class RaceLost(SlipwayError):
    """Other writers were faster until the time allowed was over."""

    exit_code = 5


# Outside services


class Unreachable(SlipwayError):
    """A registry, forge, cluster or other service did not answer."""

    exit_code = 6


class ImageNotFound(SlipwayError):
    """The registry answered, and does not have the image."""

    exit_code = 3


class PipelineFailed(SlipwayError):
    """A pipeline stage found something: a failing test, a vulnerability, a signature that does not verify."""

    exit_code = 1
