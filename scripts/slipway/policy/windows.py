"""Argo CD's sync windows: generated from a policy's freezes, written as a patch of the environment's AppProject.

Argo CD 3.6 takes a window for an interval of wall-clock time: it reads the clock of `timeZone`, and looks for a
start of the cron line within `duration` before. So a weekly window keeps its local hours through the year, and only
a boundary in the hour that daylight saving repeats or leaves out needs room. Cron knows no year: the window of one
freeze is written in UTC, to the second, and goes with the next write after its end, or it would come back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import yaml

from slipway.errors import EditRefused, PolicyRefused
from slipway.yaml_tree import quoted

if TYPE_CHECKING:
    from slipway.policy.environment import Environment, Freeze

FILE = "sync-windows.yaml"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BYTES = 255
"""What Argo CD takes as a description."""
_AHEAD = timedelta(days=3 * 365)
"""How far changes of the clock are looked for."""
_NEAR = timedelta(days=3)
"""How many days before or after one a freeze may have to do with it."""
_LINE = re.compile(r"(\d+) (\d+) (?:(\d+) (\d+) \*|\* \* ([a-z]{3}(?:,[a-z]{3})*))")
_DURATION = re.compile(r"(\d+)h(\d+)m(?:(\d+)s)?")


@dataclass(frozen=True)
class Window:
    """A deny window for every Application of a project; `schedule` is one of the two forms written here."""

    schedule: str
    duration: timedelta
    zone: str
    description: str

    @cached_property
    def _line(self) -> tuple[int, int, tuple[int, int] | None, frozenset[int]]:
        """Minute, hour, day and month, weekdays (Monday is 0)."""
        minute, hour, day, month, days = _LINE.fullmatch(self.schedule).groups()
        weekdays = frozenset(map(_DAYS.index, days.split(","))) if days else frozenset(range(7))
        return int(minute), int(hour), (int(day), int(month)) if day else None, weekdays

    @property
    def once(self) -> bool:
        """Whether it stands for a freeze that is not weekly."""
        return self._line[2] is not None

    def active(self, moment: datetime) -> bool:
        """Whether Argo CD 3.6 has it active: a start lies between, excluding both, `moment` minus duration and `moment`."""
        clock = self._clock(moment)
        start = self._last_start(clock, clock - self.duration)
        return start is not None

    def changes(self, since: datetime, until: datetime) -> list[datetime]:
        """The times, in UTC, between two moments at which it may begin or end; where the clock repeats, both."""
        found, clock, stop = [], self._clock(since) - self.duration - timedelta(days=1), self._clock(until)
        for day in (clock.date() + timedelta(days=n) for n in range((stop - clock).days + 3)):
            if start := self._start_on(day):
                found += [
                    local.replace(tzinfo=ZoneInfo(self.zone), fold=fold).astimezone(UTC)
                    for local in (start, start + self.duration)
                    for fold in (0, 1)
                ]
        return [moment for moment in found if since <= moment <= until]

    def _clock(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)

    def _last_start(self, before: datetime, after: datetime) -> datetime | None:
        day = before.date()
        while day >= after.date():
            start = self._start_on(day)
            if start and after < start < before:
                return start
            day -= timedelta(days=1)
        return None

    def _start_on(self, day: date) -> datetime | None:
        minute, hour, once, weekdays = self._line
        matches = (day.day, day.month) == once if once else day.weekday() in weekdays
        return datetime(day.year, day.month, day.day, hour, minute) if matches else None


def windows_path(environment: str) -> str:
    """Where an environment's windows are."""
    return f"argocd/environments/{environment}/{FILE}"


def generate(policy: Environment, now: datetime, *, finished: bool = False) -> list[Window]:
    """The windows for the policy's freezes, each at least as long as its freeze; with `finished` also for old ones."""
    windows: list[Window] = []
    for freeze in policy.freezes:
        if freeze.weekly:
            windows += _weekly(freeze, now)
        else:
            begin, end = freeze.span
            if finished or end > now:
                windows.append(_once(freeze, begin, end))
    return windows


