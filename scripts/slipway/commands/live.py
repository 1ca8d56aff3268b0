"""`slipway live`: where a commit or an image is, and what keeps it from being live."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import click

from slipway.commands._writing import check_names

if TYPE_CHECKING:
    from slipway.live.verdict import Verdict

_PAUSE = 2.0
"""Seconds between two looks with --wait."""

_SIGNS = {"live": ("●", "green"), "rolling": ("◐", "yellow"), "waiting": ("○", "yellow")}


@click.command()
@click.argument("what", metavar="COMMIT|IMAGE")
@click.option("--env", "environments", multiple=True, metavar="ENV", help="Only there, and it must be live there. May be repeated.")  # fmt: skip
@click.option("--app", "apps", multiple=True, metavar="APP", help="Only this application. May be repeated.")
@click.option("--repo", required=True, envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository.")
@click.option("--branch", default="main", show_default=True, help="Branch that Argo CD follows.")
@click.option("--argocd", envvar="ARGOCD_SERVER", metavar="URL", help="Address of Argo CD; its token is taken from ARGOCD_AUTH_TOKEN.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Go on looking until there is a final answer.")
@click.option("--timeout", default=600, show_default=True, type=click.IntRange(min=1), help="Seconds to wait at most.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print every answer as JSON.")
def command(what, environments, apps, repo, branch, argocd, wait, timeout, as_json) -> None:
    """Tell where a commit or an image is: live, rolling, held, blocked, failed, and why.

    A commit of the source repository means the images built from it; one of the deploy repository means its state; an
    image is NAME:TAG or NAME@DIGEST. Live means that all Pods run exactly this digest and are ready. Ends with 0 when
    it is live, in every --env or else in every environment whose Git names it; 1 when it failed; 3 when something
    stands in its way; 5 when it may still come.

    Example: slipway live 3f2a9c1 --env dev --wait
    """
    from slipway.argocd_api import open_argocd

    check_names(*environments, *apps)
    server = open_argocd(argocd)
    until, told = time.monotonic() + timeout, ""
    while True:
        verdicts = _ask(what, environments, apps, repo, branch, server)
        shown = "\n".join(f"{one.environment}/{one.app} {one.state} {one.text}" for one in verdicts)
        if wait and shown != told:
            told = shown
            click.echo("\n".join(map(_line, verdicts)), err=True)
        if not wait or _is_over(verdicts, environments) or time.monotonic() > until:
            break
        time.sleep(_PAUSE)
    if as_json:
        click.echo(json.dumps({"asked": what, "verdicts": [one.as_dict() for one in verdicts]}))
    elif not wait:
        click.echo("\n".join(map(_line, verdicts)))
    sys.exit(_code(verdicts, environments))


def _ask(what: str, environments, apps, repo: str, branch: str, server) -> list[Verdict]:
    """Every answer, in the order of the environments."""
    from slipway.git.remote import RemoteRepo
    from slipway.live.answers import answers, not_built
    from slipway.live.subject import find, places

    with RemoteRepo(repo, branch=branch) as remote:
        subject = remote.ask(lambda tip: find(tip, what))
        if subject is None:
            return [not_built(environment) for environment in environments or ("",)]
        found = remote.ask(lambda tip: places(tip, subject, environments, apps))
    return answers(found, server.observe)


def _counted(verdicts: list[Verdict], environments) -> list[Verdict]:
    """Those that decide: all where environments were named, else where Git has it."""
    here = [one for one in verdicts if one.state not in ("not-there", "superseded", "held", "not-this-image")]
    return verdicts if environments else here or verdicts


def _is_over(verdicts: list[Verdict], environments) -> bool:
    counted = _counted(verdicts, environments)
    return all(one.is_final for one in counted)


def _code(verdicts: list[Verdict], environments) -> int:
    from slipway.live.verdict import FAILED, LIVE, STOPPED

    states = {one.state for one in _counted(verdicts, environments)}
    if states & set(FAILED):
        return 1
    if states & set(STOPPED):
        return 3
    return 0 if states == {LIVE} else 5


def _line(one: Verdict) -> str:
    from slipway.gate.findings import printable

    sign, colour = _SIGNS.get(one.state, ("✕", "red"))
    where = f"{one.environment}/{one.app}".strip("/") or "nowhere"
    since = f" since {one.since:%Y-%m-%d %H:%M:%S} UTC" if one.since else ""
    fix = f"\n    next: {one.fix}" if one.fix else ""
    runbook = f"\n    runbook: {one.runbook}" if one.runbook else ""
    head = click.style(f"{sign} {where}: {one.state}", fg=colour)
    return f"{head}{since}: {printable(one.text)}{fix}{runbook}"
