"""`slipway release`: lift the hold that a rollback left behind."""

from __future__ import annotations

import click

from slipway.commands._writing import check_names, forge_for, open_repo, print_submitted, writing_options


@click.command()
@click.argument("app")
@click.option("--env", "environment", required=True, help="Environment in which the application is held.")
@writing_options
def command(app, environment, **options) -> None:
    """Lift the hold on an application, so that the next bump or promotion may land.

    No image changes. An application that is not held is left as it is.

    Example: slipway release board --env prod --repo https://git.example/deploy.git
    """
    from slipway.writing.change import preview, submit
    from slipway.writing.release import Release

    check_names(app, environment)
    release = Release(app, environment)
    with open_repo(options) as repo:
        delivery = repo.ask(release.read_policy).delivery
        submitted, diff = None, ""
        if options["dry_run"]:
            change = preview(repo, release.propose)
            diff = release.diff(change) if change else ""
        else:
            forge = forge_for(delivery, options)
            submitted = submit(repo, release.propose, delivery=delivery, branch=release.branch, forge=forge)
    hold = release.hold
    details = {"environment": environment, "app": app, "released": hold and hold.model_dump(mode="json")}
    print_submitted(submitted, options, _lines(release), **details, diff=diff)


def _lines(release) -> list[str]:
    """What was held, and what happens next."""
    if release.hold is None:
        return [f"{release.app} is not held in {release.environment}"]
    when = "when the pull request is merged, " if release.policy.delivery != "direct" else ""
    lands = "promotion" if release.policy.delivery != "direct" else "bump or promotion"
    return [
        f"{release.app} was held in {release.environment} {release.held}",
        f"{when}the next {lands} may land",
    ]
