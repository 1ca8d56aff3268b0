"""`slipway pair`: the two remotes that this repository is published to."""

from __future__ import annotations

import json

import click

from slipway import paths


@click.group("pair")
def command() -> None:
    """Publish the two halves of this repository to their remotes.

    Example: slipway pair publish --source https://git.example/app --deploy https://git.example/app-deploy
    """


@command.command("publish")
@click.option("--source", metavar="URL", help="Remote of the source half.")
@click.option("--deploy", metavar="URL", help="Remote of the deploy half.")
@click.option("--revision", default="HEAD", show_default=True, help="What to publish.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def publish(source: str | None, deploy: str | None, revision: str, as_json: bool) -> None:
    """Split a commit into its halves and merge each into its remote's main.

    What people and `slipway bump` wrote there stays; lines that both sides changed are refused.
    Credentials: environment SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD, or git's own helper.
    SLIPWAY_COMMIT_KEY names the OpenPGP key that the deploy half's commits are signed with, if any.

    Example: slipway pair publish --deploy https://git.example/app-deploy
    """
    from slipway.git.checkout import Checkout
    from slipway.pair import publish as publish_half

    checkout = Checkout(paths.CHECKOUT)
    if checkout.dirty():
        click.echo("note: uncommitted changes are not published", err=True)
    remotes = {"source": source, "deploy": deploy}
    if not any(remotes.values()):
        raise click.UsageError("name at least one of --source and --deploy")
    done = [publish_half(checkout, half, url, revision) for half, url in remotes.items() if url]
    if as_json:
        click.echo(json.dumps([vars(p) for p in done]))
        return
    for publication in done:
        word = "published" if publication.changed else "already in step"
        click.echo(f"{publication.half}: {word}, main is at {publication.commit[:12]}")
