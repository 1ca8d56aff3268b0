"""`slipway up`: brings the local platform up, or repairs it."""

from __future__ import annotations

import click

from slipway import paths


@click.command("up")
@click.option(
    "--context", metavar="NAME", help="Use this kubeconfig context instead of the embedded cluster."
)
@click.option("--kubeconfig", type=click.Path(dir_okay=False), help="The kubeconfig that has the context.")
@click.option(
    "--no-delivery", is_flag=True, help="Stop before the pipeline builds and deploys the application."
)
def command(context: str | None, kubeconfig: str | None, no_delivery: bool) -> None:
    """Bring the local platform up, publish the pair and deliver the application; again is a no-op.

    Interrupted or killed at any point, the next call goes on or starts clean by itself.

    Example: slipway up
    """
    from rich.console import Console

    from slipway.platform import status
    from slipway.platform.up import Up
    from slipway.progress import Steps

    with Steps() as steps:
        Up(paths.state(), steps, context=context, kubeconfig=kubeconfig).run(deliver=not no_delivery)
        steps.table()
    status.show(status.read(paths.state()), Console(highlight=False))
