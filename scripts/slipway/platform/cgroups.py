"""The node's control groups: one folder of its name in every hierarchy."""

from __future__ import annotations

from pathlib import Path

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway.platform import config

CONTROLLERS = Path("/sys/fs/cgroup")


def make() -> None:
    """The kubelet's root group must exist in every hierarchy before it starts."""
    for hierarchy in _hierarchies():
        group = hierarchy / config.NODE_NAME
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if (group / file).is_file() and not (group / file).read_text().strip():
                (group / file).write_text((hierarchy / file).read_text())


@retry(retry=retry_if_exception_type(OSError), stop=stop_after_delay(10), wait=wait_fixed(0.2), reraise=True)
def remove() -> None:
    """Remove the groups, innermost first; only those of ended processes can be, and the kernel takes a moment.

    Needed before a node starts again as well: the kubelet spends seconds on each group of a dead container.
    """
    for hierarchy in _hierarchies():
        root = hierarchy / config.NODE_NAME
        for group in sorted((g for g in root.rglob("*") if g.is_dir()), key=lambda g: -len(g.parts)):
            group.rmdir()
        if root.exists():
            root.rmdir()


def _hierarchies() -> list[Path]:
    if (CONTROLLERS / "cgroup.controllers").is_file():
        return [CONTROLLERS]
    folders = [h for h in sorted(CONTROLLERS.iterdir()) if h.is_dir() and not h.is_symlink()]
    return [h for h in folders if (h / "cgroup.procs").exists()]
