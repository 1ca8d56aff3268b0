"""`slipway gate`: a pull request of the deploy repository, checked, compared, and the forge told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.option("--pr", "number", type=click.IntRange(min=1), required=True, envvar="CHANGE_ID", help="Number of the pull request.")  # fmt: skip
@click.option("--repo", required=True, envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository.")
@click.option("--forge", type=click.Choice(["gitea", "github"]), envvar="SLIPWAY_FORGE", help="Kind of forge; by default told from the address.")  # fmt: skip
@click.option("--forge-api", envvar="SLIPWAY_FORGE_API", metavar="URL", help="Address of the forge's API, where it is not the usual one.")  # fmt: skip
@click.option("--source-repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Local clone of the source repository: tells which commits go live.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for diff.html, check.sarif, check.xml and gate.json.")  # fmt: skip
@click.option("--details-url", metavar="URL", help="Where diff.html can be read, for the comment; in Jenkins told by itself.")  # fmt: skip
@click.option("--mirror", type=click.Path(file_okay=False, path_type=Path), help="Bare repository to fetch into and keep; default: a new one each time.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print the comment, and tell the forge nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--workers", type=click.IntRange(min=1), help="Folders rendered at a time; default: one a core.")  # fmt: skip
def command(number, repo, forge, forge_api, source_repo, out, details_url, mirror, dry_run, as_json, workers) -> None:  # fmt: skip
    """Check and compare a pull request as it would be after its merge, comment on it, and set its statuses.

    The statuses are slipway/check and slipway/diff; branch protection should require both. The comment is one and the
    same, updated. The label slipway/prune-approved lets removals pass. Rules and tools are those installed here, so a
    pull request cannot change its judge. Ends with 0 when it may be merged, 1 when not, 2 when that cannot be told.

    Example: slipway gate --pr 12 --repo https://git.example/deploy.git --out out
    """
    from slipway.forge.pull_requests import open_forge
    from slipway.gate.check import default_cache
    from slipway.gate.check_cache import CheckCache
    from slipway.gate.gate_comment import comment
    from slipway.gate.pull_request import Gate

    talk = open_forge(repo, kind=forge, api=forge_api)
    url = details_url or _artifact(out)
    with CheckCache(default_cache()) as cache:
        gate = Gate(talk, repo, cache, source_repo, url, mirror, workers, say=not dry_run)
        outcome = gate.run(number)
    if outcome is None:
        click.echo(json.dumps({"pull_request": number, "passed": None}) if as_json else f"pull request {number} is not open: nothing to do")  # fmt: skip
        return
    if out:
        _write(out, outcome)
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    elif dry_run:
        click.echo(comment(outcome, url))
    else:
        verdict = "may be merged" if outcome.passed else "must not be merged as it is"
        click.echo(f"pull request {number} at {outcome.proposed.head[:12]} {verdict}: {outcome.comment_url or 'a newer commit is there already'}")  # fmt: skip
    sys.exit(0 if outcome.passed else 1)


def _artifact(out: Path | None) -> str | None:
    """Where Jenkins shows an archived file of this build."""
    import os

    build = os.environ.get("BUILD_URL")
    return f"{build.rstrip('/')}/artifact/{out.as_posix()}/diff.html" if build and out else None


def _write(out: Path, outcome) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "gate.json").write_text(json.dumps(outcome.as_json(), indent=1) + "\n", encoding="utf-8")
    (out / "check.sarif").write_text(json.dumps(outcome.report.as_sarif(), indent=1) + "\n", encoding="utf-8")
    (out / "check.xml").write_text(outcome.report.as_junit(), encoding="utf-8")
    if outcome.diff:
        (out / "diff.html").write_text(outcome.diff.as_html(), encoding="utf-8")
