"""The platform comes, goes without a trace, comes again, and recovers. First, because the other tests need it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slipway import paths
from slipway.kubectl import Cluster
from slipway.platform import status
from slipway.platform.down import ABSENT, LEFT_BY_BUILDAH, leftovers

from .conftest import SLIPWAY, Platform, eventually, slipway

TRACES = (
    "/etc/cni",
    "/etc/kubernetes",
    "/opt/cni",
    "/run/containerd",
    "/run/netns",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/var/run/kubernetes",
)
OURS = ("kubelet", "containerd", "etcd", "gitea", "haproxy", "registry", "supervisord", "pause", "argocd")


def snapshot() -> dict[str, list[str]]:
    """What a platform could leave behind: processes, mounts, links, routes, iptables, cgroups and files."""

    def lines(*argv: str) -> list[str]:
        printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return sorted(line for line in printed.splitlines() if not line.startswith("#"))

    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        beside = any("/pytest-of-" in argument for argument in arguments)
        if not beside and any(word in Path(arguments[0]).name for word in OURS):
            processes.append(arguments[0])
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounts = [mount for mount in mounts if "/pytest-of-" not in mount]
    links = [json.dumps([link["ifname"]]) for link in json.loads("".join(lines("ip", "-j", "link")) or "[]")]
    return {
        "processes": sorted(processes),
        "mounts": sorted(mounts),
        "links": sorted(links),
        "routes": lines("ip", "route"),
        "iptables": [line for line in lines("iptables-save") if not line.startswith(":")],
        "cgroups": sorted(
            str(g) for g in Path("/sys/fs/cgroup").glob("*/*") if g.is_dir() and g.name == "slipway"
        ),
        "files": [trace for trace in (*TRACES, str(paths.state())) if Path(trace).exists()],
        "sysctl": lines("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding"),
    }


def pids() -> dict[str, int]:
    """Process ids by program."""
    from slipway.platform.supervisor import Supervisor

    return {p["name"]: p["pid"] for p in Supervisor(paths.state() / "supervisor").processes()}


@pytest.mark.timeout(2400)
def test_down_leaves_nothing_and_up_works_again() -> None:
    """After `down` the machine looks as if the platform had never been there; `up` then serves.

    What has to go was left by an `up` that was killed: processes alone, half a cluster, a cluster whose Pods run.
    """
    before = there_before()
    assert slipway("down").returncode == 0
    gone = snapshot()
    assert [mount for mount in gone["mounts"] if mount.startswith(str(paths.cache()))] == []
    assert gone["files"] == before and gone["processes"] == [] and gone["cgroups"] == []
    killed_once(lambda seconds: seconds > 2)
    killed_once(lambda seconds: seconds > 12)
    killed_once(lambda seconds: pods_of_its_network())
    assert snapshot() != gone
    assert slipway("down").returncode == 0
    assert snapshot() == gone
    killed_once(lambda seconds: seconds > 15)
    done = slipway("up", timeout=3600)
    assert done.returncode == 0, done.stderr
    assert Platform(paths.state()).version("prod")["name"] == "board-backend"


def there_before() -> list[str]:
    """The traces that are the machine's own: somebody ran buildah on it before the platform came."""
    absent = paths.state() / ABSENT
    if not absent.is_file():
        return [trace for trace in TRACES if Path(trace).exists()]
    own = [file for file in LEFT_BY_BUILDAH if str(file) not in absent.read_text().split()]
    return [trace for trace in TRACES if any(Path(trace) in file.parents for file in own)]


def killed_once(far: Callable[[float], object]) -> None:
    """Start an `up`, and kill it once it is far enough; `far` is given the seconds that it has run."""
    began = time.monotonic()
    with subprocess.Popen([SLIPWAY, "up"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as half:
        try:
            eventually(
                lambda: far(time.monotonic() - began), 1500, "`up` is far enough to be killed", every=0.2
            )
        finally:
            half.kill()


def pods_of_its_network() -> bool:
    """Whether Pods run that have an address of their own."""
    pods = Cluster(paths.state() / "kubeconfig").get("--all-namespaces", "pods")["items"]
    own = [pod["status"] for pod in pods if not pod["spec"].get("hostNetwork")]
    return any(status["phase"] == "Running" and status.get("podIP") for status in own)


def test_up_again_changes_nothing(platform: Platform) -> None:
    """A second `up` restarts no process, publishes no commit and builds nothing."""
    before = (pids(), platform.version("dev"))
    done = slipway("up")
    assert done.returncode == 0, done.stderr
    assert (pids(), platform.version("dev")) == before


def test_up_again_works_through_a_named_context(platform: Platform) -> None:
    """`--context` drives an existing cluster; here the embedded one, by its own kubeconfig."""
    kubeconfig = str(platform.state / "kubeconfig")
    context = platform.cluster.kubectl("config", "current-context").stdout.strip()
    before = pids()
    done = slipway("up", "--context", context, "--kubeconfig", kubeconfig)
    assert done.returncode == 0, done.stderr
    assert pids()["registry"] == before["registry"]


@pytest.mark.timeout(1200)
def test_up_recovers_after_every_process_was_killed(platform: Platform) -> None:
    """kill -9 of everything at once; the next `up` brings the same versions back."""
    served = platform.version("dev")
    for pid in leftovers(platform.state):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    assert not status.read(platform.state).up
    done = slipway("up")
    assert done.returncode == 0, done.stderr
    assert platform.version("dev") == served
