"""`slipway tools`: the pinned tools, built from Go modules and carried between machines."""

from __future__ import annotations

import json
from pathlib import Path

import click

from slipway import toolchain


@click.group("tools")
def command() -> None:
    """Build, list, export and import the pinned tools.

    Example: slipway tools build
    """


@command.command("build")
@click.argument("groups", nargs=-1, type=click.Choice(toolchain.GROUPS))
def build(groups: tuple[str, ...]) -> None:
    """Install what building and testing needs, and build what is not in the cache yet; interrupted, the next call goes on.

    Example: slipway tools build cluster forge
    """
    from slipway.platform import debian
    from slipway.progress import Steps

    with Steps() as steps:
        with steps.step("Debian packages") as step:
            step.note(debian.provide())
        for group in groups or toolchain.GROUPS:
            with steps.step(f"tools: {group}") as step:
                if not toolchain.build(group, step.advance):
                    step.note("already built")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List every tool with its group and path.

    Example: slipway tools list --json
    """
    rows = [
        {"group": group, "key": toolchain.key(group), "built": toolchain.built(group), "tools": _names(group)}
        for group in toolchain.GROUPS
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['group']:<14} {row['key']}  {', '.join(row['tools']) or 'not built'}")


def _names(group: str) -> list[str]:
    folder = toolchain.home(group) / "bin"
    return sorted(f.name for f in folder.iterdir()) if folder.is_dir() else []


@command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(file: Path) -> None:
    """Write every built tool into one compressed archive.

    Example: slipway tools export slipway-tools.tar.zst
    """
    from slipway import toolchain_archive

    groups = toolchain_archive.export(file)
    click.echo(f"{file}: {', '.join(groups)}, {file.stat().st_size >> 20} MiB")


@command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_(file: Path) -> None:
    """Take over tools that another machine built from the same sources with the same toolchain.

    Example: slipway tools import slipway-tools.tar.zst
    """
    from slipway import toolchain_archive

    click.echo(f"imported {', '.join(toolchain_archive.import_(file))}")
