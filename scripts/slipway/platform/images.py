"""The platform's own images: Kubernetes, Argo CD, Redis, PostgreSQL, load balancer controller, policy engine.

They carry the names that kubeadm and Argo CD's install manifest ask for, read from those, so that unmodified
manifests find them on the node.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from pathlib import Path

from slipway import paths, toolchain
from slipway.errors import ToolError
from slipway.platform import config, debian
from slipway.platform.oci import Entry, Image, write_archive, write_layer
from slipway.proc import run

CONTROLLER_IMAGE = "slipway.local/aws-load-balancer-controller:2.4"
ENGINE_IMAGE = "slipway.local/kube-router:2.1"
ARGOCD_NAMES = (
    "application-controller",
    "applicationset-controller",
    "cmp-server",
    "commit-server",
    "dex",
    "k8s-auth",
    "notifications",
    "repo-server",
    "server",
)
UID = 999
_POSTGRES_ENTRYPOINT = """#!/bin/sh
# Makes the database on the first start, then serves it; the password reaches initdb through a file.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  umask 077
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  /usr/lib/postgresql/15/bin/initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password \\
    --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 --locale=C.UTF-8
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
if [ "$POSTGRES_DB" != postgres ]; then
  echo "SELECT 1 FROM pg_database WHERE datname = '$POSTGRES_DB'" |
    /usr/lib/postgresql/15/bin/postgres --single -D "$PGDATA" postgres | grep -q '"1"' ||
    echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | /usr/lib/postgresql/15/bin/postgres --single -D "$PGDATA" postgres
fi
exec /usr/lib/postgresql/15/bin/postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def kubernetes_version() -> str:
    """The pinned Kubernetes release, e.g. `v1.37.2`."""
    return toolchain.version("k8s.io/kubernetes")


def kubernetes_images() -> dict[str, str]:
    """Component (`kube-apiserver`, `etcd`, `pause`, …) to the image name kubeadm asks for."""
    listed = run(
        [toolchain.tool("kubeadm"), "config", "images", "list", "--kubernetes-version", kubernetes_version()]
    ).stdout
    return {name.rpartition("/")[2].partition(":")[0]: name for name in listed.split()}


def argocd_images() -> dict[str, str]:
    """`argocd` and `redis` to the image names in Argo CD's own install manifest."""
    manifest = toolchain.share("cluster", "argocd/install.yaml").read_text()
    names = sorted(set(re.findall(r"image: (\S+)", manifest)))
    return {name.rpartition("/")[2].partition(":")[0]: name for name in names}


def archive(log: Path) -> Path:
    """The archive with every image the node needs at its start, made once per set of tools."""
    rootfs = debian.root_file_system("platform", log)
    keys = [toolchain.key(group) for group in ("cluster", "loadbalancer", "network")]
    sources = " ".join([*keys, rootfs.name])
    key = hashlib.sha256((sources + Path(__file__).read_text()).encode()).hexdigest()[:16]
    folder = paths.cache() / "images"
    tar = folder / f"platform-{key}.tar"
    if not tar.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        layers = folder / f"layers-{key}"
        layers.mkdir(exist_ok=True)
        write_archive(tar, _images(rootfs, layers))
        for layer in layers.iterdir():
            layer.unlink()
        layers.rmdir()
    return tar