def _once(freeze: Freeze, begin: datetime, end: datetime) -> Window:
    begin = begin.replace(second=0, microsecond=0)
    line = f"{begin.minute} {begin.hour} {begin.day} {begin.month} *"
    seconds = -((begin - end) // timedelta(seconds=1))
    return Window(line, timedelta(seconds=seconds), "UTC", _description(freeze))


def _weekly(freeze: Freeze, now: datetime) -> list[Window]:
    """One window for all days with the same room to leave, which is none on most."""
    room = _room(freeze, now)
    windows = []
    for lead, lag in sorted(set(room.values())):
        days = [day for day in freeze.weekly.days if room[day] == (lead, lag)]
        monday = _local(date(2001, 1, 1), freeze.weekly.from_)
        begin = monday - lead
        last = _local(date(2001, 1, 1), freeze.weekly.to)
        duration = (last if last > monday else last + timedelta(days=1)) - begin + lag
        shift = (begin.date() - date(2001, 1, 1)).days
        names = ",".join(_DAYS[(_DAYS.index(day) + shift) % 7] for day in sorted(days, key=_DAYS.index))
        line = f"{begin.minute} {begin.hour} * * {names}"
        windows.append(Window(line, duration, freeze.timezone, _description(freeze)))
    return windows


def _room(freeze: Freeze, now: datetime) -> dict[str, tuple[timedelta, timedelta]]:
    """By day of the week, how much earlier to begin and later to end so that no change of the clock opens a gap."""
    zone = ZoneInfo(freeze.timezone)
    room = dict.fromkeys(freeze.weekly.days, (timedelta(0), timedelta(0)))
    start = now.astimezone(zone).replace(hour=12) - timedelta(days=7)
    for noon in (start + timedelta(days=n) for n in range(_AHEAD.days)):
        if (noon - _NEAR).utcoffset() == (noon + _NEAR).utcoffset():
            continue
        day, name = noon.date(), _DAYS[noon.weekday()]
        if name in room:
            begin, end = _local(day, freeze.weekly.from_), _local(day, freeze.weekly.to)
            end = end if end > begin else end + timedelta(days=1)
            lead, lag = room[name]
            room[name] = max(lead, _doubt(begin, zone)), max(lag, _doubt(end, zone))
    return room


def _doubt(local: datetime, zone: ZoneInfo) -> timedelta:
    """How far apart the two readings of a local time are that happens twice or not at all; else nothing."""
    offsets = [local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)]
    return abs(offsets[0] - offsets[1])


def _local(day: date, clock: str) -> datetime:
    hour, minute = map(int, clock.split(":"))
    return datetime(day.year, day.month, day.day) + timedelta(hours=hour, minutes=minute)


def _description(freeze: Freeze) -> str:
    text = " ".join(f"{freeze.name}: {freeze.reason}".split())
    data = text.encode()
    return text if len(data) <= _BYTES else data[: _BYTES - 3].decode(errors="ignore").rstrip() + "…"


def render(environment: str, windows: list[Window]) -> bytes:
    """The patch file: the same bytes for the same windows."""
    head = (
        f"# Generated by `slipway freeze` from overlays/{environment}/environment.yaml: change it there or by that command.\n"
        "apiVersion: argoproj.io/v1alpha1\nkind: AppProject\nmetadata:\n"
        f"  name: {environment}\nspec:\n  syncWindows:"
    )
    if not windows:
        return f"{head} []\n".encode()
    return (head + "\n" + "".join(map(_entry, windows))).encode()


def _entry(window: Window) -> str:
    """A person may still bring what Git says, such as a rollback; a sync that has begun is not left half done."""
    seconds = window.duration // timedelta(seconds=1)
    rest = f"{seconds % 60}s" if seconds % 60 else ""
    return (
        f"  - kind: deny\n    description: {quoted(window.description)}\n"
        f'    schedule: "{window.schedule}"\n    duration: {seconds // 3600}h{seconds // 60 % 60}m{rest}\n'
        f'    timeZone: {window.zone}\n    applications: ["*"]\n    manualSync: true\n    syncOverrun: true\n'
    )


def read(data: bytes | None, environment: str) -> list[Window]:
    """The windows in a patch file; raises `PolicyRefused` for a file that is missing or was not generated here."""
    path = windows_path(environment)
    fix = f"`slipway freeze --env {environment} --refresh` writes it anew"
    if data is None:
        raise PolicyRefused("there is no such file, so Argo CD knows of no freeze", path=path, fix=fix)
    try:
        project = yaml.load(data.decode("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        windows = [_window(entry) for entry in project["spec"]["syncWindows"]]
        same = render(environment, windows) == data
    except (UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError) as exc:
        raise PolicyRefused(f"not as `slipway freeze` writes it: {exc!r}", path=path, fix=fix) from exc
    if not same:
        raise PolicyRefused("not as `slipway freeze` writes it", path=path, fix=fix)
    return windows


def parse_windows(entries: list[dict]) -> list[Window]:
    """The windows of an AppProject's `syncWindows`; raises `ValueError` for one that was not generated here."""
    return [_window(entry) for entry in entries]


def _window(entry: dict) -> Window:
    line, duration = entry["schedule"], _DURATION.fullmatch(entry["duration"])
    same = {"kind": "deny", "applications": ["*"], "manualSync": True, "syncOverrun": True}
    if not duration or not _LINE.fullmatch(line) or any(entry[key] != value for key, value in same.items()):
        raise ValueError(f"a window of another kind: {entry}")
    hours, minutes, seconds = (int(part or 0) for part in duration.groups())
    ZoneInfo(entry["timeZone"])
    length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return Window(line, length, entry["timeZone"], entry["description"])


def check_wired(data: bytes | None, environment: str) -> None:
    """Raise `EditRefused` unless the environment's kustomization patches its project with the windows."""
    path = f"argocd/environments/{environment}/kustomization.yaml"
    fix = f"add `- path: {FILE}` under `patches:`"
    if data is None:
        raise EditRefused("Argo CD has no project for this environment", path=path, fix="create it")
    try:
        patches = yaml.load(data.decode("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["patches"]
        wired = any(patch.get("path") == FILE for patch in patches)
    except (UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError):
        wired = False
    if not wired:
        raise EditRefused(f"{FILE} is not among its patches, so Argo CD would not see it", path=path, fix=fix)
