"""`slipway new`: an application from a template."""

from __future__ import annotations

import json
from pathlib import Path

import click

KINDS = ("streamlit", "fastapi", "container")


@click.group("new")
def command() -> None:
    """Add what a template knows to the repository.

    Example: slipway new app hello
    """


@command.command("app")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="What the application is made with.")  # fmt: skip
@click.option("--owner", metavar="@TEAM", help="Who reviews its files, for CODEOWNERS; by default those who own the folders above.")  # fmt: skip
@click.option("--repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The checkout; default: the one around the current folder.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the files and the steps that remain as JSON.")
def app(name: str, kind: str, owner: str | None, repo: Path | None, dry_run: bool, as_json: bool) -> None:
    """Scaffold the application NAME: source with a test, image, base, an overlay for each environment.

    It is served at /NAME by the load balancer that all applications of an environment share. Its overlays say
    `unreleased`: until the first bump or promotion an environment has the application's Service and path, which
    answers 503, and no Pods. No file of Argo CD is touched; its ApplicationSets find the overlays.

    Everything is written, or nothing. A second run refuses, and names what is there. In the source or the deploy
    repository of a published pair, what belongs there is written, and the rest is said. Ends with 0 when done, 2 for
    a name that cannot be, 3 for one that is taken.

    Example: slipway new app hello --kind fastapi --owner @slipway/greeters
    """
    from slipway.scaffold.names import check_name, check_owner
    from slipway.scaffold.plan import make
    from slipway.scaffold.survey import look
    from slipway.scaffold.write import write

    check_name(name)
    if owner is not None:
        check_owner(owner)
    root = (repo or _root(Path.cwd())).resolve()
    plan = make(look(root), name, kind, owner)
    before = {path: (root / path).read_bytes() if (root / path).exists() else b"" for path in plan.changed}
    if not dry_run:
        write(plan, root)
    if as_json:
        said = {"name": name, "kind": kind, "path": f"/{name}", "image": plan.image, "halves": plan.halves}
        files = {"created": list(plan.created), "changed": list(plan.changed), "remaining": plan.remaining}
        click.echo(json.dumps({**said, **files, "dry_run": dry_run}))
        return
    for path in plan.created:
        click.echo(f"{'would create' if dry_run else 'created'} {path}")
    for path, text in plan.changed.items():
        click.echo(f"{'would change' if dry_run else 'changed'} {path}")
        if dry_run:
            click.echo(_difference(path, before[path], text), nl=False)
    if dry_run:
        click.echo("dry run: nothing was written")
        return
    click.echo("what remains:")
    for number, step in enumerate(plan.remaining, start=1):
        click.echo(f"  {number}. {step}")


def _difference(path: str, before: bytes, text: str) -> str:
    from slipway.kustomization.edit import unified

    return unified(path, before, text.encode())


def _root(folder: Path) -> Path:
    """The nearest folder upwards that is a half of a pair, or both; the folder itself when there is none."""
    for candidate in (folder, *folder.parents):
        if (candidate / "ci" / "pipeline.yaml").is_file() or (candidate / "overlays").is_dir():
            return candidate
    return folder
