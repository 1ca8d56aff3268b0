"""What verbs that write to the deploy repository share: options, how they reach it, and what they say afterwards."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from slipway.forge.pull_requests import Forge
    from slipway.git.remote import RemoteRepo
    from slipway.writing.change import Submitted

_OPTIONS = (
    click.option("--repo", required=True, envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository."),
    click.option("--branch", default="main", show_default=True, help="Branch to bring the change to."),
    click.option("--author", envvar="SLIPWAY_GIT_AUTHOR", metavar="'NAME <MAIL>'", help="Author of the commit."),
    click.option("--forge", type=click.Choice(["gitea", "github"]), envvar="SLIPWAY_FORGE", help="Kind of forge for pull requests; by default told from the address."),
    click.option("--forge-api", envvar="SLIPWAY_FORGE_API", metavar="URL", help="Address of the forge's API, where it is not the usual one."),
    click.option("--timeout", default=120, show_default=True, type=click.IntRange(min=1), help="Seconds to keep trying."),
    click.option("--dry-run", is_flag=True, help="Show the change and write nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)  # fmt: skip


def writing_options(command: Callable) -> Callable:
    """The options `repo`, `branch`, `author`, `forge`, `forge_api`, `timeout`, `dry_run` and `as_json`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_repo(options: Mapping) -> RemoteRepo:
    """The deploy repository's branch that the options name."""
    from slipway.git.remote import RemoteRepo

    author = parse_author(options["author"])
    return RemoteRepo(options["repo"], branch=options["branch"], author=author, deadline=options["timeout"])


def forge_for(delivery: str, options: Mapping) -> Forge | None:
    """The forge that the options name, where pull requests are the way; raises when its credentials are missing."""
    if delivery == "direct":
        return None
    from slipway.forge.pull_requests import open_forge

    return open_forge(options["repo"], kind=options["forge"], api=options["forge_api"])


def parse_author(text: str | None):
    """The author that `NAME <MAIL>` writes; None for none."""
    from slipway.git.store import Author

    if not text:
        return None
    found = re.fullmatch(r"\s*([^<>]+?)\s*<([^<>\s]+)>\s*", text)
    if not found:
        raise InvalidInput(f"{text!r} is no author", fix="write 'Name <mail@example>'")
    return Author(*found.groups())


def check_names(*names: str) -> None:
    """Raise `InvalidInput` for what cannot be the name of an environment or an application."""
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            raise InvalidInput(f"{name!r} is no name of an environment or application", fix="use a-z 0-9 -")


def one_line(text: str, option: str) -> str:
    """A reason as one line of text; raises `InvalidInput` when it says nothing."""
    if not text.split():
        raise InvalidInput(f"{option} needs a reason", fix="say why, it goes into the commit")
    return " ".join(text.split())


def print_submitted(
    submitted: Submitted | None, options: Mapping, lines: list[str], **details: object
) -> None:
    """Print `lines` and what became of the change, or all of it with `details` as JSON.

    `submitted` is None for a dry run; `details` may hold `diff`, which is shown as text too.
    """
    if options["as_json"]:
        plain = submitted.as_dict() if submitted else {"commit": None, "pull_request": None}
        click.echo(json.dumps(plain | {"dry_run": options["dry_run"]} | details))
        return
    for line in lines:
        click.echo(line)
    if details.get("diff"):
        click.echo(details["diff"], nl=False)
    click.echo(_outcome(submitted, options["branch"]))


def _outcome(submitted: Submitted | None, branch: str) -> str:
    if submitted is None:
        return "dry run: nothing was written"
    pull_request = submitted.pull_request
    if submitted.commit is None:
        still = (
            f"; pull request #{pull_request.number} is still open: {pull_request.url}" if pull_request else ""
        )
        return f"nothing to write{still}"
    attempts = f" in {submitted.attempts} attempts" if submitted.attempts > 1 else ""
    if pull_request is None:
        return f"pushed {submitted.commit[:12]} to {branch}{attempts}"
    done = "opened" if submitted.opened else "updated" if submitted.attempts else "is up to date"
    commit = f"{submitted.commit[:12]} on {pull_request.branch}{attempts}"
    return f"pull request #{pull_request.number} {done}: {pull_request.url} ({commit})"
