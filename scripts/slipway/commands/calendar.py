"""`slipway calendar`: when each environment is open to writes, and whether Argo CD agrees."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from slipway.commands._writing import check_names
from slipway.errors import InvalidInput, PolicyRefused

if TYPE_CHECKING:
    from slipway.git.fetch import Tip
    from slipway.git.remote import RemoteRepo
    from slipway.policy.environment import Environment
    from slipway.policy.windows_check import Disagreement


@click.command()
@click.option("--repo", envvar="SLIPWAY_DEPLOY_REPO", help="Address of the deploy repository.")
@click.option("--branch", default="main", show_default=True, help="Branch to read.")
@click.option("--from", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Read a checkout instead; by default the current folder, when it has overlays/ and no --repo is given.")  # fmt: skip
@click.option("--env", "environments", multiple=True, help="Only this environment; may be repeated.")
@click.option("--at", metavar="TIME", help="Time to look at instead of now, such as 2026-12-20T18:00.")
@click.option("--days", default=14, show_default=True, type=click.IntRange(1, 366), help="Days to show.")
@click.option("--timezone", default="UTC", show_default=True, metavar="ZONE", help="Time zone to show days in, and of --at.")  # fmt: skip
@click.option("--check", "checking", is_flag=True, help="Also compare Argo CD's sync windows with the policies, a year ahead; exit code 1 when they disagree.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the calendar as JSON.")
def command(repo, branch, folder, environments, at, days, timezone, checking, as_json) -> None:
    """Show when each environment is open, what is held there, and the next closing or opening.

    Example: slipway calendar --from . --days 28 --timezone Europe/Berlin
    """
    check_names(*environments)
    zone = _zone(timezone)
    moment = _moment(at, zone)
    with _files(repo, branch, folder) as files:
        names = list(environments) or _listed(files)
        policies, refusals = _policies(files, names, strict=as_json)
        found = {name: _compare(files, policies[name], moment) for name in policies} if checking else {}
    if as_json:
        click.echo(json.dumps(_as_dict(policies, found, moment, days, zone)))
    else:
        _print(policies, found, moment, days, zone)
    if refusals:
        raise refusals[0]
    if any(isinstance(one, str) or one.wrong for ones in found.values() for one in ones):
        sys.exit(1)


class _Checkout:
    """The same view of a folder that a remote's tip gives."""

    def __init__(self, root: Path):
        self.root = root

    def read(self, paths: Collection[str]) -> dict[str, bytes | None]:
        """The contents of files, None where there is no file."""
        try:
            return {p: f.read_bytes() if (f := self.root / p).is_file() else None for p in paths}
        except OSError as exc:
            raise PolicyRefused(f"unreadable: {exc}", path=self.root, fix="check its permissions") from exc

    def folders(self, paths: Collection[str]) -> dict[str, dict[str, bool]]:
        """The names in each folder, with whether they are folders themselves."""
        return {p: {f.name: f.is_dir() for f in (self.root / p).iterdir()} for p in paths}


class _Remote:
    """The same of a remote branch as it stood at one commit."""

    def __init__(self, remote: RemoteRepo, tip: Tip):
        self._remote, self._tip = remote, tip

    def read(self, paths: Collection[str]) -> dict[str, bytes | None]:
        return self._remote.retrying(lambda: self._tip.read(paths))

    def folders(self, paths: Collection[str]) -> dict[str, dict[str, bool]]:
        return self._remote.retrying(lambda: self._tip.folders(paths))


@contextmanager
def _files(repo: str | None, branch: str, folder: Path | None) -> Iterator[_Checkout | _Remote]:
    if folder is None and repo:
        from slipway.git.remote import RemoteRepo

        with RemoteRepo(repo, branch=branch) as remote:
            yield _Remote(remote, remote.tip())
        return
    root = folder or Path.cwd()
    if not (root / "overlays").is_dir():
        fix = "give --repo URL, or --from DIR with the deploy repository's checkout"
        raise InvalidInput(f"{root} has no overlays/", fix=fix)
    yield _Checkout(root)


def _listed(files) -> list[str]:
    """Every folder of overlays/: one without a policy is not passed over, it is refused later."""
    names = sorted(name for name, folder in files.folders(["overlays"])["overlays"].items() if folder)
    if not names:
        raise InvalidInput("overlays/ has no environment", fix="give the deploy repository")
    return names


def _policies(files, names: list[str], *, strict: bool) -> tuple[dict[str, Environment], list[PolicyRefused]]:
    """The policies in the order of the chain, and what stands against the others; `strict` raises it at once."""
    from slipway.policy.environment import parse_policy
    from slipway.writing.bump import policy_path

    read, found, refusals = files.read([policy_path(name) for name in names]), {}, []
    for name in names:
        path = policy_path(name)
        try:
            found[name] = parse_policy(read[path], environment=name, path=path)
        except PolicyRefused as exc:
            if strict:
                raise
            refusals.append(exc)
    return dict(sorted(found.items(), key=lambda item: item[1].order)), refusals


def _compare(files, policy: Environment, moment: datetime) -> list[Disagreement | str]:
    """Where Argo CD's windows differ; a text where they cannot be told."""
    from slipway.errors import EditRefused
    from slipway.policy.windows import check_wired, read, windows_path
    from slipway.policy.windows_check import check

    kustomization = f"argocd/environments/{policy.name}/kustomization.yaml"
    data = files.read([kustomization, windows_path(policy.name)])
    try:
        check_wired(data[kustomization], policy.name)
        return [*check(policy, read(data[windows_path(policy.name)], policy.name), moment)]
    except (EditRefused, PolicyRefused) as exc:
        return [exc.render()]


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as exc:
        raise InvalidInput(
            f"no time zone {name!r} is known here", fix="write one such as Europe/Berlin"
        ) from exc
    return name


def _moment(text: str | None, zone: str) -> datetime:
    from zoneinfo import ZoneInfo

    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidInput(f"--at: {text!r} is no time", fix="write one such as 2026-12-20T18:00") from exc


def _print(policies: dict[str, Environment], found: dict, moment: datetime, days: int, zone: str) -> None:
    from rich.console import Console

    from slipway.policy.calendar_text import findings, picture, state

    console = Console(highlight=False, soft_wrap=True)
    for line in picture(list(policies.values()), moment, days, zone, width=console.width):
        console.print(line)
    for name, policy in policies.items():
        for line in state(policy, moment):
            console.print(f"{name}: {line}", markup=False)
        for line in findings(found.get(name)):
            console.print(f"{name}: {line}", markup=False)


def _as_dict(policies, found, moment: datetime, days: int, zone: str) -> dict[str, object]:
    from slipway.policy.openings import closings

    until, environments = moment + timedelta(days=days), []
    for name, policy in policies.items():
        frozen, opens = policy.frozen(moment), policy.opens(moment)
        one = {
            "environment": name,
            "order": policy.order,
            "delivery": policy.delivery,
            "open": frozen is None,
            "opens": opens and opens.astimezone(UTC).isoformat(),
            "closed": [
                {
                    "begin": c.begin.isoformat(),
                    "end": c.end.isoformat(),
                    "freezes": [f.name for f in c.freezes],
                }
                for c in closings(policy, moment, until)
            ],
            "holds": [hold.model_dump(mode="json") for hold in policy.holds],
        }
        if name in found:
            one["disagreements"] = [{"kind": "unclear", "name": d, "wrong": True} if isinstance(d, str) else d.as_dict() for d in found[name]]  # fmt: skip
        environments.append(one)
    return {"at": moment.isoformat(), "days": days, "timezone": zone, "environments": environments}
