"""The node's first process: arranges its mounts, then becomes the supervisor of containerd and kubelet.

Runs as PID 1 in mount, PID, UTS and IPC namespaces of its own (`unshare`), so that nothing it mounts or writes
is seen outside the state directory. Usage: `python -m slipway.platform.node_init STATE`.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from slipway.platform import cgroups, config
from slipway.proc import run

OVERLAID = ("/etc", "/opt", "/usr/libexec", "/var/lib", "/var/log")
"""Folders in which Kubernetes writes beside what the machine keeps there."""
KEPT = ("containerd", "etcd", "kubelet")
"""Folders of /var/lib that are the node's own and must not lie on an overlay."""


def arrange(state: Path) -> None:
    """Make the mounts; called once, with propagation already private."""
    os.umask(0o022)
    run(["mount", "--make-rshared", "/"])
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"])
    own = Path("/run/slipway")
    own.mkdir()
    run(["mount", "--bind", state / "node", own])
    for folder in OVERLAID:
        layers = own / "overlay" / folder.strip("/").replace("/", "-")
        for part in ("upper", "work"):
            (layers / part).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={folder},upperdir={layers}/upper,workdir={layers}/work"
        run(["mount", "-t", "overlay", "-o", options, "overlay", folder])
    for name in KEPT:
        (own / name).mkdir(exist_ok=True)
        target = Path("/var/lib") / name
        target.mkdir(exist_ok=True)
        run(["mount", "--bind", own / name, target])
        run(["mount", "--make-rshared", target])
    # The state directory may lie under an overlaid folder; its files must be the machine's own.
    run(["mount", "--bind", own, state / "node"])
    Path("/etc/kubernetes").mkdir(exist_ok=True)
    # CoreDNS does not start without a server; nobody listens there, so foreign names fail at once.
    _replace(Path("/etc/resolv.conf"), f"nameserver {config.HOST}\n")
    _replace(Path("/etc/hosts"), f"127.0.0.1 localhost\n{config.NODE} {config.NODE_NAME}\n")
    socket.sethostname(config.NODE_NAME)


def _replace(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.write_text(text)


def main() -> None:
    """Arrange the mounts and become supervisord."""
    state = Path(sys.argv[1])
    cgroups.remove()
    cgroups.make()
    arrange(state)
    supervisord = Path(sys.prefix) / "bin" / "supervisord"
    os.execv(supervisord, [str(supervisord), "-c", str(state / "node" / "control" / "supervisord.conf")])


if __name__ == "__main__":
    main()
