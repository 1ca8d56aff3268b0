"""The few Debian packages that the platform needs, and the root file systems made from them."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from slipway import paths
from slipway.errors import CommandFailed, MachineError
from slipway.proc import run

PACKAGES = {
    "buildah": "builds the images",
    "chromium": "shows the page in the browser test",
    "conntrack": "kube-proxy",
    "containernetworking-plugins": "the Pod network",
    "default-jre-headless": "runs Groovy",
    "gcc": "SQLite inside the forge",
    "git": "everything",
    "gpg": "verifies signed commits in the tests",
    "gpg-agent": "makes keys in the tests",
    "groovy": "runs the Jenkinsfile",
    "haproxy": "the load balancer's data plane",
    "iproute2": "the link to the node",
    "iptables": "kube-proxy and the Pod network",
    "libc6-dev": "SQLite inside the forge",
    "mmdebstrap": "base images",
    "openssh-client": "git over SSH",
    "postgresql": "the application's tests",
    "runc": "runs containers",
}
"""Package to what needs it."""

ROOT_FILE_SYSTEMS = {
    "python": ("ca-certificates", "python3", "python3-venv"),
    "platform": (
        "ca-certificates",
        "conntrack",
        "git",
        "gpg",
        "gpg-agent",
        "ipset",
        "iptables",
        "kmod",
        "openssh-client",
        "postgresql-15",
        "redis-server",
        "tini",
        "tzdata",
    ),
}
"""`python` is under the application's images, `platform` under Argo CD, Redis, kube-proxy and PostgreSQL."""

_EXCLUDED = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man")]
_PINNED_SHELL = {"DEBIAN_FRONTEND": "noninteractive"}


def missing() -> list[str]:
    """The packages that are not installed."""
    query = run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *PACKAGES],
        allowed=(0, 1),
        fix="Slipway's local platform runs on Debian 12",
    )
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in PACKAGES if package not in installed]


def provide() -> str:
    """Install what is missing, and say what was done."""
    packages = missing()
    if not packages:
        return "all there"
    install(packages, paths.cache() / "packages.log")
    return f"{len(packages)} installed"


def install(packages: list[str], log: Path) -> None:
    """Install packages; where that is not allowed, name the exact command."""
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0:
        raise MachineError(f"{len(packages)} Debian packages are missing", fix=f"as root: {command}")
    log.parent.mkdir(parents=True, exist_ok=True)
    # policy-rc.d keeps Debian from starting PostgreSQL and HAProxy as services of the machine.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        run(["apt-get", "update", "-q"], env=_PINNED_SHELL, timeout=300, log=log)
        run(command.split(), env=_PINNED_SHELL, timeout=900, log=log)
    except CommandFailed as exc:
        raise MachineError(
            "Debian packages could not be installed", fix=f"see {log}, then: {command}"
        ) from exc
    finally:
        if ours:
            policy.unlink(missing_ok=True)


def suite() -> str:
    """The release of this machine, which is that of the images too."""
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip('"')
    raise MachineError(
        "this machine does not name its Debian release", fix="the local platform runs on Debian 12"
    )


def root_file_system(name: str, log: Path) -> Path:
    """The tar of a root file system, made once and kept in the cache."""
    packages = ROOT_FILE_SYSTEMS[name]
    key = hashlib.sha256(f"{suite()} {packages} {_EXCLUDED}".encode()).hexdigest()[:16]
    tar = paths.cache() / "rootfs" / f"{name}-{key}.tar"
    if tar.is_file():
        return tar
    tar.parent.mkdir(parents=True, exist_ok=True)
    partial = tar.with_name(f"{name}-{key}.partial.tar")
    options = ["--variant=minbase", f"--include={','.join(packages)}", *_EXCLUDED]
    run(
        ["mmdebstrap", *options, suite(), partial, *_sources()],
        env={"SOURCE_DATE_EPOCH": "0"},
        timeout=900,
        log=log,
        fix=f"Debian's packages must be reachable; see {log}",
    )
    partial.rename(tar)
    return tar


def _sources() -> list[str]:
    """The machine's own package sources, so that a mirror configured there is used here."""
    candidates = [Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")]
    return [str(file) for file in candidates if file.is_file() and file.stat().st_size][:1]


def free_space(folder: Path) -> int:
    """Bytes free where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
