"""Argo CD's sync windows are at least as long as the freezes they come from, by Argo CD's own reckoning."""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway import toolchain
from slipway.errors import EditRefused, PolicyRefused
from slipway.policy.environment import WEEKDAYS, Environment, parse_policy
from slipway.policy.windows import Window, check_wired, generate, read, render, windows_path
from slipway.policy.windows_check import check, clock_changes

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "sync-windows"))
import record
from record import MODULE, window

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Pacific/Auckland", "America/New_York", "Africa/Casablanca", "Africa/Cairo", "Asia/Tokyo", "UTC")  # fmt: skip
"""North, south, half an hour, at midnight, in the month of fasting, never."""


def policy(*freezes: str) -> Environment:
    """A policy with these freezes, written in flow style without name and reason."""
    lines = "".join(f"  - {{name: f{n}, reason: why, {text}}}\n" for n, text in enumerate(freezes))
    text = f"name: dev\norder: 1\ndelivery: direct\nfreezes:\n{lines}" if freezes else "name: dev\norder: 1\ndelivery: direct\n"  # fmt: skip
    return parse_policy(text.encode(), environment="dev", path="overlays/dev/environment.yaml")


def weekly(days: str, begin: str, end: str, zone: str = "Europe/Berlin") -> str:
    """A weekly freeze."""
    return f"timezone: {zone}, weekly: {{days: [{days}], from: '{begin}', to: '{end}'}}"


def once(begin: str, end: str, zone: str = "Europe/Berlin") -> str:
    """One freeze."""
    return f"timezone: {zone}, start: '{begin}', end: '{end}'"


def utc(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def lines(windows: list[Window]) -> list[tuple[str, str, str]]:
    """What Argo CD is told: schedule, duration in hours and minutes, time zone."""
    minutes = [window.duration // timedelta(minutes=1) for window in windows]
    return [(w.schedule, f"{m // 60}h{m % 60}m", w.zone) for w, m in zip(windows, minutes, strict=True)]


RECORD = json.loads(Path(record.__file__).with_name("argocd.json").read_text())


@pytest.mark.parametrize("case", RECORD["cases"], ids=lambda case: " ".join(case["window"]))
def test_a_window_is_active_when_argocds_own_code_says_so(case):
    """To the second, over changes of the clock on both halves of the earth, leap days and years."""
    ours = window(*case["window"])
    active = [ours.active(datetime.fromtimestamp(moment, UTC)) for moment in case["moments"]]
    assert "".join(str(int(one)) for one in active) == case["active"]
    assert len(case["moments"]) > 50 and "1" in case["active"]


def test_the_record_is_of_the_pinned_argocd():
    """With another release, tests/fixtures/sync-windows/record.py asks its code anew."""
    assert RECORD["argocd"] == toolchain.version(MODULE)


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        (once("2026-12-20T18:00", "2027-01-02T08:00"), [("0 17 20 12 *", "302h0m", "UTC")]),
        # Over the change of the clock; both boundaries in the hour that happens twice, then in the one that does not.
        (once("2026-10-25T02:30", "2026-10-26T02:30"), [("30 0 25 10 *", "25h0m", "UTC")]),
        (once("2026-10-24T20:00", "2026-10-25T02:30"), [("0 18 24 10 *", "7h30m", "UTC")]),
        (once("2027-03-28T02:30", "2027-03-28T06:00"), [("30 0 28 3 *", "3h30m", "UTC")]),
        (once("2027-04-04T02:45", "2027-04-04T06:00", "Pacific/Auckland"), [("45 13 3 4 *", "4h15m", "UTC")]),
        (weekly("fri, sat, sun", "18:00", "08:00"), [("0 18 * * fri,sat,sun", "14h0m", "Europe/Berlin")]),
        (weekly("sun, fri", "24:00", "24:00"), [("0 0 * * sat,mon", "24h0m", "Europe/Berlin")]),
        (weekly("sun", "02:30", "02:45", "Asia/Tokyo"), [("30 2 * * sun", "0h15m", "Asia/Tokyo")]),
        (weekly("sat", "02:30", "02:45"), [("30 2 * * sat", "0h15m", "Europe/Berlin")]),
    ],
)
def test_windows_are_exact(freeze, expected):
    """One freeze is written in UTC, a weekly one keeps its local hours; over a year the two differ nowhere."""
    found = generate(policy(freeze), NOW)
    assert lines(found) == expected
    assert check(policy(freeze), found, NOW) == []


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        # Only the night to Sunday ends in the doubtful hour, so only Saturday's window is longer.
        (
            weekly("fri, sat", "20:00", "02:30"),
            [("0 20 * * fri", "6h30m", "Europe/Berlin"), ("0 20 * * sat", "7h30m", "Europe/Berlin")],
        ),
        # Beginning in it as well; half an hour on Lord Howe Island.
        (weekly("sun", "02:30", "02:45"), [("30 1 * * sun", "2h15m", "Europe/Berlin")]),
        (weekly("sun", "01:45", "05:00", "Australia/Lord_Howe"), [("15 1 * * sun", "3h45m", "Australia/Lord_Howe")]),
        # Chile's clocks change at midnight, so the room reaches into the day before.
        (weekly("sun", "00:00", "06:00", "America/Santiago"), [("0 23 * * sat", "7h0m", "America/Santiago")]),
    ],
)  # fmt: skip
def test_windows_leave_room_where_the_clock_changes(freeze, expected):
    """A boundary in an hour that happens twice or not at all has room on that day of the week, and the check says so."""
    found = generate(policy(freeze), NOW)
    assert lines(found) == expected
    assert {(one.kind, one.wrong) for one in check(policy(freeze), found, NOW)} == {("longer", False)}
    tight = Window(found[-1].schedule, found[-1].duration - timedelta(minutes=31), found[-1].zone, "")
    assert "open" in {one.kind for one in check(policy(freeze), [*found[:-1], tight], NOW)}


