"""Removes the platform: one process tree, one link, one folder; what a killed run left behind goes too."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from tenacity import RetryCallState, retry, retry_if_result, stop_after_delay, wait_fixed

from slipway import paths
from slipway.errors import StateError
from slipway.platform import cgroups, network
from slipway.platform.supervisor import Supervisor
from slipway.proc import run

MARK = "SLIPWAY_PLATFORM"
"""Environment variable that every process of the platform inherits; its value is the state directory."""

LEFT_BY_BUILDAH = (
    Path("/etc/cni/net.d/cni.lock"),
    Path("/var/lib/containers/cache/blob-info-cache-v1.boltdb"),
)
"""Files that buildah makes outside its storage and cannot be told not to."""
ABSENT = "absent-before"


def note_absent(state: Path) -> None:
    """Remember which of buildah's files this machine did not have before the platform."""
    file = state / ABSENT
    if not file.exists():
        file.write_text("\n".join(str(path) for path in LEFT_BY_BUILDAH if not path.exists()))


def remove_absent(state: Path) -> None:
    """Remove those files again, and the folders that are empty without them."""
    file = state / ABSENT
    for name in file.read_text().split() if file.is_file() else []:
        path = Path(name)
        path.unlink(missing_ok=True)
        for folder in path.parents[:2]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def down(state: Path, keep: tuple[str, ...] = ()) -> bool:
    """Leave nothing of the platform but the cache (and files in `keep`); True when there was something."""
    if not state.exists():
        return False
    refuse_unknown_folder(state)
    Supervisor(state / "supervisor").stop()
    end_leftovers(state)
    network.down(state)
    cgroups.remove()
    remove_absent(state)
    # A build that was killed leaves its layers mounted in the cache.
    for mount in reversed(mounts_below(paths.cache() / "buildah")):
        run(["umount", mount])
    for mount in mounts_below(state):
        raise StateError(f"{mount} is still mounted", fix=f"umount {mount}, then run `slipway down` again")
    for child in state.iterdir():
        if child.name not in keep:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    if not keep:
        state.rmdir()
    return True


def refuse_unknown_folder(state: Path) -> None:
    """Never delete a folder that Slipway did not make."""
    if any(state.iterdir()) and not (state / "platform.json").is_file():
        raise StateError(
            f"{state} is not a platform's state directory",
            fix="name another one in SLIPWAY_STATE, or remove it",
        )


def leftovers(state: Path) -> list[int]:
    """Processes of this platform, by the mark in their environment, that are still there."""
    mark = f"{MARK}={state}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in environment and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def _immortal(attempt: RetryCallState) -> None:
    raise StateError(f"processes of the platform do not end: {attempt.outcome.result()}")  # type: ignore[union-attr]


@retry(
    retry=retry_if_result(bool),
    stop=stop_after_delay(15),
    wait=wait_fixed(0.1),
    retry_error_callback=_immortal,
)
def end_leftovers(state: Path) -> list[int]:
    """Kill what a supervisor that was itself killed could not end."""
    remaining = leftovers(state)
    for pid in remaining:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return remaining


def mounts_below(folder: Path) -> list[str]:
    """Mount points in the folder, as this process sees them."""
    prefix = f"{folder}/"
    return [
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if line.split()[4].startswith(prefix)
    ]
