"""The command line: which verbs there are, and the single place where errors become text and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import sys

import click

from slipway.errors import SlipwayError

VERBS = {
    "up": "Bring the local platform up, or repair it",
    "down": "Remove the local platform, leaving nothing behind",
    "status": "Show what runs where, with addresses and users",
    "bootstrap": "Install Argo CD in a cluster and hand the environments over to it",
    "tools": "Build, list, export and import the pinned tools",
    "ci": "The pipeline's stages: test, build, scan, push, sign",
    "check": "Render, validate and lint every overlay that is deployed",
    "diff": "Show what a change does to each cluster, rendered, before it is merged",
    "gate": "Check and compare a pull request, and tell the forge",
    "live": "Tell where a commit or an image is: live, rolling, held, failed, and why",
    "bump": "Write tag and digest of new images into an environment",
    "promote": "Bring what runs in one environment to the next, digest by digest",
    "rollback": "Return an application to an earlier state and hold it there",
    "release": "Lift the hold of a rollback",
    "freeze": "Close an environment to writes for a time",
    "calendar": "Show when each environment is open",
    "dora": "Print how fast and how safely is delivered, from Git and the event log",
    "retention": "Say which images the registry must keep, and check its lifecycle policy",
    "set-image": "Edit image entries in one kustomization file, byte-exactly",
    "new": "Scaffold an application: source, image, base and overlays",
    "pair": "Publish the two halves of this repository to their remotes",
}
"""Verb to summary; the module is `slipway.commands.<verb>`, loaded only when it is used."""


class LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is named, so that start-up stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        return importlib.import_module(f"slipway.commands.{name.replace('-', '_')}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Slipway drives a GitOps repository pair: images in, reviewed commits out, Argo CD in between.

    Example: slipway status
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit; `argv` without the program's name, default the process's own."""
    args = sys.argv[1:] if argv is None else argv
    try:
        cli.main(args, prog_name="slipway", standalone_mode=False)
    except SlipwayError as exc:
        if "--debug" in args:
            raise
        if "--json" in args:
            click.echo(json.dumps(exc.as_dict()))
        click.echo(f"slipway: {exc.render()}", err=True)
        sys.exit(exc.exit_code)
    except click.exceptions.Abort:
        click.echo("slipway: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as exc:
        exc.show()
        sys.exit(exc.exit_code)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
