"""What the local platform's Prometheus scrapes and its prober asks; pure documents.

What runs on a node or in a Pod is found through the Kubernetes API, the rest has a fixed address.
"""

from __future__ import annotations

from pathlib import Path

from slipway.platform import config

_INTERVAL = "15s"
ARGOCD_TARGETS = (
    "argocd-(application-controller;8082|repo-server;8084|server;8083"
    "|applicationset-controller;8080|notifications-controller;)"
)
"""Name and metrics port of each component; the notifications controller declares none, so Kubernetes tells of none."""
KEPT = {
    "kubernetes": ("apiserver_request_total",),
    "kubelet": (
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "container_spec_memory_limit_bytes",
        "machine_cpu_cores",
    ),
    "load-balancer": (
        "haproxy_backend_active_servers",
        "haproxy_backend_response_time_average_seconds",
        "haproxy_frontend_http_requests_total",
        "haproxy_frontend_http_responses_total",
    ),
}
"""Of sources that export thousands of series, those that a rule or a dashboard reads."""


def prometheus(state: Path, token: Path) -> dict:
    """Prometheus' configuration document; `token` is the file with its login to the cluster."""
    folder = state / "monitoring"
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": [f"{folder}/rules/*.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [_static({}, config.ALERTMANAGER_PORT)]}]},
        "scrape_configs": [*_own(), *_cluster(state, token), *_machine(), _probes()],
    }


def prober(state: Path) -> dict:
    """The blackbox exporter's modules: a plain page, and the API server by the cluster's own authority."""
    http = {"preferred_ip_protocol": "ip4", "follow_redirects": True}
    trusted = {"tls_config": {"ca_file": str(state / "monitoring" / "ca.crt")}}
    return {
        "modules": {
            "page": {"prober": "http", "timeout": "5s", "http": http},
            "kubernetes": {"prober": "http", "timeout": "5s", "http": http | trusted},
        }
    }


def _own() -> list[dict]:
    ports = {
        "prometheus": config.PROMETHEUS_PORT,
        "alertmanager": config.ALERTMANAGER_PORT,
    }
    return [{"job_name": name, "static_configs": [_static({}, port)]} for name, port in ports.items()]


def _cluster(state: Path, token: Path) -> list[dict]:
    """The API server, the kubelet with its containers, Argo CD's components and the board's Pods."""
    folder = state / "monitoring"
    login = {"authorization": {"credentials_file": str(token)}}
    server = {"tls_config": {"ca_file": str(folder / "ca.crt")}} | login
    found = {"api_server": f"https://{config.NODE}:6443"} | server
    # The kubelet signs its own certificate and leaves the signer's beside it.
    kubelet = {
        "ca_file": str(state / "node" / "kubelet" / "pki" / "kubelet.crt"),
        "server_name": config.NODE_NAME,
    }
    return [
        {
            "job_name": "kubernetes",
            # Megabytes of text, of which little is kept.
            "scrape_interval": "1m",
            "scheme": "https",
            **server,
            "static_configs": [_static({}, 6443, config.NODE)],
            "metric_relabel_configs": [_keep_metrics("kubernetes")],
        },
        {
            "job_name": "kubelet",
            "scheme": "https",
            "metrics_path": "/metrics/cadvisor",
            **login,
            "tls_config": kubelet,
            "kubernetes_sd_configs": [found | {"role": "node"}],
            "relabel_configs": [_copy("node_name", "node")],
            "metric_relabel_configs": [_keep_metrics("kubelet")],
        },
        {
            "job_name": "argocd",
            "kubernetes_sd_configs": [_pods(found, "argocd")],
            "relabel_configs": [
                _running(),
                _keep(
                    ARGOCD_TARGETS,
                    "pod_label_app_kubernetes_io_name",
                    "pod_container_port_number",
                ),
                _copy("pod_label_app_kubernetes_io_name", "component") | {"regex": "argocd-(.+)"},
                _from("pod_label_app_kubernetes_io_name", "pod_ip")
                | {"regex": "argocd-notifications-controller;(.+)"}
                | {"target_label": "__address__", "replacement": "$1:9001"},
            ],
        },
        {
            "job_name": config.APPLICATION,
            "kubernetes_sd_configs": [_pods(found, *config.ENVIRONMENTS)],
            "relabel_configs": [
                _running(),
                _keep(
                    f"{config.APPLICATION}-backend;http",
                    "pod_label_app_kubernetes_io_name",
                    "pod_container_port_name",
                ),
                _copy("namespace", "environment"),
                _copy("pod_name", "pod"),
            ],
        },
    ]


def _machine() -> list[dict]:
    """What runs beside the cluster: the load balancer, the pipeline and the gate."""
    receivers = {"source": config.PIPELINE_PORT, "gate": config.GATE_PORT}
    return [
        {
            "job_name": "load-balancer",
            "params": {"scope": ["frontend", "backend"]},
            "static_configs": [_static({}, config.BALANCER_METRICS_PORT)],
            "metric_relabel_configs": [_keep_metrics("load-balancer")],
        },
        {
            "job_name": "pipeline",
            "static_configs": [
                _static({"pipeline": name}, port, config.HOST) for name, port in receivers.items()
            ],
        },
    ]


def _probes() -> dict:
    """Questions from outside, as a user or another service asks them."""
    pages = [
        ("registry", "page", f"{config.REGISTRY_URL}/v2/", {}),
        ("forge", "page", f"{config.FORGE_URL}/api/healthz", {}),
        ("kubernetes", "kubernetes", f"https://{config.NODE}:6443/livez", {}),
    ]
    for name, port in config.BALANCER_PORTS.items():
        where = {"environment": name.removeprefix("slipway-")}
        pages += [("board", "page", f"http://127.0.0.1:{port}{path}", where) for path in ("/", "/version")]
    return {
        "job_name": "probe",
        "metrics_path": "/probe",
        "static_configs": [
            {"targets": [url], "labels": {"probe": name, "module": module} | more}
            for name, module, url, more in pages
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__address__"], "target_label": "target"},
            {"source_labels": ["module"], "target_label": "__param_module"},
            {"target_label": "__address__", "replacement": f"127.0.0.1:{config.PROBER_PORT}"},
            {"regex": "module", "action": "labeldrop"},
        ],
    }


def _static(labels: dict[str, str], port: int, host: str = "127.0.0.1") -> dict:
    return {"targets": [f"{host}:{port}"]} | ({"labels": labels} if labels else {})


def _pods(found: dict, *namespaces: str) -> dict:
    return found | {"role": "pod", "namespaces": {"names": list(namespaces)}}


def _running() -> dict:
    return {"action": "drop", "regex": "Succeeded|Failed"} | _from("pod_phase")


def _keep(regex: str, *labels: str) -> dict:
    return {"action": "keep", "regex": regex} | _from(*labels)


def _copy(label: str, to: str) -> dict:
    return {"target_label": to} | _from(label)


def _from(*labels: str) -> dict:
    return {"source_labels": [f"__meta_kubernetes_{label}" for label in labels]}


def _keep_metrics(job: str) -> dict:
    return {"source_labels": ["__name__"], "regex": "|".join(KEPT[job]), "action": "keep"}
