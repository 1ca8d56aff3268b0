"""`slipway freeze`: close an environment to writes for a time, or open it again."""

from __future__ import annotations

from collections.abc import Mapping

import click

from slipway.commands._writing import (
    check_names,
    forge_for,
    one_line,
    open_repo,
    print_submitted,
    writing_options,
)
from slipway.errors import InvalidInput

_OPTION_OF = {
    ("timezone",): "--timezone",
    ("start",): "--from",
    ("end",): "--to",
    ("weekly", "days"): "--weekly",
    ("weekly", "from"): "--from",
    ("weekly", "to"): "--to",
}


@click.command()
@click.option(
    "--env", "environments", multiple=True, required=True, help="Environment to close; may be repeated."
)
@click.option("--name", help="Name of the freeze, by which it is lifted.")
@click.option(
    "--from",
    "begin",
    metavar="TIME",
    help="Local time at which it begins: 2026-12-20T18:00, with --weekly 18:00.",
)
@click.option("--to", "end", metavar="TIME", help="Local time at which it ends, written likewise.")
@click.option("--weekly", metavar="DAYS", help="Every week, beginning on these days, such as fri,sat,sun.")
@click.option(
    "--timezone",
    metavar="ZONE",
    help="Time zone of the two times, such as Europe/Berlin; there is no default.",
)
@click.option("--reason", metavar="WHY", help="Why; whoever is refused is told.")
@click.option(
    "--end", "--lift", "lift", metavar="NAME", help="Lift the freeze of that name, before or after its time."
)
@click.option(
    "--refresh", is_flag=True, help="Only write Argo CD's windows anew, from the policy as it stands."
)
@writing_options
def command(environments, **options) -> None:
    """Close an environment to writes for a time, or lift a freeze.

    The policy and Argo CD's sync windows change in one commit. Closing needs no review; lifting goes the way that the
    policy asks for. While it holds, bump and promote are refused, and Argo CD syncs only by hand.

    Example: slipway freeze --env prod --name year-end --from 2026-12-20T18:00 --to 2027-01-02T08:00 --timezone Europe/Berlin --reason 'nobody is here' --repo https://git.example/deploy.git
    """  # fmt: skip
    from slipway.writing.change import preview, submit
    from slipway.writing.freeze import Freezing, Order

    check_names(*environments)
    add = _freeze(options)
    freezing = Freezing(Order(tuple(dict.fromkeys(environments)), add, options["lift"]))
    freezing.order.check(freezing.clock())
    with open_repo(options) as repo:
        submitted, diff = None, ""
        if options["dry_run"]:
            change = preview(repo, freezing.propose)
            diff = freezing.diff(change) if change else ""
        else:
            if options["lift"]:
                repo.ask(freezing.read_policies)
            delivery = freezing.delivery
            forge = forge_for(delivery, options)
            branch = freezing.order.branch
            submitted = submit(repo, freezing.propose, delivery=delivery, branch=branch, forge=forge)
    details = [_details(freezing, result) for result in freezing.results]
    lines = [line for result in freezing.results for line in _lines(freezing, result)]
    print_submitted(submitted, options, lines, environments=details, diff=diff)


def _freeze(options: Mapping):
    """The freeze that the options describe; None when one is lifted or the windows are written anew."""
    describing = [options[key] for key in ("name", "begin", "end", "weekly", "timezone", "reason")]
    asked = (any(value is not None for value in describing), options["lift"] is not None, options["refresh"])
    if sum(asked) != 1:
        fix = "give --name, --from, --to, --timezone and --reason; or --lift NAME; or --refresh"
        raise InvalidInput("say what to do: add a freeze, lift one, or write the windows anew", fix=fix)
    if not asked[0]:
        return None
    for key, option in (("name", "--name"), ("begin", "--from"), ("end", "--to"), ("timezone", "--timezone"), ("reason", "--reason")):  # fmt: skip
        if options[key] is None:
            raise InvalidInput(f"a freeze needs {option}", fix=f"give {option}")
    check_names(options["name"])
    from pydantic import ValidationError

    from slipway.policy.environment import Freeze

    plain = {"name": options["name"], "timezone": options["timezone"]}
    plain["reason"] = one_line(options["reason"], "--reason")
    if options["weekly"] is None:
        plain |= {"start": options["begin"], "end": options["end"]}
    else:
        days = [day.strip().lower() for day in options["weekly"].split(",")]
        plain["weekly"] = {"days": list(dict.fromkeys(days)), "from": options["begin"], "to": options["end"]}
    try:
        return Freeze.model_validate(plain)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = tuple(part for part in first["loc"] if isinstance(part, str))
        said = first["msg"].removeprefix("Value error, ")
        option = _OPTION_OF.get(where)
        raise InvalidInput(f"{option + ': ' if option else ''}{said}", fix="correct it") from exc


def _details(freezing, result) -> dict[str, object]:
    from slipway.policy.openings import next_closing

    freeze, closing = result.freeze, next_closing(result.policy, freezing.clock())
    return {
        "environment": result.policy.name,
        "freeze": freeze and freeze.model_dump(mode="json", by_alias=True, exclude_none=True),
        "changed": result.changed,
        "windows_changed": result.windows_changed,
        "closes": closing and closing.begin.isoformat(),
        "opens": closing and closing.end and closing.end.isoformat(),
        "remarks": [remark.as_dict() for remark in result.remarks],
    }


def _lines(freezing, result) -> list[str]:
    """What the environment's next closed time is, and what Argo CD makes of it."""
    from slipway.policy.openings import next_closing, shown

    order, name, now = freezing.order, result.policy.name, freezing.clock()
    closing = next_closing(result.policy, now)
    lines = []
    if order.lift and result.freeze is None:
        known = ", ".join(freeze.name for freeze in result.policy.freezes) or "none"
        lines.append(f"{name}: has no freeze named {order.lift} (freezes: {known})")
    elif order.lift:
        merged = " when the pull request is merged" if freezing.delivery != "direct" else ""
        lines.append(f"{name}: {order.lift} is lifted{merged}")
    elif order.add and not result.changed:
        lines.append(f"{name}: {order.add.name} is there already")
    if result.windows_changed and not result.changed:
        lines.append(f"{name}: Argo CD's sync windows are written anew")
    if closing is None:
        lines.append(f"{name}: open, no freeze within a year")
    else:
        zone, names = closing.freezes[0].timezone, ", ".join(freeze.name for freeze in closing.freezes)
        closes = f"closes {shown(closing.begin, zone)}" if closing.begin > now else "is closed"
        opens = f"opens {shown(closing.end, zone)}" if closing.end else "does not open within a year"
        lines.append(f"{name}: {closes}, {opens} ({names})")
    if result.remarks:
        more = f", and {len(result.remarks) - 1} times more within a year" if result.remarks[1:] else ""
        lines.append(f"{name}: {result.remarks[0]}{more}")
    return lines
