"""`slipway check`: what is deployed from this repository, rendered, validated and linted."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The deploy repository; default: the one around the current folder.")  # fmt: skip
@click.option("--changed-since", metavar="REV", help="Report only overlays that the changes since a revision reach.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print findings and counts as JSON.")
@click.option("--sarif", type=click.Path(dir_okay=False, path_type=Path), help="Also write SARIF to this file.")  # fmt: skip
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Also write JUnit XML to this file.")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Render everything, and keep nothing.")
@click.option("--workers", type=click.IntRange(min=1), help="Overlays rendered at a time; default: one a core.")  # fmt: skip
def command(paths, repo, changed_since, as_json, sarif, junit, no_cache, workers) -> None:
    """Render, validate and lint every overlay that is deployed.

    Every folder that an ApplicationSet or Application deploys is rendered as Argo CD renders it, validated
    against the schemas of the cluster's Kubernetes version, and held against the rules. With PATHS, only overlays
    that lie there or read something there. Ends with 0 when clean, 1 with findings, 2 when it could not run.

    Example: slipway check --changed-since origin/main
    """
    from slipway.commands._bar import Bar
    from slipway.gate.check import Check, Selection, default_cache
    from slipway.gate.check_cache import CheckCache

    root = (repo or _root(Path.cwd())).resolve()
    selection = Selection(_relative(paths, root), _changed(root, changed_since))
    bar = Bar("overlays")
    with CheckCache(None if no_cache else default_cache()) as cache:
        check = Check(root, cache, workers=workers, progress=bar.show)
        report = check.run(selection)
        if sarif or junit:
            report.rules = check.abouts
    bar.clear()
    if sarif:
        sarif.write_text(json.dumps(report.as_sarif(), indent=1) + "\n")
    if junit:
        junit.write_text(report.as_junit())
    click.echo(json.dumps(report.as_json()) if as_json else report.as_text(), nl=as_json)
    sys.exit(1 if report.failed else 0)


def _root(folder: Path) -> Path:
    """The nearest folder upwards that holds overlays and Argo CD's objects."""
    from slipway.errors import InvalidInput

    for candidate in (folder, *folder.parents):
        if (candidate / "overlays").is_dir() and (candidate / "argocd").is_dir():
            return candidate
    raise InvalidInput(
        "no folder from here upwards has overlays and argocd",
        path=folder,
        fix="run it in a deploy repository, or name one with --repo",
    )


def _relative(paths: tuple[Path, ...], root: Path) -> tuple[str, ...]:
    """The paths as seen from the repository; the repository itself stands for no choice."""
    from slipway.errors import InvalidInput

    found = []
    for path in paths:
        near = Path(os.path.normpath(path.absolute()))
        whole = near if near.is_relative_to(root) else Path(os.path.normpath(root / path))
        if not whole.is_relative_to(root):
            raise InvalidInput(f"lies outside {root}", path=path)
        found.append(whole.relative_to(root).as_posix())
    return () if "." in found else tuple(found)


def _changed(root: Path, revision: str | None) -> frozenset[str] | None:
    if revision is None:
        return None
    from slipway.git.checkout import Checkout

    return frozenset(Checkout(root).changed_since(revision))
