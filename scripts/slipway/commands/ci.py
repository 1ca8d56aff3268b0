"""`slipway ci`: the pipeline's stages; the same command on a laptop and in Jenkins."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path

import click

from slipway.pipeline import commit, config, osv, waivers
from slipway.pipeline.config import Config
from slipway.pipeline.records import Output


@click.group("ci")
def command() -> None:
    """The pipeline's stages: test, build, scan, push, sign.

    Example: slipway ci build --image board-backend
    """


def stage(function: Callable) -> Callable:
    """Give a stage the options all of them share, and the configuration instead of its path."""

    @click.option(
        "--config", "file", type=click.Path(path_type=Path), default=config.FILE, help="Pipeline settings."
    )
    @click.option("--out", type=click.Path(path_type=Path), default=Path("out"), help="Folder of results.")
    @click.option("--image", "names", multiple=True, help="Only this image; may be given again.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(function)
    def wrapped(file: Path, out: Path, names: tuple[str, ...], as_json: bool, **options) -> None:
        settings = config.load(file)
        function(settings, settings.select(names), Output(out), _Printer(as_json), **options)

    return wrapped


class _Printer:
    """Lines for a person, or one JSON document at the end."""

    def __init__(self, as_json: bool):
        self.as_json = as_json

    def line(self, text: str) -> None:
        if not self.as_json:
            click.echo(text)

    def result(self, data: object) -> None:
        if self.as_json:
            click.echo(json.dumps(data, indent=2))


def each(images: list[str], work: Callable[[str], object]) -> dict[str, object]:
    """Do the work for every image, two at a time, and return the results in order; the first error is raised."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(images, pool.map(work, images), strict=True))


@command.command("guard")
@click.option(
    "--config", "file", type=click.Path(path_type=Path), default=config.FILE, help="Pipeline settings."
)
@click.option(
    "--since", envvar="SLIPWAY_SINCE", help="Look at all commits after this one, not at HEAD alone."
)
def guard(file: Path, since: str | None) -> None:
    """Print `build`, or `skip` when there is nothing but bumps to build.

    Example: slipway ci guard
    """
    rules = config.load(file).guard
    skip = commit.only_bumps(Path(), since or None, rules.paths, rules.bump_trailer)
    click.echo("skip" if skip else "build")


@command.command("test")
@click.option("--again", is_flag=True, help="Run them even if they passed on the same files before.")
@stage
def test(settings: Config, images: list[str], output: Output, printer: _Printer, again: bool) -> None:
    """Run the application's own tests, unless they passed on exactly these files.

    Example: slipway ci test --again
    """
    from slipway.pipeline import test as test_stage

    stands = test_stage.run(settings, Path(), commit.read(), printer.line, again)
    printer.result({"passed": True, "in": stands})


@command.command("build")
@stage
def build(settings: Config, images: list[str], output: Output, printer: _Printer) -> None:
    """Build the images of the checked-out commit into archives.

    Example: slipway ci build --image board-backend
    """
    from slipway.pipeline.build import build as build_stage

    head = commit.read()

    def one(image: str) -> dict:
        record = build_stage(
            settings, image, head, Path(), output, lambda line: printer.line(f"{image}: {line}")
        )
        printer.line(f"{image}: {record.tag} {record.digest}")
        return vars(record)

    printer.result(list(each(images, one).values()))


@command.command("scan")
@click.option("--update-db", is_flag=True, help="Fetch the vulnerability database first.")
@click.option(
    "--db", type=click.Path(path_type=Path), envvar="SLIPWAY_OSV_DB", help="Folder of the database."
)
@click.option(
    "--waivers", "file_of_waivers", type=click.Path(path_type=Path), default=waivers.FILE, help="Waivers."
)
@stage
def scan(
    settings: Config,
    images: list[str],
    output: Output,
    printer: _Printer,
    update_db: bool,
    db: Path | None,
    file_of_waivers: Path,
) -> None:
    """Look for known vulnerabilities in the built archives, offline; findings fail the stage.

    Example: slipway ci scan --update-db
    """
    from slipway.pipeline import scan as scan_stage

    now = datetime.now(UTC)
    accepted = waivers.load(file_of_waivers)
    if update_db:
        rules = settings.scan
        database, reason = osv.update(osv.folder(db), rules.feed, rules.ecosystems, now, rules.refresh_hours)
        printer.line(f"{reason}; using the {database.text()}" if reason else database.text())
    reports = each(
        images, lambda image: scan_stage.scan(settings, image, output, osv.folder(db), accepted, now)
    )
    for image, report in reports.items():
        for line in scan_stage.text(image, report):
            printer.line(line)
    printer.result(reports)
    scan_stage.fail(reports)


@command.command("push")
@stage
def push(settings: Config, images: list[str], output: Output, printer: _Printer) -> None:
    """Push the scanned archives, byte for byte; a tag never moves.

    Example: slipway ci push
    """
    from slipway.pipeline.push import push as push_stage

    pushed = []
    for image in images:
        record, new = push_stage(image, output, os.environ)
        state = "pushed" if new else "was there already"
        printer.line(f"{image}: {state}: {record.image}:{record.tag} {record.digest}")
        pushed.append(vars(record) | {"new": new})
    printer.result(pushed)


@command.command("sign")
@click.option(
    "--key", envvar="COSIGN_KEY", required=True, help="Signing key: a file, or a URI such as awskms:///…"
)
@click.option(
    "--public-key", envvar="COSIGN_PUBLIC_KEY", help="Verify with this key instead of the signing key's own."
)
@stage
def sign(
    settings: Config, images: list[str], output: Output, printer: _Printer, key: str, public_key: str | None
) -> None:
    """Sign the pushed digests and verify the signatures.

    Example: slipway ci sign --key cosign.key
    """
    from slipway.pipeline.sign import sign as sign_stage

    signed = []
    for image in images:
        record, new = sign_stage(image, output, key, public_key, os.environ)
        printer.line(
            f"{image}: {'signed and verified' if new else 'was signed already'}: {record['reference']}"
        )
        signed.append(record)
    printer.result(signed)
