"""`slipway promote`: what runs in one environment goes to the next, digest by digest."""

from __future__ import annotations

import os
from pathlib import Path

import click

from slipway.commands._writing import (
    check_names,
    forge_for,
    one_line,
    open_repo,
    print_submitted,
    writing_options,
)
from slipway.errors import InvalidInput


@click.command()
@click.argument("apps", nargs=-1, metavar="[APP]...")
@click.option("--to", "environment", required=True, help="Environment to promote to; its policy names the source.")  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every application that both environments have.")
@click.option("--from-git", is_flag=True, help="Take what Git names in the source environment, without asking Argo CD what runs.")  # fmt: skip
@click.option("--argocd", envvar="ARGOCD_SERVER", metavar="URL", help="Address of Argo CD; its token is taken from ARGOCD_AUTH_TOKEN.")  # fmt: skip
@click.option("--source-repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Local clone of the source repository: tells older from newer, and which commits go live.")  # fmt: skip
@click.option("--public-key", envvar="COSIGN_PUBLIC_KEY", help="Key to verify signatures with, when the policy's own is not in the repository.")  # fmt: skip
@click.option(
    "--ecr", is_flag=True, envvar="SLIPWAY_ECR", help="Log in to ECR with this machine's AWS identity."
)
@click.option("--add", is_flag=True, help="Add entries that the target lacks.")
@click.option("--allow-older", metavar="WHY", help="Promote even an older build; the reason goes into the commit.")  # fmt: skip
@click.option("--writer", envvar="SLIPWAY_WRITER", metavar="NAME", help="Name of this automation; by default told from the CI job.")  # fmt: skip
@writing_options
def command(apps, environment, every, from_git, argocd, add, allow_older, writer, **options) -> None:
    """Bring what runs in an environment's source to it.

    The digests are those that Argo CD says are live and healthy, for as long as the policy asks; tags are copied and
    never resolved again. All applications go in one commit or one pull request, as the policy says.

    Example: slipway promote board --to prod --repo https://git.example/deploy.git --argocd https://argocd.example
    """  # fmt: skip
    from slipway.argocd_api import open_argocd
    from slipway.writing.change import preview, submit
    from slipway.writing.evidence import Evidence
    from slipway.writing.origin import Origins
    from slipway.writing.promote import Order, Promotion
    from slipway.writing.writer import writer_name

    if bool(apps) == every:
        what = "applications and --all" if apps else "neither applications nor --all"
        raise InvalidInput(what, fix="give one of the two")
    check_names(environment, *apps)
    why = one_line(allow_older, "--allow-older") if allow_older is not None else None
    order = Order(tuple(sorted(set(apps))), environment, add, why, writer_name(writer, os.environ))
    evidence = Evidence(ecr=options["ecr"], source=options["source_repo"], public_key=options["public_key"])
    with evidence, open_repo(options) as repo:
        running = Origins(None if from_git else open_argocd(argocd), options["branch"])
        promotion = Promotion(order, evidence, running)
        policy, _ = repo.ask(promotion.read_policies)
        submitted, diff = None, ""
        if options["dry_run"]:
            change = preview(repo, promotion.propose)
            diff = promotion.diff(change) if change else ""
        else:
            forge = forge_for(policy.delivery, options)
            submitted = submit(
                repo, promotion.propose, delivery=policy.delivery, branch=order.branch, forge=forge
            )
        results = [result.as_dict() for result in promotion.results]
        print_submitted(submitted, options, _lines(promotion), results=results, diff=diff)


def _lines(promotion) -> list[str]:
    """What is said of each application, and of each of its images."""
    from slipway.registry.references import pin

    lines = []
    for origin in promotion.origins:
        lines.append(str(origin))
        for result in (r for r in promotion.results if r.app == origin.overlay.app):
            new = result.build.reference
            where = f"{promotion.policy.name}/{result.app}: {new.short}"
            if not result.changed:
                lines.append(f"{where} already at {pin(new)}")
                continue
            why = f" ({result.decision})" if result.decision else ""
            lines.append(f"{where} {pin(result.old)} → {pin(new)}{why}")
    lines += [f"{app}: not in {promotion.policy.name}, left out" for app in promotion.skipped]
    source = promotion.policy.from_
    lines += [f"{app}: nothing was delivered to {source} yet, left out" for app in promotion.waiting]
    warning = promotion.warning()
    return [*lines, *([warning] if warning else [])]
