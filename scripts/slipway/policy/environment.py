"""An environment's policy: what `overlays/<env>/environment.yaml` may say, and what it allows at a given time.

Everything fails closed: an unknown key, an unreadable file or a freeze that cannot be computed refuses the write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from slipway.errors import PolicyRefused
from slipway.yaml_tree import Node, TreeError, line_of, parse_tree, plain_data

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_UTC = ZoneInfo("UTC")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    found = re.fullmatch(r"(\d+)([smhd])", value) if isinstance(value, str) else None
    if isinstance(value, str) and not found:
        raise ValueError("write a duration such as 90s, 10m, 2h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else value


def shown_duration(value: timedelta) -> str:
    """A duration as a policy writes it, in the largest unit that fits."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _percent(value: object) -> object:
    return value[:-1] if isinstance(value, str) and value.endswith("%") else value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as exc:
        raise ValueError(f"no time zone {name!r} is known here; write one such as Europe/Berlin") from exc
    return name


def _naive(value: datetime) -> datetime:
    if value.tzinfo:
        raise ValueError("write local time without an offset; the time zone has its own key")
    if not 1970 <= value.year <= 9998:
        raise ValueError("write a year from 1970 to 9998")
    return value


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d|24:00", value):
        raise ValueError("write a time of day such as 18:00")
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration, json_schema_input_type=Annotated[str, Field(pattern=r"^\d+[smhd]$")]),
]
Percent = Annotated[
    int,
    BeforeValidator(_percent, json_schema_input_type=Annotated[str, Field(pattern=r"^(100|\d{1,2})%$")]),
    Field(ge=0, le=100),
]
Clock = Annotated[
    str, AfterValidator(_clock), Field(json_schema_extra={"pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"})
]
Local = Annotated[
    datetime,
    AfterValidator(_naive),
    WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$"}),
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False)


class Weekly(_Strict):
    """The same hours on some days of every week; `to` at or before `from` means the next day."""

    days: Annotated[list[Literal[WEEKDAYS]], Field(min_length=1)]
    from_: Annotated[Clock, Field(alias="from")]
    to: Clock