@st.composite
def freezes(draw):
    """Any freeze, with boundaries that like the hours around a change of the clock."""
    zone = draw(st.sampled_from(ZONES))
    hours = st.sampled_from([0, 1, 2, 3, 23]) | st.integers(0, 23)
    clocks = st.builds("{:02}:{:02}".format, hours, st.sampled_from([0, 15, 30, 59])) | st.just("24:00")
    if draw(st.booleans()):
        days = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, unique=True))
        return zone, weekly(", ".join(days), draw(clocks), draw(clocks), zone)
    moment = draw(st.sampled_from([utc("2026-10-24T00:00:00"), utc("2027-03-27T00:00:00"), utc("2027-04-03T00:00:00")]))  # fmt: skip
    begin = moment.replace(tzinfo=None) + timedelta(minutes=15 * draw(st.integers(0, 300)))
    end = begin + timedelta(minutes=15 * draw(st.integers(1, 300)))
    return zone, once(f"{begin:%Y-%m-%dT%H:%M}", f"{end:%Y-%m-%dT%H:%M}", zone)


@settings(max_examples=25, deadline=None)
@given(freezes())
def test_argocd_is_never_open_in_a_freeze(found):
    """For every kind of freeze, every quarter of an hour around the clock's changes, and wherever the check looks."""
    zone, text = found
    plan = policy(text)
    windows = generate(plan, NOW)
    assert read(render("dev", windows), "dev") == windows
    for change in (clock_changes(zone, NOW, NOW + timedelta(days=400)) or [NOW + timedelta(days=20)])[:2]:
        for n in range(-96, 97):
            moment = change + timedelta(minutes=15 * n, seconds=1)
            assert not plan.frozen(moment) or any(window.active(moment) for window in windows), moment
        assert not any(
            one.wrong for one in check(plan, windows, change - timedelta(days=1), timedelta(days=2))
        )


def test_C11_the_machines_time_zone_does_not_matter(monkeypatch):
    """Windows and what is found about them are the same on a machine in Auckland."""
    plan = policy(weekly("sat", "20:00", "02:30"), once("2026-12-20T18:00", "2027-01-02T08:00"))
    before = generate(plan, NOW), check(plan, generate(plan, NOW), NOW, timedelta(days=60))
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert (generate(plan, NOW), check(plan, before[0], NOW, timedelta(days=60))) == before
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_check_names_the_first_disagreement():
    """A window that is a minute short, one too many, and one in another zone are each found to the minute."""
    plan = policy(once("2026-12-20T18:00", "2027-01-02T08:00"))
    (good,) = generate(plan, NOW)
    short = Window(good.schedule, good.duration - timedelta(minutes=1), "UTC", good.description)
    (found,) = check(plan, [short], NOW)
    assert (found.kind, found.begin, found.end) == (
        "open",
        utc("2027-01-02T06:59:00"),
        utc("2027-01-02T07:00:00"),
    )
    assert found.wrong and "deploys from 2027-01-02 06:59 to 2027-01-02 07:00 UTC, in the freeze f0" in str(
        found
    )
    late = check(plan, [Window("5 17 20 12 *", good.duration, "UTC", "f0: why")], NOW)
    assert [(one.kind, one.begin) for one in late] == [
        ("open", utc("2026-12-20T17:00:00")),
        ("foreign", utc("2027-01-02T07:00:00")),
    ]
    assert [one.kind for one in check(plan, [], NOW)] == ["open"]
    other = Window("0 3 1 10 *", timedelta(hours=2), "UTC", "by hand")
    (found,) = check(plan, [good, other], NOW)
    assert (found.kind, found.begin, found.end) == (
        "foreign",
        utc("2026-10-01T03:00:00"),
        utc("2026-10-01T05:00:00"),
    )
    assert found.wrong and "by hand" in str(found)


def test_the_window_of_a_freeze_that_is_over_goes_or_is_told_of():
    """Cron knows no year: the next write drops the window, until then the check says when it would close again."""
    plan = policy(once("2026-03-01T00:00", "2026-03-10T00:00", "UTC"))
    assert generate(plan, NOW) == [] and len(generate(plan, utc("2026-03-09T23:59:00"))) == 1
    left = generate(plan, NOW, finished=True)
    (found,) = check(plan, left, NOW)
    assert (found.kind, found.begin, found.wrong) == ("again", utc("2027-03-01T00:00:00"), False)
    (found,) = check(plan, left, utc("2027-02-15T00:00:00"))
    assert found.wrong and "closes again from 2027-03-01 00:00 to 2027-03-10 00:00 UTC" in str(found)
    leap = policy(once("2028-02-29T00:00", "2028-03-01T00:00", "UTC"))
    assert check(leap, generate(leap, NOW), utc("2028-02-01T00:00:00"), timedelta(days=900)) == []


