"""Looks at the machine before anything is touched, and refuses with one line that names cause and fix."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from slipway import paths
from slipway.errors import ForeignCluster, MachineError
from slipway.platform import config, debian, network

FOREIGN_PROCESSES = ("k0s", "k3s", "kube-apiserver", "kubelet", "kubelite", "microk8s", "minikube", "rke2")
FOREIGN_FILES = (
    "etc/kubernetes/admin.conf",
    "etc/kubernetes/kubelet.conf",
    "etc/rancher/k3s/k3s.yaml",
    "var/lib/k0s",
    "var/lib/kubelet/config.yaml",
    "var/snap/microk8s",
)
LISTENERS = {
    (config.HOST, config.REGISTRY_PORT): "registry",
    (config.HOST, config.FORGE_PORT): "forge",
    (config.HOST, config.AWS_PORT): "AWS API",
    (config.HOST, config.PIPELINE_PORT): "pipeline",
    (config.HOST, config.GATE_PORT): "gate",
    **{("127.0.0.1", port): f"load balancer {name}" for name, port in config.BALANCER_PORTS.items()},
    ("127.0.0.1", config.BALANCER_METRICS_PORT): "load balancer's metrics",
    ("127.0.0.1", config.PROMETHEUS_PORT): "Prometheus",
    ("127.0.0.1", config.ALERTMANAGER_PORT): "Alertmanager",
    ("127.0.0.1", config.PROBER_PORT): "blackbox exporter",
}


def check(state: Path, *, embedded: bool = True) -> None:
    """Raise the first thing that stands against bringing the platform up; touches nothing."""
    if os.geteuid() != 0:
        raise MachineError(
            "the embedded cluster makes namespaces and mounts, which needs root",
            fix="run it as root, or use a cluster you have: `slipway up --context NAME`",
        )
    if embedded:
        refuse_foreign_cluster()
    available = memory_available(Path("/proc/meminfo").read_text())
    if available < config.MEMORY_NEEDED and not network.mounted(network.namespace(state)):
        raise MachineError(
            f"{available / 2**30:.1f} GiB of memory are available, {config.MEMORY_NEEDED >> 30} GiB are needed",
            fix="end other programs, or use a larger machine",
        )
    free = debian.free_space(paths.cache())
    if free < config.DISK_NEEDED and not paths.cache().exists():
        raise MachineError(
            f"{free / 2**30:.1f} GiB are free in {paths.cache()}, {config.DISK_NEEDED >> 30} GiB are needed",
            fix="free some space, or name another place in SLIPWAY_CACHE",
        )
    if not network.mounted(network.namespace(state)):
        refuse_taken_ports()


def refuse_foreign_cluster(root: Path = Path("/"), processes: dict[int, str] | None = None) -> None:
    """Refuse a machine on which a Kubernetes runs, or was installed, that is not ours."""
    for relative in FOREIGN_FILES:
        if (root / relative).exists():
            raise ForeignCluster(
                f"this machine has a Kubernetes of its own: {root / relative}",
                fix="use it with `slipway up --context NAME`, or run Slipway on another machine",
            )
    ours = str(paths.cache())
    for pid, command in (process_commands() if processes is None else processes).items():
        name = Path(command.split("\0")[0]).name
        if name in FOREIGN_PROCESSES and ours not in command and not _in_node(pid):
            raise ForeignCluster(
                f"this machine runs a Kubernetes of its own: process {pid}, {name}",
                fix="use it with `slipway up --context NAME`, or run Slipway on another machine",
            )


def process_commands() -> dict[int, str]:
    """Process id to its command line (arguments separated by NUL)."""
    commands = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(folder.name)] = (folder / "cmdline").read_text(errors="replace")
        except OSError:
            continue
    return commands


def _in_node(pid: int) -> bool:
    """Whether the process lives in another PID namespace, under the node's first process."""
    try:
        group = Path(f"/proc/{pid}/cgroup").read_text()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    nested = re.search(r"^NSpid:\s+\d+\s+\d+", status, re.MULTILINE) is not None
    return nested and f"/{config.NODE_NAME}/" in group


def memory_available(meminfo: str) -> int:
    """Bytes that can be used without swapping, from /proc/meminfo."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def refuse_taken_ports() -> None:
    """Refuse when somebody else listens where the platform wants to; addresses not there yet are free."""
    for (address, port), what in LISTENERS.items():
        for candidate in {address, "0.0.0.0"}:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((candidate, port))
                except OSError as exc:
                    if exc.errno == 98:
                        raise MachineError(
                            f"port {port} is in use, and the {what} needs it on {address}",
                            fix=f"end the other program (`ss -ltnp 'sport = :{port}'` names it)",
                        ) from exc
