"""The link between the machine and the node: a network namespace, a veth pair and one route, nothing else."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import CommandFailed, MachineError
from slipway.platform import config
from slipway.proc import run


def namespace(state: Path) -> Path:
    """The file that holds the node's network namespace."""
    return state / "node" / "net"


def enter(state: Path) -> list[str]:
    """The command prefix that runs something in the node's network.

    Not `ip netns exec`, which mounts a fresh /sys that the kubelet cannot work with.
    """
    return ["nsenter", f"--net={namespace(state)}"]


def mounted(path: Path) -> bool:
    """Whether something is mounted exactly there."""
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def up(state: Path) -> None:
    """Make whatever of the link is missing."""
    net = namespace(state)
    if not mounted(net):
        _refuse_foreign_link()
        net.parent.mkdir(parents=True, exist_ok=True)
        net.touch()
        run(["unshare", f"--net={net}", "true"])
    inside = enter(state)
    if not _exists([], config.LINK):
        run(["ip", "link", "add", config.LINK, "type", "veth", "peer", "name", "eth0", "netns", net])
    for prefix, device, address in (([], config.LINK, config.HOST), (inside, "eth0", config.NODE)):
        run([*prefix, "ip", "address", "replace", f"{address}/30", "dev", device])
        run([*prefix, "ip", "link", "set", device, "up"])
    run([*inside, "ip", "link", "set", "lo", "up"])
    run([*inside, "ip", "route", "replace", "default", "via", config.HOST])
    run([*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"])
    run([*inside, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"], check=False)
    # Until kube-proxy knows a service, refuse at once instead of letting clients wait for a lost packet. Not in
    # FORWARD, where the policy engine accepts before anybody else is asked.
    untranslated = ["iif", config.BRIDGE, "to", config.SERVICE_NETWORK]
    if not run([*inside, "ip", "rule", "list", *untranslated]).stdout:
        run([*inside, "ip", "rule", "add", *untranslated, "unreachable"])
    run(["ip", "route", "replace", config.POD_NETWORK, "via", config.NODE])


def down(state: Path) -> None:
    """Remove the link; without it the route is gone too, and with the last process the namespace."""
    if _exists([], config.LINK):
        run(["ip", "link", "delete", config.LINK])
    if mounted(namespace(state)):
        run(["umount", namespace(state)])


def _refuse_foreign_link() -> None:
    """A link or an address that is there before our namespace is not ours, unless our namespace died with it."""
    taken = run(["ip", "-o", "address", "show", "to", f"{config.HOST}/30"]).stdout
    if taken and f" {config.LINK} " not in taken:
        raise MachineError(
            f"the address {config.HOST} is in use on this machine: {taken.split()[1]}",
            fix="Slipway needs 10.250.1.0/30; remove the other use of it",
        )
    if taken:
        run(["ip", "link", "delete", config.LINK])


def _exists(prefix: list[str], device: str) -> bool:
    try:
        run([*prefix, "ip", "link", "show", device])
    except CommandFailed:
        return False
    return True
