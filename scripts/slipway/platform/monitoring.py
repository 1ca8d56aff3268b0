"""Prometheus, Alertmanager and the prober on the machine's side: what they read, their login to the cluster.

Rules and routes are the deploy half's own (`argocd/monitoring`); only the address of the runbooks is the local
forge's.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from slipway import toolchain
from slipway.kubectl import Cluster
from slipway.paths import CHECKOUT
from slipway.platform import config, scrape
from slipway.platform.secrets import Secrets
from slipway.platform.supervisor import Program

SOURCE = CHECKOUT / "argocd" / "monitoring"
RUNBOOKS = "https://github.com/slipway/deploy/blob/main/argocd/monitoring/README.md"
"""Where the rules say that the runbooks are; every cluster but the local one leaves it so."""
LOCAL_RUNBOOKS = (
    f"{config.FORGE_URL}/{config.ORGANISATION}/deploy/src/branch/main/argocd/monitoring/README.md"
)
GROUPS = ("monitoring", "alertmanager")
"""The tool groups that the processes come from."""
NAMESPACE = "monitoring"
ACCOUNT = "prometheus"
TOKEN = "prometheus-token"
_TOKEN_LIFETIME = "8760h"


def files(state: Path) -> dict[str, str]:
    """What the three processes read, by name below `state/monitoring`: YAML, of which JSON is a part."""
    token = Secrets(state).path(TOKEN)
    rules = {
        f"rules/{file.parent.name}-{file.name}": file.read_text().replace(RUNBOOKS, LOCAL_RUNBOOKS)
        for folder in ("rules", "local")
        for file in sorted((SOURCE / folder).glob("*.yaml"))
    }
    return rules | {
        "prometheus.yaml": json.dumps(scrape.prometheus(state, token), indent=1),
        "alertmanager.yaml": (SOURCE / "alertmanager.yaml").read_text(),
        "prober.yaml": json.dumps(scrape.prober(state), indent=1),
    }


def prepare(state: Path) -> None:
    """Write what the processes read; a rule that is gone is gone here, too."""
    folder = state / "monitoring"
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    wanted = files(state)
    for file in (folder / "rules").iterdir():
        if f"rules/{file.name}" not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)


def programs(state: Path) -> list[Program]:
    """What the supervisor runs; started anew when what they read has changed.

    Each waits until it is built, since a first `up` builds it beside the rest; Prometheus, which finds its targets
    through the API server, waits for its login there, too.
    """
    folder = state / "monitoring"
    read = {"SLIPWAY_READ": hashlib.sha256(json.dumps(files(state)).encode()).hexdigest(), "GOGC": "50"}
    monitoring, alerting = (toolchain.home(group) / "bin" for group in GROUPS)
    return [
        Program(
            "alertmanager",
            _once_there(
                alerting / "alertmanager",
                f"--config.file={folder}/alertmanager.yaml",
                f"--storage.path={folder}/alerts",
                "--data.retention=24h",
                f"--web.listen-address=127.0.0.1:{config.ALERTMANAGER_PORT}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ),
            read,
        ),
        Program(
            "prober",
            _once_there(
                monitoring / "blackbox_exporter",
                f"--config.file={folder}/prober.yaml",
                f"--web.listen-address=127.0.0.1:{config.PROBER_PORT}",
                "--log.level=warn",
            ),
            read,
        ),
        Program(
            "prometheus",
            _once_there(
                monitoring / "prometheus",
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                "--storage.tsdb.retention.time=6h",
                "--storage.tsdb.retention.size=512MB",
                f"--web.listen-address=127.0.0.1:{config.PROMETHEUS_PORT}",
                "--log.level=warn",
                needs=Secrets(state).path(TOKEN),
            ),
            read,
        ),
    ]


def _once_there(program: Path, *arguments: str, needs: Path | None = None) -> list[str]:
    """The command that runs a program as soon as it, and the file that it needs, is there."""
    there = " && ".join(f"[ -s {file} ]" for file in (program, needs) if file)
    return ["/bin/sh", "-c", f"until {there}; do sleep 0.2; done; exec {program} {' '.join(arguments)}"]


def objects() -> list[dict]:
    """Prometheus' account in the cluster: it may look at nodes, Pods and metrics, and change nothing."""
    api = "rbac.authorization.k8s.io"
    role = {"apiGroup": api, "kind": "ClusterRole", "name": ACCOUNT}
    account = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
            "automountServiceAccountToken": False,
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": ACCOUNT},
            "rules": [
                {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
                {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
            ],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": role,
            "subjects": [account],
        },
    ]


def admit(cluster: Cluster, state: Path) -> None:
    """Give Prometheus its login: the account, a token of a year, and the authority that signs the API server."""
    cluster.apply("\n---\n".join(map(json.dumps, objects())), manager="slipway-monitoring")
    authority = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
    (state / "monitoring" / "ca.crt").write_bytes(base64.b64decode(authority["certificate-authority-data"]))
    issued = cluster.kubectl(
        *("--namespace", NAMESPACE, "create", "token", ACCOUNT, "--duration", _TOKEN_LIFETIME)
    )
    Secrets(state).put(TOKEN, issued.stdout.strip())


@dataclass(frozen=True)
class Alert:
    """An alert that fires: its labels besides name and severity, and where its runbook is."""

    name: str
    severity: str
    labels: dict[str, str]
    summary: str
    since: str
    runbook: str


def firing(url: str = config.ALERTMANAGER_URL) -> list[Alert] | None:
    """What Alertmanager knows to fire, the gravest first; None when it does not answer. Watchdog is no news."""
    try:
        answer = httpx.get(f"{url}/api/v2/alerts", params={"active": "true"}, timeout=5)
        found = answer.raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
    alerts = []
    for one in found:
        labels = {k: v for k, v in one["labels"].items() if k not in ("alertname", "severity")}
        name, severity = one["labels"]["alertname"], one["labels"]["severity"]
        notes = one["annotations"]
        if severity != "none":
            alerts.append(
                Alert(name, severity, labels, notes["summary"], one["startsAt"], notes["runbook_url"])
            )
    return sorted(alerts, key=lambda alert: (alert.severity != "critical", alert.name, alert.since))
