"""The machine is looked at before it is touched, and refused with cause and fix."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from slipway.errors import ForeignCluster, MachineError
from slipway.platform import network, preflight


@pytest.mark.parametrize("file", preflight.FOREIGN_FILES)
def test_an_installed_kubernetes_is_refused(tmp_path: Path, file: str) -> None:
    """A cluster that is not ours is never touched, even while it is stopped."""
    (tmp_path / file).mkdir(parents=True)
    with pytest.raises(ForeignCluster, match="Kubernetes of its own") as error:
        preflight.refuse_foreign_cluster(tmp_path, processes={})
    assert "--context" in str(error.value.fix)


@pytest.mark.parametrize(
    "command", ["/usr/bin/kubelet\0--config=x", "k3s\0server", "/snap/microk8s/1/kubelite"]
)
def test_a_running_kubernetes_is_refused(tmp_path: Path, command: str) -> None:
    """A kubelet that did not come from our tools belongs to somebody else."""
    with pytest.raises(ForeignCluster, match=f"process {os.getpid()}"):
        preflight.refuse_foreign_cluster(tmp_path, processes={os.getpid(): command})


def test_other_programs_are_not_taken_for_a_kubernetes(tmp_path: Path) -> None:
    """An editor that has a file named kubelet open is no cluster."""
    preflight.refuse_foreign_cluster(tmp_path, processes={os.getpid(): "vim\0/etc/kubelet"})


def test_too_little_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster would start and then lose Pods to the kernel."""
    monkeypatch.setattr(preflight, "memory_available", lambda text: 1 << 30)
    monkeypatch.setattr(preflight, "refuse_foreign_cluster", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(network, "mounted", lambda path: False)
    with pytest.raises(MachineError, match=r"1\.0 GiB of memory are available, 4 GiB are needed"):
        preflight.check(tmp_path)


def test_memory_is_read_in_bytes() -> None:
    """The kernel counts in KiB."""
    assert preflight.memory_available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n") == 2 << 20


def test_without_root_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the cause and what to do."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MachineError, match="needs root") as error:
        preflight.check(tmp_path)
    assert "--context" in str(error.value.fix)


def test_a_taken_port_is_named_with_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line says which port, what for, and how to find the other program."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(preflight, "LISTENERS", {("127.0.0.1", port): "registry"})
        with pytest.raises(MachineError, match=f"port {port} is in use, and the registry needs it") as error:
            preflight.refuse_taken_ports()
    assert f"sport = :{port}" in str(error.value.fix)
