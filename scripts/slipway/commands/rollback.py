"""`slipway rollback`: one application in one environment goes back to earlier images, and stays there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from slipway.commands._writing import (
    check_names,
    forge_for,
    one_line,
    open_repo,
    parse_author,
    print_submitted,
    writing_options,
)
from slipway.errors import InvalidInput, Unreachable


@click.command()
@click.argument("app")
@click.option("--env", "environment", required=True, help="Environment to roll back in.")
@click.option("--to", metavar="REV", help="Commit of the deploy repository whose images come back, abbreviated or whole; by default those before the last bump.")  # fmt: skip
@click.option("--reason", required=True, metavar="WHY", help="Why; goes into the commit and the hold.")
@click.option("--during-freeze", metavar="WHY", help="Roll back although the environment is frozen; the reason goes into the commit.")  # fmt: skip
@click.option("--source-repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Local clone of the source repository: tells which commits are withdrawn.")  # fmt: skip
@click.option("--public-key", envvar="COSIGN_PUBLIC_KEY", help="Key to verify signatures with, when the policy's own is not in the repository.")  # fmt: skip
@click.option(
    "--ecr", is_flag=True, envvar="SLIPWAY_ECR", help="Log in to ECR with this machine's AWS identity."
)
@writing_options
def command(app, environment, to, reason, during_freeze, source_repo, public_key, ecr, **options) -> None:
    """Return an application to earlier images and hold it there.

    Only tags and digests go back; other edits made since stay. Without --to, the last bump or promotion is reverted,
    and repeating the command goes back further. Until `slipway release`, bump and promote leave the application alone.

    Example: slipway rollback board --env prod --reason 'v3 loses orders' --repo https://git.example/deploy.git
    """  # fmt: skip
    from slipway.writing.change import preview, submit
    from slipway.writing.evidence import Evidence
    from slipway.writing.rollback import Order, Rollback

    check_names(app, environment)
    if to is not None and not re.fullmatch(r"[0-9a-f]{4,40}", to.lower()):
        raise InvalidInput(f"{to!r} is no commit", fix="give at least four hex digits of its id")
    why = one_line(during_freeze, "--during-freeze") if during_freeze is not None else None
    order = Order(app, environment, one_line(reason, "--reason"), _who(options), to and to.lower(), why)
    with Evidence(ecr=ecr, source=source_repo, public_key=public_key) as evidence, open_repo(options) as repo:
        rollback = Rollback(order, evidence)
        delivery = repo.ask(rollback.read_policy).delivery
        submitted, diff = None, ""
        if options["dry_run"]:
            change = preview(repo, rollback.propose)
            diff = rollback.diff(change) if change else ""
        else:
            forge = forge_for(delivery, options)
            try:
                submitted = submit(
                    repo, rollback.propose, delivery=delivery, branch=order.branch, forge=forge
                )
            except Unreachable as exc:
                raise _doubtful(exc, rollback) from exc
        print_submitted(submitted, options, _lines(rollback), **_details(rollback), diff=diff)


def _who(options) -> str:
    """Who holds: the commit's author, or the user of this machine."""
    author = parse_author(options["author"])
    return author.name if author else os.environ.get("USER") or "slipway-bot"


def _doubtful(exc: Unreachable, rollback) -> Unreachable:
    """The error with the one way to repeat the command that cannot go back twice."""
    if rollback.goal is None or rollback.order.to:
        return exc
    return Unreachable(exc.message, fix=f"check the network, then repeat with --to {rollback.goal.sha[:12]}")


def _details(rollback) -> dict[str, object]:
    hold = rollback.hold
    return {
        "environment": rollback.order.environment,
        "app": rollback.order.app,
        "to": rollback.goal.sha,
        "results": [result.as_dict() for result in rollback.results],
        "kept": rollback.kept,
        "withdrawn": [commit.sha for commit in rollback.withdrawn],
        "hold": hold and hold.model_dump(mode="json"),
    }


def _lines(rollback) -> list[str]:
    """What goes back and what stays, which bumps are withdrawn, and the hold."""
    from slipway.registry.references import pin

    order, at = rollback.order, rollback.goal.sha[:12]
    lines = [
        f"{order.where}: {r.old.short} {pin(r.old)} → {pin(r.build.reference)}" for r in rollback.results
    ]
    lines += [f"{order.where}: {name} had no entry at {at}, it stays" for name in rollback.kept]
    lines += [f"reverts {c.sha[:12]} {c.message.partition(chr(10))[0]}" for c in rollback.withdrawn]
    if not rollback.results:
        lines.append(f"{order.where}: already has the images of {at}")
    if freeze := rollback.freeze:
        lines.append(
            f"{order.environment} is frozen ({freeze.name}: {freeze.reason}): Argo CD syncs by hand only, "
            f"`argocd app sync {order.environment}-{order.app}`"
        )
    if hold := rollback.hold:
        merged = rollback.results and rollback.policy.delivery != "direct"
        held = "will be held with the merge" if merged else "is held"
        lines.append(f"{order.app} {held} in {order.environment} by {hold.by}: {hold.reason}")
        lines.append(f"`slipway release {order.app} --env {order.environment}` lifts the hold")
    elif not rollback.results:
        lines.append(f"{order.app} is not held in {order.environment}")
    return lines
