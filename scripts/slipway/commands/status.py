"""`slipway status`: what runs where."""

from __future__ import annotations

import sys

import click

from slipway import paths


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show what runs where, with addresses and users; exit code 1 when something is down.

    Example: slipway status --json
    """
    from rich.console import Console

    from slipway.platform import status

    found = status.read(paths.state())
    if as_json:
        click.echo(status.as_json(found))
    else:
        status.show(found, Console(highlight=False))
    sys.exit(0 if found.up else 1)
