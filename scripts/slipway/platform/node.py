"""The node: containerd and kubelet as supervised processes in namespaces of their own, kubeadm for the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import toolchain
from slipway.errors import CommandFailed, StateError, Unreachable
from slipway.paths import PYTHON
from slipway.platform import config, network
from slipway.platform.images import kubernetes_images, kubernetes_version
from slipway.platform.supervisor import Program, Supervisor, configuration
from slipway.proc import run

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KUBELET = """
until [ -s /var/lib/kubelet/config.yaml ]; do sleep 0.2; done
. /var/lib/kubelet/kubeadm-flags.env 2>/dev/null || true
exec {kubelet} --config=/var/lib/kubelet/config.yaml --kubeconfig=/etc/kubernetes/kubelet.conf \\
  --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --hostname-override={name} --node-ip={ip} \\
  --root-dir=/var/lib/kubelet $KUBELET_KUBEADM_ARGS
"""


class Node:
    """The one node of the embedded cluster, with its files in `state/node`."""

    def __init__(self, state: Path):
        self.state = state
        self.folder = state / "node"
        self.kubeconfig = state / "kubeconfig"
        self._ready_mark = self.folder / "initialised"

    def program(self) -> Program:
        """What the machine's supervisor runs: the namespaces, and in them the node's own supervisor."""
        argv = [
            *network.enter(self.state),
            *(
                "unshare",
                "-m",
                "-p",
                "-u",
                "-i",
                "-f",
                "--mount-proc",
                "--propagation",
                "private",
                "--kill-child",
            ),
            *(PYTHON, "-m", "slipway.platform.node_init", self.state),
        ]
        return Program("node", argv, directory=self.state, stop_signal="KILL")

    def initialised(self) -> bool:
        """Whether kubeadm has finished here."""
        return self._ready_mark.is_file()

    def prepare(self) -> None:
        """Write what the node's processes read; anything a half-made cluster left is removed first."""
        if self.folder.exists() and not self.initialised():
            for child in self.folder.iterdir():
                if child != network.namespace(self.state):
                    shutil.rmtree(child) if child.is_dir() else child.unlink()
        control = self.folder / "control"
        for folder in (control, self.folder / "cni"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "containerd.toml").write_text(self._containerd())
        (self.folder / "cni" / "10-slipway.conflist").write_text(json.dumps(_cni()))
        mirror = self.folder / "certs.d" / config.ECR_HOST
        mirror.mkdir(parents=True, exist_ok=True)
        (mirror / "hosts.toml").write_text(
            f'server = "https://{config.ECR_HOST}"\n'
            f'[host."{config.REGISTRY_URL}"]\n  capabilities = ["pull", "resolve"]\n'
        )
        kubelet = _KUBELET.format(kubelet=toolchain.tool("kubelet"), name=config.NODE_NAME, ip=config.NODE)
        (control / "kubelet.sh").write_text(f"set -eu{kubelet}")
        (control / "supervisord.conf").write_text(configuration(control, self._programs(), foreground=True))
        (self.folder / "kubeadm.yaml").write_text(yaml.safe_dump_all(kubeadm_config(), sort_keys=False))

    def _programs(self) -> list[Program]:
        tools = toolchain.tool("containerd").parent
        env = {"PATH": f"{tools}:{PATH}"}
        return [
            Program("containerd", [tools / "containerd", "--config", self.folder / "containerd.toml"], env),
            Program("kubelet", ["/bin/sh", self.folder / "control" / "kubelet.sh"], env),
        ]

    def start(self, archive: Path, log: Path) -> None:
        """Bring the processes up, import the images and, once, let kubeadm make the cluster."""
        supervisor = Supervisor(self.folder / "control")
        self._wait_for(supervisor)
        supervisor.run("containerd")
        if not self.initialised():
            self._import(archive, log)
        supervisor.run("kubelet")
        if not self.initialised():
            self._kubeadm(log)
            self._ready_mark.touch()
        self._copy_kubeconfig()

    def inside(self, argv: list[str | Path]) -> list[str | Path]:
        """The command prefix that runs something in the node's namespaces."""
        pid = self._first_process()
        return ["nsenter", f"--target={pid}", "--mount", "--pid", "--net", "--uts", "--ipc", *argv]

    def _first_process(self) -> int:
        """The machine's id of the node's PID 1: the child of the `unshare` that the machine's supervisor runs."""
        outer = next(
            p["pid"] for p in Supervisor(self.state / "supervisor").processes() if p["name"] == "node"
        )
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if not children:
            raise StateError("the node has no first process", path=self.state / "supervisor" / "node.log")
        return int(children[0])

    @retry(
        retry=retry_if_exception_type(StateError),
        stop=stop_after_delay(20),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    def _wait_for(self, supervisor: Supervisor) -> None:
        if not supervisor.alive():
            raise StateError(
                "the node's supervisor does not answer", path=self.state / "supervisor" / "node.log"
            )

    def _import(self, archive: Path, log: Path) -> None:
        ctr = [toolchain.tool("ctr"), "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io"]

        @retry(
            retry=retry_if_exception_type(CommandFailed),
            stop=stop_after_delay(20),
            wait=wait_fixed(0.3),
            reraise=True,
        )
        def answers() -> None:
            run(self.inside([*ctr, "version"]), timeout=10)

        answers()
        run(self.inside([*ctr, "images", "import", "--local", archive]), timeout=300, log=log)

    def _kubeadm(self, log: Path) -> None:
        command = [toolchain.tool("kubeadm"), "init", "--config", self.folder / "kubeadm.yaml"]
        run(
            self.inside([*command, "--ignore-preflight-errors=all", "--skip-token-print"]),
            env={"PATH": PATH},
            timeout=300,
            log=log,
            fix=f"see {log} and {self.folder}/control/kubelet.log",
        )

    def _copy_kubeconfig(self) -> None:
        admin = self.folder / "overlay" / "etc" / "upper" / "kubernetes" / "admin.conf"
        shutil.copyfile(admin, self.kubeconfig)
        self.kubeconfig.chmod(0o600)

    def _containerd(self) -> str:
        """containerd's settings; each one that is not a path was needed in a container or on old cgroups."""
        return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{kubernetes_images()["pause"]}"
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "{self.folder}/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def kubeadm_config() -> list[dict]:
    """kubeadm's configuration documents, for the pinned Kubernetes."""
    return [
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": config.NODE},
            "nodeRegistration": {
                "name": config.NODE_NAME,
                "criSocket": "unix:///run/containerd/containerd.sock",
                "imagePullPolicy": "Never",
                "taints": [],
            },
        },
        {
            "apiVersion": "kubeadm.k8s.io/v1beta4",
            "kind": "ClusterConfiguration",
            "clusterName": config.NODE_NAME,
            "kubernetesVersion": kubernetes_version(),
            "networking": {"podSubnet": config.POD_NETWORK, "serviceSubnet": config.SERVICE_NETWORK},
            "etcd": {
                "local": {
                    "dataDir": "/var/lib/etcd",
                    "extraArgs": [{"name": "unsafe-no-fsync", "value": "true"}],
                }
            },
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{config.NODE_NAME}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "evictionHard": {"memory.available": "100Mi"},
            "maxPods": 110,
            "nodeStatusUpdateFrequency": "10s",
            "shutdownGracePeriod": "0s",
        },
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "oomScoreAdj": 0,
            "conntrack": {"maxPerCore": 0, "min": 0},
        },
    ]


def _cni() -> dict:
    """One bridge; Pods keep their addresses on the way to the machine, which has a route back."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {
        "type": "bridge",
        "bridge": config.BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": ipam,
    }
    return {
        "cniVersion": "1.0.0",
        "name": "slipway",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_delay(60), wait=wait_fixed(0.5), reraise=True
)
def wait_api(kubeconfig: Path) -> None:
    """Wait until the API server answers."""
    try:
        run([toolchain.tool("kubectl"), "--kubeconfig", kubeconfig, "get", "--raw", "/readyz"], timeout=5)
    except CommandFailed as exc:
        raise Unreachable(
            "the Kubernetes API does not answer", fix="`slipway status` shows which process is down"
        ) from exc
