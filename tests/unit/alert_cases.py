"""For every alert: figures that raise it, and when it is still quiet, fires, and is quiet again."""

from __future__ import annotations

from dataclasses import dataclass, field

ERRORS = "0x5 6+6x14 84x30"
"""Six a minute from the sixth minute to the twentieth."""
FAILURES = "0 1+1x15 16x20"
"""One a minute for a quarter of an hour."""
BURST = "0 3x30"
"""Three at once, and never again."""


@dataclass(frozen=True)
class Case:
    """Series by name, one value a minute from 0 on; `quiet` is before the alert's time is up, `clears` after mending.

    `harmless` are other figures, which look similar and must raise nothing at any of `watched`.
    """

    alert: str
    severity: str
    series: dict[str, str]
    quiet: str | None
    fires: str
    clears: str | None
    labels: dict[str, str]
    summary: str
    description: str
    harmless: dict[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ("5m", "10m", "20m", "29m")


def requests(status: str, environment: str = "prod") -> str:
    """The board's counter of requests."""
    return f'board_http_requests_total{{environment="{environment}",route="/api/now",status="{status}"}}'


def balancer(kind: str, environment: str = "prod", more: str = "") -> str:
    """One of HAProxy's counters of a listener."""
    return f'haproxy_frontend_http_{kind}_total{{proxy="slipway-{environment}-80"{more}}}'


def app(health: str = "Healthy", sync: str = "Synced", phase: str = "Succeeded") -> str:
    """Argo CD's gauge of an Application in this state."""
    state = f'sync_status="{sync}",health_status="{health}",phase="{phase}"'
    return f'argocd_app_info{{name="dev-board",dest_namespace="dev",{state}}}'


def probe(name: str, target: str, more: str = "") -> str:
    """The prober's gauge."""
    return f'probe_success{{probe="{name}",target="{target}"{more}}}'


def up(labels: str) -> str:
    """Prometheus' own gauge of a target."""
    return f"up{{{labels}}}"


def well_but(component: str) -> dict[str, str]:
    """The gauges of Argo CD's other components, which are well."""
    names = ("applicationset-controller", "notifications-controller", "repo-server", "server")
    return {up(f'job="argocd",component="{name}"'): "1x40" for name in names if name != component}


def build(status: str) -> str:
    """The receiver's time of the newest build with this outcome."""
    return f'slipway_build_finished_timestamp_seconds{{pipeline="source",status="{status}"}}'


DEV = {"environment": "dev"}
PROD = {"environment": "prod"}
DEV_BOARD = DEV | {"name": "dev-board"}
DOWN = "1 0x9 1x9"
"""Away from the first minute to the tenth."""
BUCKET = 'board_http_request_seconds_bucket{environment="prod",route="/api/now",le="%s"}'
QUIET_BUCKET = BUCKET.replace("prod", "dev")
FAILED = ',code="5xx"'
BACKEND = '{namespace="dev",pod="board-backend-1",container="backend"}'
EVENTS = (
    'board_deployment_events_total{environment="dev",pod="board-backend-1",event="on-deployed",result="%s"}'
)
EXPIRY = 'probe_ssl_earliest_cert_expiry{target="https://10.250.1.2:6443/livez"}'
TARGET = {"target": "https://10.250.1.2:6443/livez"}
DAY = 86400

CASES = (
    Case(
        "BoardErrors",
        "critical",
        {requests("200"): "0+60x50", requests("500"): ERRORS},
        *("9m45s", "15m", "30m"),
        PROD,
        "The board in prod answers with errors",
        "9.091% of the requests of the last 5 minutes got a 5xx (more than 5 %, and at least 5 requests).",
        {
            requests("200"): "0+60x50",
            requests("500"): "0+2x50",
            requests("200", "dev"): "0+1x50",
            requests("500", "dev"): "0x9 1x20 2x30",
        },
        ("5m", "13m", "20m"),
    ),
    Case(
        "BoardSlow",
        "warning",
        {
            requests("200"): "0+60x50",
            BUCKET % "1": "0x20 0+60x30",
            BUCKET % "2.5": "0+60x50",
            BUCKET % "+Inf": "0+60x50",
        },
        *("5m", "10m", "30m"),
        PROD,
        "The board in prod is slow",
        "One request in twenty takes longer than 2.425s (more than 1 s).",
        {
            requests("200"): "0+60x50",
            BUCKET % "1": "0+59x50",
            BUCKET % "2.5": "0+60x50",
            BUCKET % "+Inf": "0+60x50",
            requests("200", "dev"): "0+3x50",
            QUIET_BUCKET % "1": "0x50",
            QUIET_BUCKET % "2.5": "0+3x50",
            QUIET_BUCKET % "+Inf": "0+3x50",
        },
    ),
    Case(
        "BoardUnreachable",
        "critical",
        {probe("board", "http://127.0.0.1:8080/", ',environment="prod"'): "1 1 0x5 1x9"},
        *("2m45s", "3m15s", "8m15s"),
        PROD | {"probe": "board", "target": "http://127.0.0.1:8080/"},
        "The board in prod does not answer through its load balancer",
        "Asked from outside, http://127.0.0.1:8080/ did not answer with a 200 for a minute.",
        {probe("board", "http://127.0.0.1:8080/", ',environment="prod"'): "1x40"},
    ),
    Case(
        "BoardNotScraped",
        "warning",
        {up('job="board",environment="dev",pod="a"'): DOWN},
        *("5m30s", "6m15s", "11m15s"),
        DEV,
        "No Pod of the board in dev gives its metrics",
        "For 5 minutes no backend Pod in dev answered at /metrics; the alerts that rest on them cannot fire.",
        {
            up('job="board",environment="dev",pod="a"'): "0x40",
            up('job="board",environment="dev",pod="b"'): "1x40",
        },
    ),
    Case(
        "BoardRestarting",
        "warning",
        {'process_start_time_seconds{job="board",environment="dev",pod="b"}': "1 1 60 120 180x30"},
        *("3m", "4m15s", "25m"),
        DEV | {"job": "board", "pod": "b"},
        "A backend of the board in dev keeps restarting",
        "b started 3 times anew within 15 minutes.",
        {'process_start_time_seconds{job="board",environment="dev",pod="b"}': "1x9 600x30"},
    ),
    Case(
        "MemoryNearLimit",
        "warning",
        {
            f"container_memory_working_set_bytes{BACKEND}": "95x9 50x10",
            f"container_spec_memory_limit_bytes{BACKEND}": "100x30",
        },
        *("4m", "5m15s", "11m"),
        {"namespace": "dev", "pod": "board-backend-1", "container": "backend"},
        "dev/board-backend-1 is about to run out of memory",
        "The container backend uses 95% of its memory limit; at 100 % the kernel kills it.",
        {
            f"container_memory_working_set_bytes{BACKEND}": "95x40",
            f"container_spec_memory_limit_bytes{BACKEND}": "0x40",
        },
    ),
    Case(
        "LoadBalancerErrors",
        "critical",
        {
            balancer("requests"): "0+60x50",
            balancer("responses", more=FAILED): ERRORS,
        },
        *("9m45s", "15m", "30m"),
        PROD,
        "Users of prod get errors",
        "The load balancer answered 10% of the requests of the last 5 minutes with a 5xx (more than 5 %, and at least 5 requests).",
        {
            balancer("requests"): "0+60x50",
            balancer("responses", more=',code="4xx"'): ERRORS,
            balancer("responses", more=FAILED): "0+2x50",
            balancer("requests", "dev"): "0+1x50",
            balancer("responses", "dev", FAILED): "0x9 1x20 2x30",
        },
        ("5m", "13m", "20m"),
    ),
    Case(
        "LoadBalancerNoTargets",
        "critical",
        {'haproxy_backend_active_servers{proxy="tg-k8s-prod-boardbac-1"}': "2 2 0x5 2x9"},
        *("2m45s", "3m15s", "8m15s"),
        PROD | {"target_group": "k8s-prod-boardbac-1"},
        "A target group in prod is empty",
        "k8s-prod-boardbac-1 has had no healthy target for a minute: its requests fail.",
        {
            'haproxy_backend_active_servers{proxy="tg-k8s-prod-boardbac-1"}': "1x40",
            'haproxy_backend_active_servers{proxy="tg-k8s-prod-unreleased-1"}': "0x40",
        },
    ),
    Case(
        "LoadBalancerNotScraped",
        "warning",
        {balancer("requests"): "_x10 0+60x20"},
        *("4m45s", "5m15s", "13m"),
        {},
        "The load balancer gives no figures",
        "For 5 minutes no load balancer reported a request rate, not even 0; the alerts that rest on it cannot fire.",
        {balancer("requests"): "0x40"},
    ),
    Case(
        "ArgoCDDegraded",
        "critical",
        {app(): "1 1 stale _x5 1x9", app("Degraded"): "_ _ 1x5 stale"},
        *("2m45s", "3m15s", "8m15s"),
        DEV_BOARD,
        "The rollout of dev-board has failed",
        "Argo CD has called dev-board in dev degraded for a minute; the old Pods go on serving.",
        {app("Progressing"): "1x10 stale", app(): "_x11 1x20"},
    ),
    Case(
        "ArgoCDRolloutStuck",
        "warning",
        {app("Progressing"): "1x9 stale", app("Missing"): "_x10 1x9 stale", app(): "_x20 1x9"},
        *("14m45s", "15m15s", "21m15s"),
        DEV_BOARD,
        "The rollout of dev-board does not end",
        "dev-board in dev has been neither healthy nor degraded for 15 minutes.",
        {app("Progressing"): "1x9 stale _x4 1x9 stale", app(): "_x10 1x3 stale _x9 1x9"},
    ),
    Case(
        "ArgoCDSyncFailed",
        "critical",
        {app(): "1 1 stale _x5 1x9", app(sync="OutOfSync", phase="Failed"): "_ _ 1x5 stale"},
        *("2m45s", "3m15s", "8m15s"),
        DEV_BOARD | {"phase": "Failed"},
        "Argo CD could not apply dev-board",
        "The last sync of dev-board in dev ended as Failed, and no retry has changed that.",
        {app(phase="Running"): "1x40"},
    ),
    Case(
        "ArgoCDOutOfSync",
        "warning",
        {app(sync="OutOfSync"): "1x19 stale", app(): "_x20 1x9"},
        *("14m45s", "15m15s", "21m15s"),
        DEV_BOARD,
        "dev-board is not what Git says",
        "dev-board in dev has differed from Git for 15 minutes.",
        {app(sync="OutOfSync"): "1x13 stale", app(): "_x14 1x20"},
    ),
    Case(
        "ArgoCDCannotRender",
        "critical",
        {app(sync="Unknown"): "1x9 stale", app(): "_x10 1x9"},
        *("4m45s", "5m15s", "11m15s"),
        DEV_BOARD,
        "Argo CD cannot compare dev-board with Git",
        "For 5 minutes Argo CD has not been able to render dev-board in dev; new commits are not deployed.",
        {app(sync="Unknown"): "1x3 stale", app(): "_x4 1x30"},
    ),
    Case(
        "ArgoCDGitErrors",
        "warning",
        {'argocd_git_fetch_fail_total{repo="deploy",revision="main"}': FAILURES},
        *("5m30s", "10m", "25m"),
        {},
        "Argo CD's repository server cannot read Git",
        "Requests to Git fail at 16.67m a second, for 5 minutes now.",
        {'argocd_git_lsremote_fail_total{repo="deploy",revision="main"}': BURST},
        ("2m", "5m", "6m", "10m"),
    ),
    Case(
        "ArgoCDControllerDown",
        "critical",
        {up('job="argocd",component="application-controller"'): DOWN},
        *("2m30s", "3m15s", "11m15s"),
        {},
        "Argo CD's application controller does not run",
        "No application controller has given its metrics for 2 minutes: nothing is deployed and nothing is healed.",
        {up('job="argocd",component="application-controller"'): "1 0 1x40"},
    ),
    Case(
        "ArgoCDComponentDown",
        "warning",
        well_but("repo-server") | {up('job="argocd",component="repo-server"'): DOWN},
        *("5m30s", "6m15s", "11m15s"),
        {"component": "repo-server"},
        "Argo CD's repo-server does not run",
        "No Pod of repo-server has given its metrics for 5 minutes.",
        well_but("repo-server")
        | {
            up('job="argocd",component="repo-server",instance="a"'): "0x40",
            up('job="argocd",component="repo-server",instance="b"'): "1x40",
        },
    ),
    Case(
        "ArgoCDComponentDown",
        "warning",
        well_but("notifications-controller")
        | {up('job="argocd",component="notifications-controller"'): "_x10 1x9"},
        *("4m30s", "5m15s", "11m15s"),
        {"component": "notifications-controller"},
        "Argo CD's notifications-controller does not run",
        "No Pod of notifications-controller has given its metrics for 5 minutes.",
    ),
    Case(
        "ArgoCDQueueGrows",
        "warning",
        {'workqueue_depth{job="argocd",name="app_reconciliation_queue"}': "0 5x15 0x20"},
        *("10m45s", "11m15s", "18m"),
        {"name": "app_reconciliation_queue"},
        "Argo CD falls behind",
        "app_reconciliation_queue has not been empty for 10 minutes; 5 applications wait.",
        {'workqueue_depth{job="argocd",name="app_reconciliation_queue"}': "5x8 0 5x8 0 5x8"},
    ),
    Case(
        "ArgoCDNotificationsFail",
        "warning",
        {
            'argocd_notifications_deliveries_total{service="board-dev",succeeded="false",trigger="on-deployed"}': FAILURES
        },
        *("5m30s", "10m", "25m"),
        {"service": "board-dev"},
        "Argo CD's events do not reach board-dev",
        "Deliveries to board-dev fail at 16.67m a second, for 5 minutes now; what it shows is behind.",
        {
            'argocd_notifications_deliveries_total{service="board-dev",succeeded="false",trigger="on-deployed"}': BURST,
            'argocd_notifications_deliveries_total{service="board-dev",succeeded="true",trigger="on-deployed"}': FAILURES,
        },
        ("2m", "5m", "6m", "10m"),
    ),
    Case(
        "BoardEventsRejected",
        "warning",
        {EVENTS % "rejected": "_ _ 1x30"},
        *("1m", "3m", "15m"),
        DEV,
        "The board in dev refuses events",
        "It refused 1 events of Argo CD as malformed within 10 minutes; its history has a gap.",
        {EVENTS % "stored": "_ _ 1+1x30", EVENTS % "duplicate": "0+1x30"},
    ),
    Case(
        "BoardEventsRejected",
        "warning",
        {EVENTS % "rejected": "1x14 3x30"},
        *("13m", "16m", "30m"),
        DEV,
        "The board in dev refuses events",
        "It refused 2 events of Argo CD as malformed within 10 minutes; its history has a gap.",
    ),
    Case(
        "PipelineFailed",
        "warning",
        {build("success"): "60x4 300x20", build("failed"): "_ _ 120x20"},
        *("1m", "3m", "6m"),
        {"pipeline": "source"},
        "The last build of source failed",
        "It failed at 1970-01-01 00:02:00 +0000 UTC, and none has succeeded since.",
        {build("success"): "120x40", build("failed"): "60x40", build("aborted"): "180x40"},
    ),
    Case(
        "PipelineFailed",
        "warning",
        {build("success"): "_x5 300x20", build("failed"): "_ _ 120x20"},
        *("1m", "3m", "6m"),
        {"pipeline": "source"},
        "The last build of source failed",
        "It failed at 1970-01-01 00:02:00 +0000 UTC, and none has succeeded since.",
    ),
    Case(
        "PipelineWithoutSuccess",
        "critical",
        {build("success"): "60x30 stale _x1413 86700x20", build("failed"): "_ _ 120x1480"},
        *("24h", "24h2m", "24h6m"),
        {"pipeline": "source"},
        "source has delivered nothing for a day",
        "Builds have failed since the last success, 1d 0h 1m 0s ago; a fix could not be shipped either.",
        {build("success"): "60x1500", build("failed"): "30x1500"},
        ("24h", "24h10m"),
    ),
    Case(
        "PipelineStuck",
        "warning",
        {'slipway_build_started_timestamp_seconds{pipeline="source"}': "60x70 stale"},
        *("1h", "1h1m15s", "1h12m"),
        {"pipeline": "source"},
        "A build of source does not end",
        "It has run for 1h 0m 15s; builds take minutes, and others wait behind it.",
        {'slipway_build_started_timestamp_seconds{pipeline="source"}': "60x50 stale _x5 3600x20"},
        ("50m", "1h2m", "1h15m"),
    ),
    Case(
        "PipelineDown",
        "critical",
        {up('job="pipeline",pipeline="source",instance="10.250.1.1:8090"'): DOWN},
        *("2m45s", "3m15s", "11m15s"),
        {"job": "pipeline", "pipeline": "source", "instance": "10.250.1.1:8090"},
        "source does not run",
        "10.250.1.1:8090 has not answered for 2 minutes: pushes are not built.",
        {up('job="pipeline",pipeline="source",instance="10.250.1.1:8090"'): "1 0 1x40"},
    ),
    Case(
        "CertificateExpiring",
        "warning",
        {EXPIRY: f"{14 * DAY + 600}x20 9999999x10"},
        *("9m", "11m", "22m"),
        TARGET,
        "The certificate of https://10.250.1.2:6443/livez runs out",
        "It is valid for another 13d 23h 59m 0s (less than 14 days).",
        {EXPIRY: f"{30 * DAY}x40"},
    ),
    Case(
        "CertificateAlmostExpired",
        "critical",
        {EXPIRY: f"{3 * DAY + 600}x20 9999999x10"},
        *("9m", "11m", "22m"),
        TARGET,
        "The certificate of https://10.250.1.2:6443/livez runs out in less than 3 days",
        "It is valid for another 2d 23h 59m 0s; then every client refuses it.",
        {EXPIRY: f"{10 * DAY}x40"},
    ),
    Case(
        "RegistryDown",
        "critical",
        {probe("registry", "http://10.250.1.1:5000/v2/"): DOWN},
        *("2m45s", "3m15s", "11m15s"),
        {"probe": "registry", "target": "http://10.250.1.1:5000/v2/"},
        "The image registry does not answer",
        "http://10.250.1.1:5000/v2/ has failed for 2 minutes: nothing can be pushed, and a Pod on a new node cannot start.",
        {
            probe("registry", "http://10.250.1.1:5000/v2/"): "1 0 1x40",
            probe("forge", "http://10.250.1.1:3000/"): "0x40",
        },
    ),
    Case(
        "ForgeDown",
        "critical",
        {probe("forge", "http://10.250.1.1:3000/"): DOWN},
        *("2m45s", "3m15s", "11m15s"),
        {"probe": "forge", "target": "http://10.250.1.1:3000/"},
        "Git does not answer",
        "http://10.250.1.1:3000/ has failed for 2 minutes: nothing can be pushed, promoted or rolled back.",
        {
            probe("forge", "http://10.250.1.1:3000/"): "1 0 1x40",
            probe("registry", "http://10.250.1.1:5000/v2/"): "0x40",
        },
    ),
    Case(
        "KubernetesAPIDown",
        "critical",
        {up('job="kubernetes"'): DOWN},
        *("2m45s", "3m15s", "11m15s"),
        {},
        "The Kubernetes API does not answer",
        "No API server has given its metrics for 2 minutes: what runs goes on, nothing new starts.",
        {up('job="kubernetes",instance="a"'): "0x40", up('job="kubernetes",instance="b"'): "1x40"},
    ),
    Case(
        "NodeDown",
        "critical",
        {up('job="kubelet",node="slipway",instance="10.250.1.2:10250"'): DOWN},
        *("2m45s", "3m15s", "11m15s"),
        {"job": "kubelet", "node": "slipway", "instance": "10.250.1.2:10250"},
        "The kubelet of slipway does not answer",
        "10.250.1.2:10250 has not given its metrics for 2 minutes; its Pods are not looked after.",
        {up('job="kubelet",node="slipway"'): "1 0 1x40"},
    ),
    Case(
        "NodeBusy",
        "warning",
        {
            'container_cpu_usage_seconds_total{id="/",node="slipway"}': "0+114x30 3420x30",
            'machine_cpu_cores{node="slipway"}': "2x60",
        },
        *("15m", "21m", "40m"),
        {"node": "slipway"},
        "The node slipway is out of CPU",
        "It has used 95% of its cores for 15 minutes; everything on it gets slow.",
        {
            'container_cpu_usage_seconds_total{id="/",node="slipway"}': "0+96x40",
            'container_cpu_usage_seconds_total{id="/kubepods",node="slipway"}': "0+96x40",
            'machine_cpu_cores{node="slipway"}': "2x60",
        },
    ),
    Case(
        "Watchdog",
        "none",
        {},
        *(None, "0m", None),
        {},
        "Alerting works",
        "Fires always (1). Whoever receives it must raise the alarm when it stops.",
    ),
    Case(
        "RuleEvaluationFails",
        "warning",
        {'prometheus_rule_evaluation_failures_total{rule_group="argocd"}': FAILURES},
        *("5m30s", "10m", "25m"),
        {"rule_group": "argocd"},
        "Prometheus cannot evaluate its rules",
        "Rules of argocd fail at 16.67m a second, for 5 minutes now.",
        {'prometheus_rule_evaluation_failures_total{rule_group="argocd"}': BURST},
        ("2m", "5m", "6m", "10m"),
    ),
    Case(
        "NotificationsToPeopleFail",
        "critical",
        {'alertmanager_notifications_failed_total{integration="sns"}': FAILURES},
        *("5m30s", "10m", "25m"),
        {"integration": "sns"},
        "Alerts do not reach people",
        "Alertmanager's sns fails at 16.67m a second, for 5 minutes now.",
        {'alertmanager_notifications_failed_total{integration="sns"}': BURST},
        ("2m", "5m", "6m", "10m"),
    ),
)
