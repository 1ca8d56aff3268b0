"""`slipway dora`: how fast and how safely is delivered, from Git and the event log alone."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.commands._writing import check_names
from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from slipway.dora.events import Fact
    from slipway.dora.metrics import Figures, Spread
    from slipway.git.mirror import Mirror

_STAGES = {
    "build": "commit → bump",
    "queue": "bump → change for this environment",
    "review": "change → merged",
    "argocd": "merged → sync",
    "rollout": "sync → healthy",
}


@click.command()
@click.option("--repo", required=True, envvar="SLIPWAY_DEPLOY_REPO", help="Address or clone of the deploy repository.")  # fmt: skip
@click.option(
    "--events", required=True, envvar="SLIPWAY_EVENTS_REPO", help="Address or clone of the event log."
)
@click.option("--source", envvar="SLIPWAY_SOURCE_REPO", help="Address or clone of the source repository; without it there are no lead times.")  # fmt: skip
@click.option("--branch", default="main", show_default=True, help="Branch of all three.")
@click.option("--env", "environment", metavar="ENV", help="Environment; by default the last of the chain.")
@click.option("--app", metavar="APP", help="Only this application.")
@click.option("--since", metavar="TIME", help="Begin of the time looked at, UTC; by default 90 days before its end.")  # fmt: skip
@click.option("--until", metavar="TIME", help="End of the time looked at, UTC; by default now.")
@click.option("--window", default=24, show_default=True, type=click.IntRange(1, 24 * 30), metavar="HOURS", help="How long a deployment is held responsible for a failure.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def command(repo, events, source, branch, environment, app, since, until, window, as_json) -> None:
    """Print deployment frequency, lead time, failure rate, rework rate and recovery time.

    Everything is read from Git: the deploy repository, the log in which Argo CD writes its events, and the source
    repository. The same input gives the same figures, wherever and whenever they are computed; the release board
    shows these. What is undefined without a deployment is shown as undefined, never as 0.

    Example: slipway dora --repo https://git.example/deploy.git --events https://git.example/events.git --env prod
    """
    from slipway.dora.attempts import Histories, every
    from slipway.dora.history import DeployHistory, SourceHistory
    from slipway.dora.metrics import PERIOD, measure

    check_names(*filter(None, (environment, app)))
    end = _time(until, "--until") if until else datetime.now(UTC)
    begin = _time(since, "--since") if since else end - PERIOD
    if begin >= end:
        raise InvalidInput("--since is not before --until", fix="give an earlier time")
    with tempfile.TemporaryDirectory(prefix="slipway-dora-") as folder:
        deploy = _mirror(repo, Path(folder) / "deploy", branch)
        tip = _fetched(deploy)
        environment = _environment(deploy, tip, environment)
        history = DeployHistory(deploy.commits(tip))
        found = None
        if source:
            mirror = _mirror(source, Path(folder) / "source", branch, paths=False)
            found = SourceHistory(mirror.commits(_fetched(mirror)))
        facts = _facts(_mirror(events, Path(folder) / "events", branch, paths=False))
    responsible = timedelta(hours=window)
    made = every(facts, Histories.of(history, found), responsible)
    figures = measure(
        made, environment=environment, application=app, since=begin, until=end, window=responsible
    )
    click.echo(figures.model_dump_json() if as_json else "\n".join(_lines(figures, source is not None)))


def _time(text: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(f"{option} {text!r} is no time", fix="write such as 2026-11-24T08:00") from exc
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _mirror(url: str, folder: Path, branch: str, *, paths: bool = True) -> Mirror:
    from slipway.git.mirror import Mirror

    local = Path(url)
    return Mirror(str(local.resolve()) if local.is_dir() else url, folder, branch=branch, paths=paths)


def _fetched(mirror: Mirror) -> str:
    tip = mirror.fetch()
    if tip is None:
        raise InvalidInput(f"{mirror.shown} has no branch {mirror.branch}", fix="give the right --branch")
    return tip


def _environment(deploy: Mirror, tip: str, asked: str | None) -> str:
    """The environment to look at: the one asked for, or the last of the chain."""
    from slipway.policy.environment import read_policies

    names = [policy.name for policy in read_policies(deploy.tip(tip))]
    if not names:
        raise InvalidInput(f"{deploy.shown} has no overlays", fix="give the deploy repository")
    if asked and asked not in names:
        raise InvalidInput(f"no environment {asked}", fix=f"there are: {', '.join(names)}")
    return asked or names[-1]


def _facts(log: Mirror) -> list[Fact]:
    from slipway.dora.event_log import parse_log

    tip = log.fetch()
    if tip is None:
        return []
    facts, unreadable = parse_log(log.files(tip))
    for path in unreadable:
        click.echo(f"slipway: {log.shown}: {path} is no event and is left out", err=True)
    return facts


def _lines(figures: Figures, with_source: bool) -> list[str]:
    lead, recovery, frequency = figures.lead_time, figures.recovery, figures.frequency
    where = f"{figures.application} in {figures.environment}" if figures.application else figures.environment
    weekly = "undefined" if frequency.per_week is None else f"{frequency.per_week:g} in the median week"
    lines = [
        f"{where}, {figures.since:%Y-%m-%d %H:%M} to {figures.until:%Y-%m-%d %H:%M} UTC",
        f"deployments          {frequency.count} ({figures.rollbacks} rollbacks), {weekly};"
        f" {figures.config_deployments} of configuration only",
        f"lead time            {_spread(lead)} ({lead.commits} commits)",
    ]
    if not with_source:
        lines[-1] = "lead time            not known: no --source"
    elif lead.commits:
        lines += [f"  {stage.name:<9}{_STAGES[stage.name]:<35}{_spread(stage)}" for stage in lead.stages]
    for what, share in (("failed", figures.change_failure), ("rework", figures.rework)):
        rate = "undefined" if share.rate is None else f"{share.rate:.1%}"
        lines.append(f"{what:<21}{rate} ({share.part} of {share.of})")
    lines.append(f"recovery             {_spread(recovery)} ({recovery.count} over, {recovery.open} open)")
    for one in figures.failures:
        end = "still open" if one.seconds is None else f"repaired after {shown(one.seconds)}"
        lines.append(
            f"  {one.at:%Y-%m-%d %H:%M:%S}  {one.application} {one.revision[:12]} {one.reason}, {end}"
        )
    if lead.unknown:
        lines.append(f"{lead.unknown} images come from commits that the source repository does not have")
    return lines


def _spread(spread: Spread) -> str:
    if spread.median is None:
        return "undefined"
    return f"median {shown(spread.median)}, p90 {shown(spread.p90)}"


def shown(seconds: float) -> str:
    """A duration in its two largest units, such as `2 h 5 min`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest, parts = round(seconds), []
    for unit, size in units:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