class Freeze(_Strict):
    """A time in which nothing is written: either one, from `start` to `end`, or `weekly`."""

    name: str
    reason: str
    timezone: Annotated[str, AfterValidator(_zone)]
    start: Local | None = None
    end: Local | None = None
    weekly: Weekly | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Freeze:
        if (self.start is None) != (self.end is None) or (self.start is None) == (self.weekly is None):
            raise ValueError("give either start and end, or weekly")
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must come after start")
        return self

    def until(self, moment: datetime) -> datetime | None:
        """When the freeze that holds at `moment` ends, in its own time zone; None when it does not hold."""
        ends = [end for _, end in self.spans(moment, moment)]
        return max(ends).astimezone(ZoneInfo(self.timezone)) if ends else None

    def spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        """Begin and end, in UTC, of each time it holds that touches the time from `since` to `until`, in order."""
        found = [
            (_instant(begin, self.timezone, min), _instant(end, self.timezone, max))
            for begin, end in self._local_spans(since, until)
        ]
        return [(begin, end) for begin, end in found if begin <= until and since < end]

    @property
    def span(self) -> tuple[datetime, datetime]:
        """Begin and end, in UTC, of one that is not weekly."""
        return _instant(self.start, self.timezone, min), _instant(self.end, self.timezone, max)

    def _local_spans(self, since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
        if self.start and self.end:
            return [(self.start, self.end)]
        first, last = (moment.astimezone(ZoneInfo(self.timezone)).date() for moment in (since, until))
        spans = []
        for day in (first + timedelta(days=n) for n in range(-2, (last - first).days + 2)):
            if WEEKDAYS[day.weekday()] in self.weekly.days:
                begin, end = _at(day, self.weekly.from_), _at(day, self.weekly.to)
                spans.append((begin, end if end > begin else _at(day + timedelta(days=1), self.weekly.to)))
        return spans


class Signature(_Strict):
    """Whether an image must be signed, and the public key: a file in the deploy repository, or a key service's URI."""

    required: bool = False
    key: str | None = None

    @model_validator(mode="after")
    def _key_given(self) -> Signature:
        if self.required and not self.key:
            raise ValueError("a required signature needs a key")
        return self


class Hold(_Strict):
    """An application that automation leaves alone until a person releases it."""

    app: Name
    reason: str
    since: datetime
    by: str


class Retention(_Strict):
    """How many commits of each overlay keep their images in the registry."""

    commits: Annotated[int, Field(ge=1)] = 50


Writer = Annotated[str, Field(pattern=r"^\S+$", max_length=200)]
"""The name of an automation, such as the address of a CI job."""


class Environment(_Strict):
    """The whole file."""

    name: Name
    order: Annotated[int, Field(ge=1)]
    from_: Annotated[Name | None, Field(alias="from")] = None
    delivery: Literal["direct", "pull-request"]
    approvals: Annotated[int, Field(ge=0)] = 0
    soak: Duration = timedelta(0)
    freezes: list[Freeze] = []
    holds: list[Hold] = []
    prune_budget: Percent = 0
    architectures: list[Annotated[str, Field(pattern=r"^[a-z0-9]+(/v[0-9]+)?$")]] = []
    signature: Signature = Signature()
    retention: Retention = Retention()
    writers: list[Writer] = []

    @model_validator(mode="after")
    def _consistent(self) -> Environment:
        if self.delivery == "direct" and self.approvals:
            raise ValueError("approvals need delivery: pull-request")
        if self.from_ == self.name:
            raise ValueError("an environment cannot be its own source")
        if len({hold.app for hold in self.holds}) < len(self.holds):
            raise ValueError("an application is held twice")
        return self

    def hold(self, app: str) -> Hold | None:
        """The hold on an application, if there is one."""
        return next((hold for hold in self.holds if hold.app == app), None)

    def frozen(self, moment: datetime) -> Freeze | None:
        """The freeze that holds at `moment`, if one does."""
        return next((freeze for freeze in self.freezes if freeze.until(moment)), None)

    def opens(self, moment: datetime) -> datetime | None:
        """When no freeze holds any more, `moment` itself included; None when they never end within a year."""
        limit = moment + timedelta(days=366)
        while freeze := self.frozen(moment):
            moment = freeze.until(moment)
            if moment > limit:
                return None
        return moment


def parse_policy(data: bytes | None, *, environment: str, path: str) -> Environment:
    """The policy of `environment` from the bytes of its file; raises `PolicyRefused` for whatever is not clear."""
    if data is None:
        fix = "create it, or correct the environment's name"
        raise PolicyRefused(
            f"the environment {environment} has no policy, so nothing may be written", path=path, fix=fix
        )
    root = Node("map")
    try:
        root = parse_tree(data.decode("utf-8"))
        policy = Environment.model_validate(plain_data(root))
    except (UnicodeDecodeError, TreeError) as exc:
        reason, line = getattr(exc, "reason", exc), getattr(exc, "line", None)
        raise PolicyRefused(
            f"unreadable policy: {reason}", path=path, line=line, fix="correct the file"
        ) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = (
            f"invalid policy: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        )
        raise PolicyRefused(
            message, path=path, line=line_of(root, first["loc"]) or None, fix="correct the file"
        ) from exc
    if policy.name != environment:
        raise PolicyRefused(
            f"the policy is of {policy.name}, not {environment}", path=path, fix="correct its name"
        )
    return policy


class _Files(Protocol):
    """What policies are read from, such as a branch's tip."""

    def read(self, paths: Collection[str]) -> dict[str, bytes | None]: ...

    def folders(self, paths: Collection[str]) -> dict[str, dict[str, bool]]: ...


def read_policies(files: _Files) -> list[Environment]:
    """Every environment's policy in the order of the chain; raises `PolicyRefused` when one of them is not clear."""
    names = [name for name, is_folder in files.folders(["overlays"])["overlays"].items() if is_folder]
    paths = {name: f"overlays/{name}/environment.yaml" for name in names}
    read = files.read(list(paths.values()))
    policies = [parse_policy(read[path], environment=name, path=path) for name, path in paths.items()]
    return sorted(policies, key=lambda one: (one.order, one.name))


def check_write(
    policy: Environment, apps: Collection[str], moment: datetime, *, path: str, reviewed: bool = False
) -> None:
    """Raise `PolicyRefused` when automation may not write these applications directly at `moment`.

    With `reviewed`, by pull request: then only a hold stands against it, since merging is what a freeze is about.
    """
    if policy.delivery != "direct" and not reviewed:
        app = next(iter(sorted(apps)), "APP")
        fix = f"use `slipway promote {app} --to {policy.name}`"
        raise PolicyRefused(f"{policy.name} takes changes by pull request only", path=path, fix=fix)
    for app in sorted(apps):
        if hold := policy.hold(app):
            message = f"{app} is held in {policy.name} since {hold.since:%Y-%m-%d %H:%M} by {hold.by}: {hold.reason}"
            fix = f"`slipway release {app} --env {policy.name}` lifts the hold"
            raise PolicyRefused(message, path=path, fix=fix)
    if not reviewed:
        check_freeze(policy, moment, path=path)


def check_writer(
    policy: Environment, writer: str | None, last: Callable[[], str | None], app: str, *, path: str
) -> None:
    """Raise `PolicyRefused` when `writer` may not write an application's images: two automations would fight.

    `writers` of the policy says who may; without it a writer stays out where `last` tells another one, who wrote
    there before. None is a person, or nobody known.
    """
    if policy.writers and writer not in policy.writers:
        message = f"{writer or 'a writer without a name'} is not among the writers of {policy.name}"
        fix = "name this one with --writer, or have it added to `writers` by a reviewed commit"
        raise PolicyRefused(message, path=path, fix=fix)
    before = last() if writer and not policy.writers else None
    if before:
        message = f"{app} in {policy.name} was last written by {before}, and this is {writer}"
        fix = f"let one of the two write; if both shall, or this one from now on, list `writers` in {path}"
        raise PolicyRefused(message, path=path, fix=fix)


def check_freeze(
    policy: Environment,
    moment: datetime,
    *,
    path: str,
    fix: str = "wait until then, or have the freeze changed by a reviewed commit",
) -> None:
    """Raise `PolicyRefused`, with the time at which it opens, when the environment is frozen at `moment`."""
    if freeze := policy.frozen(moment):
        when = opening(policy, freeze, moment)
        message = f"{policy.name} is frozen ({freeze.name}: {freeze.reason}); it opens at {when}"
        raise PolicyRefused(message, path=path, fix=fix)


def check_delivery(before: Environment | None, now: Environment, *, path: str) -> None:
    """Raise `PolicyRefused` when changes go another way than they did when the way was chosen."""
    if before and before.delivery != now.delivery:
        message = f"{now.name} changed to delivery: {now.delivery} meanwhile"
        raise PolicyRefused(message, path=path, fix="repeat the command")


def opening(policy: Environment, freeze: Freeze, moment: datetime) -> str:
    """When a frozen environment opens, in the time zone of the freeze that holds at `moment`."""
    opens, zone = policy.opens(moment), ZoneInfo(freeze.timezone)
    return f"{opens.astimezone(zone):%Y-%m-%d %H:%M} {zone.key}" if opens else "no time within a year"


def json_schema() -> dict[str, object]:
    """The JSON Schema of the file, for editors."""
    return Environment.model_json_schema(by_alias=True) | {
        "$schema": "https://json-schema.org/draft/2020-12/schema"
    }


def _at(day: date, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime.combine(day, time(0, minute)) + timedelta(hours=hour)


def _instant(local: datetime, zone: str, choose) -> datetime:
    """The UTC time of a local time; where the clock goes back or jumps, the freeze takes the longer way."""
    return choose(local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(_UTC) for fold in (0, 1))
