"""`slipway diff`: what a change does to every cluster, rendered, before it is merged."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("base")
@click.argument("head", default="HEAD")
@click.option("--repo", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", help="Any clone of the deploy repository, bare or not; default: the current folder.")  # fmt: skip
@click.option("--as-is", is_flag=True, help="Compare with BASE itself, not with what HEAD branched off from.")
@click.option("--source-repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Local clone of the source repository: tells which commits go live.")  # fmt: skip
@click.option("--allow-prune", is_flag=True, help="Removals beyond the prune budget are approved.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), help="Write a comment for the forge to this file; - for standard output.")  # fmt: skip
@click.option("--details-url", metavar="URL", help="Where the complete diff will be, for the comment.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--no-cache", is_flag=True, help="Render everything, and keep nothing.")
@click.option("--workers", type=click.IntRange(min=1), help="Folders rendered at a time; default: one a core.")  # fmt: skip
def command(base, head, repo, as_is, source_repo, allow_prune, markdown, details_url, html, as_json, no_cache, workers) -> None:  # fmt: skip
    """Show what HEAD changes in everything that is deployed, compared with where it branched off from BASE.

    Both sides are rendered from Git objects; nothing is checked out and no cluster is asked. Images come first, then
    objects that are added, changed or removed; secrets are hidden. Ends with 1 when something cannot be rendered, or
    when more is removed than the environment's prune budget allows, or something that holds data.

    Example: slipway diff origin/main --html diff.html
    """
    from slipway.commands._bar import Bar
    from slipway.gate.check import default_cache
    from slipway.gate.check_cache import CheckCache
    from slipway.gate.diff import compare
    from slipway.git.checkout import Checkout

    checkout = Checkout(repo)
    base, head = checkout.resolve(base), checkout.resolve(head)
    if not as_is:
        base = checkout.merge_base(base, head)
    bar = Bar("folders")
    with CheckCache(None if no_cache else default_cache()) as cache:
        options = {"source_repo": source_repo, "allow_prune": allow_prune, "workers": workers}
        result = compare(repo, base, head, cache=cache, progress=bar.show, **options)
    bar.clear()
    if html:
        html.write_text(result.as_html(), encoding="utf-8")
    if markdown:
        with click.open_file(str(markdown), "w", encoding="utf-8") as file:
            file.write(result.as_markdown(details_url=details_url))
    if as_json:
        click.echo(json.dumps(result.as_json()))
    elif str(markdown) != "-":
        click.echo(result.as_text(), nl=False)
    sys.exit(1 if result.blocked else 0)
