"""Prometheus, Alertmanager and the prober, as the platform sets them up: real processes on ports of their own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from alb_targets import free_port
from slipway import paths, toolchain
from slipway.platform import config, monitoring, scrape
from slipway.platform.secrets import Secrets
from slipway.platform.supervisor import configuration
from slipway.proc import run
from tls_lab import certificate

SECRET = "eyJ-a-token-of-the-cluster"


class Pages(BaseHTTPRequestHandler):
    """Stands for the registry and the forge."""

    def do_GET(self) -> None:
        """Every page is there."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A platform's state with everything that the configuration names; nothing in it leads off this machine."""
    ports = ("PROMETHEUS", "ALERTMANAGER", "PROBER", "BALANCER_METRICS", "REGISTRY", "PIPELINE", "GATE")
    for name in ports:
        monkeypatch.setattr(config, f"{name}_PORT", free_port())
    for name in ("HOST", "NODE"):
        monkeypatch.setattr(config, name, "127.0.0.1")
    monkeypatch.setattr(config, "REGISTRY_URL", f"http://127.0.0.1:{config.REGISTRY_PORT}")
    monkeypatch.setattr(config, "FORGE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(config, "BALANCER_PORTS", {"slipway-dev": free_port()})
    authority, _ = certificate(tmp_path)
    monitoring.prepare(tmp_path)
    kubelet = tmp_path / "node" / "kubelet" / "pki"
    kubelet.mkdir(parents=True)
    shutil.copy(authority, tmp_path / "monitoring" / "ca.crt")
    shutil.copy(authority, kubelet / "kubelet.crt")
    Secrets(tmp_path).put(monitoring.TOKEN, SECRET)
    return tmp_path


@contextlib.contextmanager
def running(state: Path) -> Iterator[None]:
    """The processes, started as the supervisor starts them."""
    started = []
    with (state / "log").open("w") as log:
        try:
            for program in monitoring.programs(state):
                started.append(subprocess.Popen(list(map(str, program.argv)), stdout=log, stderr=log))
            yield
        finally:
            for process in started:
                process.terminate()
                process.wait(20)


def until(true: Callable[[], object], state: Path, seconds: float = 60) -> object:
    """What the callable returns once it is true; fails with the processes' words."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError, ValueError, KeyError):
            if found := true():
                return found
        time.sleep(0.3)
    raise AssertionError((state / "log").read_text()[-3000:] or "not in time")


def query(expression: str) -> list[dict]:
    """What Prometheus answers."""
    url = f"http://127.0.0.1:{config.PROMETHEUS_PORT}/api/v1/query"
    return httpx.get(url, params={"query": expression}).json()["data"]["result"]


def test_promtool_accepts_what_prometheus_reads(state: Path) -> None:
    """Configuration, rules and every file that they name."""
    run([toolchain.tool("promtool"), "check", "config", "--lint-fatal", state / "monitoring/prometheus.yaml"])


def test_what_is_asked_is_known_and_an_alert_reaches_alertmanager(state: Path) -> None:
    """A page that answers is a 1, one that does not a 0; the rules are evaluated and what fires is handed on."""
    registry = HTTPServer(("127.0.0.1", config.REGISTRY_PORT), Pages)
    threading.Thread(target=registry.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{config.ALERTMANAGER_PORT}"
    try:
        with running(state):
            (probed,) = until(lambda: query('probe_success{probe="registry"}'), state)
            assert probed["value"][1] == "1"
            labels = {"__name__", "job", "instance", "probe", "target"}
            assert set(probed["metric"]) == labels
            assert probed["metric"]["target"] == f"{config.REGISTRY_URL}/v2/"
            boards = until(lambda: len(found := query('probe_success{probe="board"}')) == 2 and found, state)
            assert {one["value"][1] for one in boards} == {"0"}
            assert {one["metric"]["environment"] for one in boards} == {"dev"}
            alerts = until(lambda: httpx.get(f"{url}/api/v2/alerts").json(), state)
            assert "Watchdog" in {alert["labels"]["alertname"] for alert in alerts}
    finally:
        registry.shutdown()
        registry.server_close()


def test_alerts_are_listed_the_gravest_first_with_their_runbooks(state: Path) -> None:
    """What `slipway status` prints; who does not answer is not taken for peace."""
    url = f"http://127.0.0.1:{config.ALERTMANAGER_PORT}"
    assert monitoring.firing(url) is None
    notes = {"summary": "it is so", "description": "it is", "runbook_url": "http://forge/README.md#it"}
    posted = [
        {"labels": {"alertname": name, "severity": severity, "environment": "dev"}, "annotations": notes}
        for name, severity in (("A", "warning"), ("C", "critical"), ("B", "critical"), ("W", "none"))
    ]
    with running(state):
        until(lambda: httpx.post(f"{url}/api/v2/alerts", json=posted).is_success, state)
        found = until(lambda: len(alerts := monitoring.firing(url) or []) >= 3 and alerts, state)
        ours = [alert for alert in found if alert.name in "ABCW"]
        assert [alert.name for alert in ours] == ["B", "C", "A"]
        assert ours[0].labels == {"environment": "dev"}
        assert (ours[0].summary, ours[0].runbook) == ("it is so", "http://forge/README.md#it")


def test_prometheus_does_not_start_before_it_has_its_login(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one it would never find the cluster's targets, with or without a restart."""
    started = tmp_path / "started"
    tools = tmp_path / "tools"
    for name in ("prometheus", "blackbox_exporter", "alertmanager"):
        (tools / "bin").mkdir(parents=True, exist_ok=True)
        (tools / "bin" / name).write_text(f"#!/bin/sh\necho {name} >> {started}\n")
        (tools / "bin" / name).chmod(0o755)
    monkeypatch.setattr(toolchain, "home", lambda group: tools)
    Secrets(state).path(monitoring.TOKEN).unlink()
    with running(state):
        until(lambda: started.is_file() and len(started.read_text().split()) == 2, state, 10)
        time.sleep(0.5)
        assert "prometheus" not in started.read_text()
        Secrets(state).put(monitoring.TOKEN, SECRET)
        until(lambda: "prometheus" in started.read_text(), state, 10)


def test_a_supervisor_can_run_them_and_no_secret_is_in_a_file_or_an_argument(state: Path) -> None:
    """The token lies in the one file that only root reads."""
    text = configuration(state, monitoring.programs(state), foreground=False)
    assert text.count("[program:") == 3
    written = [file.read_text() for file in (state / "monitoring").rglob("*.yaml")]
    assert len(written) == len(monitoring.files(state))
    assert all(SECRET not in one for one in (text, *written))


def test_changed_rules_restart_what_reads_them(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a rule that is gone is gone there, too."""
    before = monitoring.programs(state)
    assert monitoring.programs(state) == before
    changed = state / "source"
    shutil.copytree(monitoring.SOURCE, changed)
    monkeypatch.setattr(monitoring, "SOURCE", changed)
    (changed / "rules" / "pipeline.yaml").unlink()
    assert all(new.env != old.env for new, old in zip(monitoring.programs(state), before, strict=True))
    assert (state / "monitoring/rules/rules-pipeline.yaml").is_file()
    monitoring.prepare(state)
    assert not (state / "monitoring/rules/rules-pipeline.yaml").exists()


def test_runbooks_are_linked_where_this_platform_has_them(state: Path) -> None:
    """In the local forge; the file is part of the deploy half."""
    rules = "".join(file.read_text() for file in (state / "monitoring" / "rules").iterdir())
    links = re.findall(r"runbook_url: (\S+)#\w+", rules)
    assert len(links) > 30 and set(links) == {monitoring.LOCAL_RUNBOOKS}
    path = monitoring.LOCAL_RUNBOOKS.partition("/deploy/src/branch/main/")[2]
    assert (paths.CHECKOUT / path).is_file()


def test_the_account_can_look_and_change_nothing() -> None:
    """No secrets, no Pods' inside (`nodes/proxy` would be that), no verb that writes."""
    (role,) = [one for one in monitoring.objects() if one["kind"] == "ClusterRole"]
    verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
    resources = {name for rule in role["rules"] for name in rule.get("resources", [])}
    assert verbs == {"get", "list", "watch"}
    assert resources == {"nodes", "nodes/metrics", "pods"}
    (binding,) = [one for one in monitoring.objects() if one["kind"] == "ClusterRoleBinding"]
    account = {"kind": "ServiceAccount", "name": monitoring.ACCOUNT, "namespace": monitoring.NAMESPACE}
    assert binding["subjects"] == [account]


def test_nothing_is_asked_without_a_check_of_who_answers(state: Path) -> None:
    """Where there is TLS, there is an authority; the token goes nowhere else."""
    for job in scrape.prometheus(state, Path("token"))["scrape_configs"]:
        asked = [job, *job.get("kubernetes_sd_configs", [])]
        for one in asked:
            if "authorization" in one:
                assert one.get("tls_config", {}).get("ca_file"), job["job_name"]
                assert "insecure_skip_verify" not in one["tls_config"]
                assert one.get("scheme", one.get("api_server", "")).startswith("https")
    assert "insecure" not in json.dumps(scrape.prober(state))


def test_what_is_scraped_here_is_scraped_on_aws_under_the_same_names() -> None:
    """The rules read jobs and labels; the pods that are kept are the same ones."""
    aws = yaml.safe_load((monitoring.SOURCE / "eks" / "scrape.yaml").read_text())["scrape_configs"]
    here = {job["job_name"]: job for job in scrape.prometheus(Path("/s"), Path("t"))["scrape_configs"]}
    assert {job["job_name"] for job in aws} == {"kubernetes", "kubelet", "argocd", "board"}
    for job in aws:
        ours = here[job["job_name"]]
        added = [
            {step["target_label"] for step in one["relabel_configs"] if "target_label" in step}
            - {"__address__", "__metrics_path__"}
            for one in (job, ours)
            if "relabel_configs" in one
        ]
        assert all(labels == added[0] for labels in added), job["job_name"]
    kept = [step["regex"] for job in aws for step in job["relabel_configs"] if step.get("action") == "keep"]
    assert scrape.ARGOCD_TARGETS in kept and "board-backend;http" in kept


def test_every_component_of_argo_cd_is_found_once() -> None:
    """By the ports that the pinned manifest declares, as Kubernetes tells of them: one target a port, or one without."""
    manifest = toolchain.share("cluster", "argocd/install.yaml").read_text()
    workloads = [o for o in yaml.safe_load_all(manifest) if o["kind"] in ("Deployment", "StatefulSet")]
    targets = [
        f"{one['metadata']['name']};{port}"
        for one in workloads
        for container in one["spec"]["template"]["spec"]["containers"]
        for port in [entry["containerPort"] for entry in container.get("ports", [])] or [""]
    ]
    assert [target for target in targets if re.fullmatch(scrape.ARGOCD_TARGETS, target)] == [
        "argocd-applicationset-controller;8080",
        "argocd-notifications-controller;",
        "argocd-repo-server;8084",
        "argocd-server;8083",
        "argocd-application-controller;8082",
    ]
