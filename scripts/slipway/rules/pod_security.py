"""The Pod Security Standard `restricted` as Kubernetes 1.37 enforces it: every control, baseline's included."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Overlay
from slipway.rules import Rule
from slipway.rules._facts import listed, mapping, mappings

_VOLUMES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
_PROFILES = ("RuntimeDefault", "Localhost")
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    ]
)
_HOOKS = ("livenessProbe", "readinessProbe", "startupProbe")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def check(overlay: Overlay) -> Iterator[Finding]:
    """Every control that a workload's Pods break."""
    for workload in overlay.workloads:
        template = workload.pod_template or {}
        for breach in breaches(mapping(template.get("metadata")), workload.pod_spec or {}):
            yield RULE.on(workload, breach)


def breaches(metadata: dict, pod: dict) -> Iterator[str]:
    """What the standard refuses about a Pod, by its metadata and spec."""
    context = mapping(pod.get("securityContext"))
    windows = mapping(pod.get("os")).get("name") == "windows"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    for volume in mappings(pod.get("volumes")):
        kinds = {key for key, value in volume.items() if key != "name" and value is not None}
        if kinds and not kinds & _VOLUMES:  # without any, it is an emptyDir
            named = ", ".join(sorted(kinds))
            yield f"the volume {volume.get('name')} is of a kind that is not allowed: {named}"
    for sysctl in mappings(context.get("sysctls")):
        if sysctl.get("name") not in _SYSCTLS:
            yield f"the sysctl {sysctl.get('name')} is not allowed"
    for key, value in mapping(metadata.get("annotations")).items():
        if key.startswith(_APPARMOR) and not (
            value in ("", "runtime/default") or str(value).startswith("localhost/")
        ):
            yield f"the annotation {key} is {value}"
    yield from _anywhere("the Pod", context)
    private = pod.get("hostUsers") is False
    if context.get("runAsNonRoot") is False and not private:
        yield "the Pod sets runAsNonRoot: false"
    if context.get("runAsUser") == 0 and not private:
        yield "the Pod sets runAsUser: 0"
    for container in _containers(pod):
        yield from _container(container, context, windows, private)


def _containers(pod: dict) -> Iterator[dict]:
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from mappings(pod.get(key))


def _container(container: dict, common: dict, windows: bool, private: bool) -> Iterator[str]:
    """What one container breaks; `private` is a user namespace of its own, which allows root in it."""
    name, context = container.get("name"), mapping(container.get("securityContext"))
    yield from _anywhere(name, context)
    if context.get("privileged"):
        yield f"{name} is privileged"
    if context.get("procMount") not in (None, "Default"):
        yield f"{name} sets procMount: {context['procMount']}"
    if any(port.get("hostPort") for port in mappings(container.get("ports"))):
        yield f"{name} takes a port of the node"
    if _asks_a_host(container):
        yield f"{name} has a probe or a handler with a host of its own"
    if not private:
        if context.get("runAsNonRoot", common.get("runAsNonRoot")) is not True:
            yield f"{name} may run as root: runAsNonRoot is not true"
        if context.get("runAsUser") == 0:
            yield f"{name} sets runAsUser: 0"
    capabilities = mapping(context.get("capabilities"))
    added = set(map(str, listed(capabilities.get("add"))))
    if not windows:
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name} may gain privileges: allowPrivilegeEscalation is not false"
        if "ALL" not in listed(capabilities.get("drop")):
            yield f"{name} keeps capabilities: drop is not [ALL]"
        if more := added - {"NET_BIND_SERVICE"}:
            yield f"{name} adds the capabilities {', '.join(sorted(more))}"
        profile = mapping(context.get("seccompProfile") or common.get("seccompProfile")).get("type")
        if profile is None:
            yield f"{name} has no seccompProfile"


def _anywhere(owner: str, context: dict) -> Iterator[str]:
    """What neither a Pod's security context may say nor a container's."""
    if mapping(context.get("windowsOptions")).get("hostProcess"):
        yield f"{owner} is a host process"
    options = mapping(context.get("seLinuxOptions"))
    if options.get("type", "") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
        yield f"{owner} sets seLinuxOptions that are not allowed"
    for field in ("appArmorProfile", "seccompProfile"):
        given = mapping(context.get(field))
        if given and given.get("type") not in _PROFILES:
            yield f"{owner} sets {field}: {given.get('type')}"


def _asks_a_host(container: dict) -> bool:
    lifecycle = mapping(container.get("lifecycle"))
    handlers = [container.get(hook) for hook in _HOOKS] + [
        lifecycle.get("postStart"),
        lifecycle.get("preStop"),
    ]
    return any(
        mapping(mapping(handler).get(action)).get("host")
        for handler in handlers
        for action in ("httpGet", "tcpSocket")
    )


RULE = Rule(
    id="pod-security",
    why="The Namespace refuses such a Pod, so the rollout stops; where nothing refuses it, it endangers the node.",
    fix="set the field as the standard `restricted` has it",
    link="https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted",
    check=check,
)
