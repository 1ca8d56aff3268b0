"""`slipway bump`: new images into an environment, in one commit, without losing anybody's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from slipway.commands._writing import check_names, parse_author
from slipway.errors import InvalidInput


@click.command()
@click.argument("images", nargs=-1, metavar="[IMAGE=REF]...")
@click.option("--repo", required=True, envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository.")
@click.option("--branch", default="main", show_default=True, help="Branch to write to.")
@click.option(
    "--env", "environments", multiple=True, required=True, help="Environment to write into; may be repeated."
)
@click.option("--app", help="Only this application; also the fastest in a large repository.")
@click.option("--digests", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of *.json written by `slipway ci push`.")  # fmt: skip
@click.option("--source-commit", help="Source commit of the images given as IMAGE=REF.")
@click.option("--build", type=click.IntRange(min=0), help="Build number of all images.")
@click.option("--source-repo", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Local clone of the source repository: its history tells older from newer.")  # fmt: skip
@click.option("--public-key", envvar="COSIGN_PUBLIC_KEY", help="Key to verify signatures with, when the policy's own is not in the repository.")  # fmt: skip
@click.option(
    "--ecr", is_flag=True, envvar="SLIPWAY_ECR", help="Log in to ECR with this machine's AWS identity."
)
@click.option("--add", is_flag=True, help="Add missing entries; needs --app.")
@click.option(
    "--allow-older", metavar="WHY", help="Write even an older build; the reason goes into the commit."
)
@click.option("--writer", envvar="SLIPWAY_WRITER", metavar="NAME", help="Name of this automation; by default told from the CI job.")  # fmt: skip
@click.option("--author", envvar="SLIPWAY_GIT_AUTHOR", metavar="'NAME <MAIL>'", help="Author of the commit.")
@click.option(
    "--timeout", default=120, show_default=True, type=click.IntRange(min=1), help="Seconds to keep trying."
)
@click.option("--dry-run", is_flag=True, help="Show the change and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(images, environments, app, digests, source_commit, build, add, allow_older, **options) -> None:
    """Write tag and digest of new images into an environment.

    Any number of images lands in one commit, or none of them does. Every image must be in the registry, and an
    older build is refused. A REF is [NAME]:TAG, [NAME]@DIGEST or both.

    Example: slipway bump --repo https://git.example/deploy.git --env dev --app board --digests out/digests
    """
    from slipway.git.remote import RemoteRepo
    from slipway.writing.order import Order
    from slipway.writing.writer import writer_name

    wanted = [*_from_arguments(images, source_commit, build), *_from_folder(digests, source_commit, build)]
    _check(wanted, environments, app, add, allow_older)
    writer = writer_name(options["writer"], os.environ)
    order = Order(tuple(wanted), tuple(dict.fromkeys(environments)), app, add, allow_older, writer)
    author = parse_author(options["author"])
    repo = RemoteRepo(options["repo"], branch=options["branch"], author=author, deadline=options["timeout"])
    with repo:
        repo.start(order.paths)
        # Git works while the rest is loaded.
        from slipway.writing.bump import Bump
        from slipway.writing.evidence import Evidence

        asked = {"ecr": options["ecr"], "source": options["source_repo"], "public_key": options["public_key"]}
        with Evidence(**asked) as evidence:
            for one in wanted:
                evidence.start(one.reference(None))
            _run(Bump(order, evidence), repo, options)


def _run(bump, repo, options) -> None:
    if options["dry_run"]:
        base, proposal = repo.ask(lambda tip: (tip.sha, bump.propose(tip)))
        _print(bump, None, 0, base, options, bump.diff(proposal) if proposal else "")
    else:
        landed = repo.update(bump.propose)
        _print(bump, landed.commit, landed.attempts, landed.base, options)


def _from_arguments(images, revision: str | None, build: int | None) -> list:
    from slipway.registry.references import Reference, parse_assignment
    from slipway.writing.lineage import Build
    from slipway.writing.order import Wanted

    pairs = [parse_assignment(text) for text in images]
    return [Wanted(image, new, Build(Reference(image), revision, build)) for image, new in pairs]


def _from_folder(folder: Path | None, revision: str | None, build: int | None) -> list:
    """The images that `slipway ci push` recorded."""
    from slipway.registry.references import NewRef, Reference, check_name, check_new
    from slipway.writing.lineage import Build, parse_time
    from slipway.writing.order import Wanted

    files = sorted(folder.glob("*.json")) if folder else []
    if folder and not files:
        raise InvalidInput("no *.json in the folder", path=folder, fix="run `slipway ci push` first")
    wanted = []
    for file in files:
        try:
            record = json.loads(file.read_text())
            image, new = check_name(record["image"]), check_new(NewRef(record["tag"], record["digest"]))
            number = build if build is not None else record.get("build")
            known = Build(
                Reference(image),
                revision or record.get("revision"),
                number and int(number),
                parse_time(record.get("created")),
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            fix = "it needs image, tag and digest, as `slipway ci push` writes them"
            raise InvalidInput(f"not the record of a pushed image: {exc!r}", path=file, fix=fix) from exc
        wanted.append(Wanted(image, new, known))
    return wanted


def _check(wanted: list, environments, app: str | None, add: bool, allow_older: str | None) -> None:
    if not wanted:
        raise InvalidInput("no image given", fix="give IMAGE=REF, or --digests DIR")
    names = [one.image for one in wanted]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(f"{twice} is given twice", fix="give each image once")
    if add and not app:
        raise InvalidInput("--add needs --app", fix="name the application whose overlay gets the entry")
    if allow_older is not None and not allow_older.strip():
        raise InvalidInput("--allow-older needs a reason", fix="say why, it goes into the commit")
    check_names(*environments, *([app] if app else []))


def _print(bump, commit: str | None, attempts: int, base: str, options, diff: str = "") -> None:
    if options["as_json"]:
        results = [result.as_dict() for result in bump.results]
        plain = {"commit": commit, "base": base, "attempts": attempts, "dry_run": options["dry_run"]}
        click.echo(json.dumps(plain | {"results": results, "diff": diff}))
        return
    for result in bump.results:
        new = result.build.reference
        pin = f"{new.tag or ''}@{new.digest[:19]}…"
        what = (
            f"→ {pin}" + (f" ({result.decision})" if result.decision else "")
            if result.changed
            else f"already at {pin}"
        )
        click.echo(f"{result.environment}/{result.app}: {new.short} {what}")
    if diff:
        click.echo(diff, nl=False)
    if options["dry_run"]:
        click.echo("dry run: nothing was written")
    elif commit:
        click.echo(
            f"pushed {commit[:12]} to {options['branch']}"
            + (f" in {attempts} attempts" if attempts > 1 else "")
        )
    else:
        click.echo("nothing to write")
