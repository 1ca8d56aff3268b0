"""What the platform looks like now: processes, addresses, users, and which version each environment serves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.platform import argocd, config, monitoring
from slipway.platform.forge import ADMIN, BOT, PEOPLE
from slipway.platform.groundwork import BOARD_READ
from slipway.platform.supervisor import Supervisor


@dataclass(frozen=True)
class Status:
    """The whole answer; `users` and `tokens` name files, never what is in them.

    `serving` maps an environment to what its load balancer answers at /version.
    """

    up: bool
    processes: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    serving: dict[str, dict] = field(default_factory=dict)
    alerts: list[monitoring.Alert] | None = None
    """What fires; None when Alertmanager does not answer."""


def read(state: Path) -> Status:
    """Ask everything once; what does not answer is said to be down."""
    supervisor = Supervisor(state / "supervisor")
    if not supervisor.alive():
        return Status(up=False)
    processes = {p["name"]: p["statename"].lower() for p in supervisor.processes()}
    if processes.get("node") == "running":
        inner = Supervisor(state / "node" / "control")
        processes |= {p["name"]: p["statename"].lower() for p in (inner.processes() if inner.alive() else [])}
    return Status(
        up=all(word == "running" for word in processes.values()),
        processes=processes,
        addresses=addresses(state),
        users={name: str(state / "secrets" / f"forge-{name}") for name in (ADMIN, *PEOPLE, BOT)},
        tokens={
            "board's API": str(state / "secrets" / BOARD_READ),
            "Argo CD": str(state / "secrets" / argocd.TOKEN),
        },
        serving={
            name.removeprefix("slipway-"): _version(port) for name, port in config.BALANCER_PORTS.items()
        },
        alerts=monitoring.firing(),
    )


def addresses(state: Path) -> dict[str, str]:
    """Where a person finds things."""
    return {
        **{
            f"board in {name.removeprefix('slipway-')}": f"http://127.0.0.1:{port}/"
            for name, port in config.BALANCER_PORTS.items()
        },
        "forge": config.FORGE_URL,
        "Argo CD (API)": argocd.URL,
        "pipeline": f"http://{config.HOST}:{config.PIPELINE_PORT}/builds",
        "gate": f"http://{config.HOST}:{config.GATE_PORT}/builds",
        "registry": config.REGISTRY_URL,
        "Prometheus (API)": config.PROMETHEUS_URL,
        "Alertmanager": config.ALERTMANAGER_URL,
        "AWS API": config.AWS_URL,
        "kubeconfig": str(state / "kubeconfig"),
    }


def _version(port: int) -> dict:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/version", timeout=3)
        return answer.json() if answer.status_code == 200 else {"error": f"answers {answer.status_code}"}
    except (httpx.HTTPError, json.JSONDecodeError) as exc:
        return {"error": str(exc)}


def show(status: Status, console: Console) -> None:
    """Print it for people."""
    if not status.processes:
        console.print("The platform is not up. `make up` brings it up.")
        return
    table = Table("where", "address", box=None)
    for name, address in status.addresses.items():
        table.add_row(name, address)
    console.print(table)
    table = Table("environment", "version", "commit", "image", box=None)
    for name, version in status.serving.items():
        if "error" in version:
            table.add_row(name, "-", "-", version["error"])
        else:
            digest = (version.get("digest") or "")[:19]
            table.add_row(name, version["version"], version["commit"][:12], digest)
    console.print(table)
    console.print("Users of the forge; the password is in the file:")
    for name, file in status.users.items():
        console.print(f"  {name:<14} {file}", soft_wrap=True)
    console.print("Bearer tokens that can only read; the token is in the file:")
    for name, file in status.tokens.items():
        console.print(f"  {name:<14} {file}", soft_wrap=True)
    _show_alerts(status.alerts, console)
    down = sorted(name for name, word in status.processes.items() if word != "running")
    console.print(f"[red]not running: {', '.join(down)}[/red]" if down else "All processes run.")


def _show_alerts(alerts: list[monitoring.Alert] | None, console: Console) -> None:
    if alerts is None:
        console.print("[red]Alertmanager does not answer: it is not known what fires[/red]")
        return
    for alert in alerts:
        style = "red" if alert.severity == "critical" else "yellow"
        console.print(f"[{style}]{alert.severity}[/{style}] {alert.name}: {escape(alert.summary)}")
        console.print(f"  {alert.runbook}", soft_wrap=True)
    if not alerts:
        console.print("No alert fires.")


def as_json(status: Status) -> str:
    """Print it for programs."""
    return json.dumps(asdict(status), indent=2)