def test_a_freeze_on_the_second_closes_argocd_on_the_minute():
    """What cron cannot say makes the window longer, never shorter, and is no fault."""
    plan = policy(once("2026-12-20T18:00:30", "2026-12-20T19:00:30"))
    (found,) = generate(plan, NOW)
    assert (found.schedule, found.duration) == ("0 17 20 12 *", timedelta(hours=1, seconds=30))
    (found,) = check(plan, [found], NOW)
    assert (found.kind, found.wrong) == ("longer", False)
    assert (found.begin, found.end) == (utc("2026-12-20T17:00:00"), utc("2026-12-20T17:00:30"))


def test_a_freeze_of_years_is_closed_all_along():
    """What a cron line cannot end is closed rather than open."""
    plan = policy(once("2026-06-01T00:00", "2029-06-01T00:00"))
    assert {one.kind for one in check(plan, generate(plan, NOW), NOW)} == set()


def test_the_file_is_a_patch_that_argocd_understands():
    """Every field is one of Argo CD's; automation stops, a person may still sync, a sync that runs is finished."""
    plan = policy(weekly("fri", "18:00", "08:00"), once("2026-12-20T18:00:30", "2027-01-02T08:00:45"))
    document = yaml.safe_load(render("dev", generate(plan, NOW)))
    assert (document["kind"], document["metadata"]) == ("AppProject", {"name": "dev"})
    assert document["spec"]["syncWindows"] == [
        {"kind": "deny", "description": "f0: why", "schedule": "0 18 * * fri", "duration": "14h0m", "timeZone": "Europe/Berlin", "applications": ["*"], "manualSync": True, "syncOverrun": True},
        {"kind": "deny", "description": "f1: why", "schedule": "0 17 20 12 *", "duration": "302h0m45s", "timeZone": "UTC", "applications": ["*"], "manualSync": True, "syncOverrun": True},
    ]  # fmt: skip
    assert yaml.safe_load(render("dev", []))["spec"] == {"syncWindows": []}


@pytest.mark.parametrize(
    "reason", ["a: \"b\" # 'c'", "größer 🚢 ✓", "ü" * 300, "one\ntwo  three", "\\ \u2028 \x07"]
)
def test_any_reason_fits_the_description(reason):
    """Argo CD takes 255 bytes on one line."""
    plan = policy("timezone: UTC, weekly: {days: [fri], from: '18:00', to: '20:00'}")
    freeze = plan.freezes[0].model_copy(update={"reason": reason})
    windows = generate(plan.model_copy(update={"freezes": [freeze]}), NOW)
    shown = yaml.safe_load(render("dev", windows))["spec"]["syncWindows"][0]["description"]
    assert len(shown.encode()) <= 255 and shown.startswith("f0: " + reason[:1]) and "\n" not in shown
    assert read(render("dev", windows), "dev") == windows


@pytest.mark.parametrize(
    "change",
    [
        (b"kind: deny", b"kind: allow"),
        (b"14h0m", b"13h60m"),
        (b"14h0m", b"14h"),
        (b"0 18 * * fri", b"0 18 * * 5"),
        (b"manualSync: true", b"manualSync: false"),
        (b'["*"]', b"[board]"),
        (b"Europe/Berlin", b"Mars/Base"),
        (b"name: dev", b"name: prod"),
        (b"syncWindows:", b"syncWindow:"),
        (b"# Generated", b"# Changed"),
        (b"spec:", b"spec: ["),
        (b"why", b"\xff"),
    ],
)
def test_C11_a_file_of_another_hand_is_refused(change):
    """Whatever was not generated is not taken for agreement."""
    data = render("dev", generate(policy(weekly("fri", "18:00", "08:00")), NOW))
    with pytest.raises(PolicyRefused, match="not as `slipway freeze` writes it") as caught:
        read(data.replace(*change), "dev")
    assert caught.value.path == windows_path("dev") and "--refresh" in caught.value.fix


def test_C12_an_environment_without_windows_is_refused():
    """A missing file, a missing project and a patch that is not listed are named."""
    with pytest.raises(PolicyRefused, match="no such file"):
        read(None, "dev")
    with pytest.raises(EditRefused, match="no project"):
        check_wired(None, "dev")
    for text in (
        b"resources: []\n",
        b"patches: [{path: other.yaml}]\n",
        b"patches: [x]\n",
        b"[",
        b"\xff",
        b"",
    ):
        with pytest.raises(EditRefused, match="not among its patches") as caught:
            check_wired(text, "dev")
        assert "sync-windows.yaml" in caught.value.fix
    check_wired(b"patches:\n- path: other.yaml\n- path: sync-windows.yaml\n", "dev")
