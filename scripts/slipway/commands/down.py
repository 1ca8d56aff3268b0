"""`slipway down`: removes the local platform."""

from __future__ import annotations

import click

from slipway import paths


@click.command("down")
def command() -> None:
    """Remove the local platform, leaving nothing behind but the cache.

    Example: slipway down
    """
    from slipway.platform.down import down
    from slipway.progress import Steps

    with Steps() as steps, steps.step("platform removed") as step:
        if not down(paths.state()):
            step.note("there was none")