def _images(rootfs: Path, layers: Path) -> list[Image]:
    kubernetes, argocd = kubernetes_images(), argocd_images()

    def single(component: str, binary: str | None = None) -> Image:
        path = f"/usr/local/bin/{binary or component}"
        layer = write_layer(
            layers / f"{component}.tar",
            [Entry(path, toolchain.tool(binary or component)), Entry("tmp", mode=0o1777)],
        )
        return Image((kubernetes[component],), (layer,), (path,))

    user = write_layer(layers / "user.tar", _user(rootfs))
    proxy = write_layer(
        layers / "kube-proxy.tar", [Entry("/usr/local/bin/kube-proxy", toolchain.tool("kube-proxy"))]
    )
    tools = write_layer(layers / "argocd.tar", _argocd_entries())
    postgres = write_layer(
        layers / "postgres.tar",
        [Entry("/usr/local/bin/postgres-entrypoint", _POSTGRES_ENTRYPOINT.encode())],
    )
    controller = write_layer(
        layers / "controller.tar", [Entry("/controller", toolchain.tool("aws-load-balancer-controller"))]
    )
    engine = write_layer(
        layers / "engine.tar", [Entry("/usr/local/bin/kube-router", toolchain.tool("kube-router"))]
    )
    as_user = {"user": str(UID)}
    return [
        *(single(name) for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")),
        single("coredns"),
        single("pause"),
        Image((kubernetes["kube-proxy"],), (rootfs, proxy), ("/usr/local/bin/kube-proxy",)),
        Image((argocd["redis"],), (rootfs, user), ("/usr/bin/redis-server",), **as_user),
        Image(
            (argocd["argocd"],),
            (rootfs, user, tools),
            ("/usr/bin/tini", "--"),
            working_dir="/home/argocd",
            env={"USER": "argocd", "HOME": "/home/argocd", "GRPC_ENABLE_TXT_SERVICE_CONFIG": "false"},
            **as_user,
        ),
        Image(
            (config.POSTGRES_IMAGE,),
            (rootfs, user, postgres),
            ("/usr/local/bin/postgres-entrypoint",),
            **as_user,
        ),
        Image((ENGINE_IMAGE,), (rootfs, engine), ("/usr/local/bin/kube-router",)),
        Image((CONTROLLER_IMAGE,), (controller,), ("/controller",), user="65532"),
    ]


def _user(rootfs: Path) -> list[Entry]:
    """The unprivileged user that Argo CD, Redis and PostgreSQL run as, added to the root file system's own."""
    with tarfile.open(rootfs) as tar:
        texts = {}
        for name in ("etc/passwd", "etc/group"):
            member = tar.extractfile(f"./{name}")
            if member is None:
                raise ToolError(f"{rootfs} holds no {name}", fix="delete the file and run the command again")
            texts[name] = member.read().decode()
    return [
        Entry(
            "etc/passwd",
            f"{texts['etc/passwd']}argocd:x:{UID}:{UID}::/home/argocd:/bin/sh\n".encode(),
            mode=0o644,
        ),
        Entry("etc/group", f"{texts['etc/group']}argocd:x:{UID}:\n".encode(), mode=0o644),
        Entry("home/argocd", mode=0o755, uid=UID, gid=UID),
    ]


def _argocd_entries() -> list[Entry]:
    share = toolchain.share("cluster", "argocd")
    local = "usr/local/bin"
    return [
        Entry(f"{local}/argocd", toolchain.tool("argocd")),
        Entry(f"{local}/kustomize", toolchain.tool("kustomize")),
        *(Entry(f"{local}/argocd-{name}", link="argocd") for name in ARGOCD_NAMES),
        *(Entry(f"{local}/{f.name}", f) for f in sorted(share.glob("*.sh"))),
        Entry("etc/ssh/ssh_known_hosts", link="/app/config/ssh/ssh_known_hosts"),
        *(Entry(f"app/config/{name}", uid=UID, gid=UID) for name in ("gpg/keys", "gpg/source", "ssh", "tls")),
    ]


def python_base(log: Path) -> Path:
    """The archive that local application images are built on: Debian's Python, nothing else."""
    rootfs = debian.root_file_system("python", log)
    tar = paths.cache() / "images" / f"{rootfs.stem}.oci.tar"
    if not tar.is_file():
        tar.parent.mkdir(parents=True, exist_ok=True)
        write_archive(tar, [Image(("localhost/slipway/python:3.11",), (rootfs,), env={"LANG": "C.UTF-8"})])
    return tar
