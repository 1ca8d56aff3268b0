"""A policy is read strictly, and what it says about time is right in every time zone."""

from datetime import UTC, datetime, timedelta

import pytest
from slipway.errors import PolicyRefused
from slipway.policy.environment import Environment, check_write, check_writer, json_schema, parse_policy

PATH = "overlays/dev/environment.yaml"
BASE = "name: dev\norder: 1\ndelivery: direct\n"
WHOLE = """\
name: prod
order: 3
from: staging
delivery: pull-request
approvals: 2
soak: 10m
freezes:
  - name: holidays
    start: 2026-12-23T18:00
    end: 2027-01-04T08:00
    timezone: Europe/Berlin
    reason: nobody is here
  - name: weekend
    weekly: {days: [fri], from: 16:00, to: 08:00}
    timezone: America/New_York
    reason: sleep
pruneBudget: 10%
architectures: [amd64, arm64]
signature: {required: yes, key: cosign.pub}
holds:
  - {app: board, reason: rolled back, since: 2026-11-23T09:30:00Z, by: ana}
retention: {commits: 20}
"""


def policy(text: str = "", environment: str = "dev") -> Environment:
    return parse_policy((BASE + text).encode(), environment=environment, path=PATH)


def freeze(text: str) -> Environment:
    return policy(f"freezes:\n  - name: f\n    reason: r\n    {text}\n")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_whole_file_is_understood():
    """Every key has its meaning, under the name that the file uses."""
    whole = parse_policy(WHOLE.encode(), environment="prod", path=PATH)
    assert (whole.order, whole.from_, whole.delivery, whole.approvals) == (3, "staging", "pull-request", 2)
    assert whole.soak == timedelta(minutes=10) and whole.prune_budget == 10 and whole.retention.commits == 20
    assert whole.architectures == ["amd64", "arm64"] and whole.signature.required
    assert whole.hold("board").by == "ana" and whole.hold("other") is None
    assert [f.name for f in whole.freezes] == ["holidays", "weekend"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("frezes: []\n", 4, "frezes"),
        ("prune_budget: 3\n", 4, "prune_budget"),
        ("pruneBudget: 101%\n", 4, "less than or equal to 100"),
        ("soak: 10\n", 4, "duration"),
        ("approvals: 1\n", 1, "pull-request"),
        ("from: dev\n", 1, "its own source"),
        ("signature: {required: true}\n", 4, "needs a key"),
        ("signature: {requird: true}\n", 4, "requird"),
        ("order: 2\n", 4, "`order` twice"),
        ("retention: &r {commits: 5}\nsoak: *r\n", 5, "an alias"),
        ("holds:\n  - {app: board, reason: r, since: 2026-11-23, by: a}\n  - {app: board, reason: r, since: 2026-11-23, by: a}\n", 1, "held twice"),
        ("freezes:\n  - {name: f, reason: r, timezone: Mars/Base, start: 2026-01-01T00:00, end: 2026-01-02T00:00}\n", 5, "no time zone"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC, start: 2026-01-02T00:00, end: 2026-01-01T00:00}\n", 5, "after start"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC, start: 2026-01-02T00:00}\n", 5, "either start and end"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC}\n", 5, "either start and end"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC, start: 2026-01-01T00:00Z, end: 2026-01-02T00:00Z}\n", 5, "local time"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC, weekly: {days: [fri], from: 18:00, to: 24:30}}\n", 5, "time of day"),
        ("freezes:\n  - {name: f, reason: r, timezone: UTC, weekly: {days: [friday], from: 18:00, to: 20:00}}\n", 5, "'mon'"),
        ("a: [\n", 5, "unreadable"),
    ],
)  # fmt: skip
def test_C11_what_is_not_clear_refuses_the_write(text, line, message):
    """Unknown keys, wrong values and unreadable files fail closed, with file, line and reason."""
    with pytest.raises(PolicyRefused, match=message) as caught:
        policy(text)
    assert (caught.value.path, caught.value.line) == (PATH, line) and caught.value.exit_code == 3


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"name: dev\n"])
def test_C11_corrupt_policy_refuses_the_write(data):
    """An empty file, broken bytes, a list, and half a policy are no permission."""
    with pytest.raises(PolicyRefused, match="policy"):
        parse_policy(data, environment="dev", path=PATH)


def test_C12_unlisted_environment_is_an_error():
    """An environment without a policy is closed, and so is one with another's."""
    with pytest.raises(PolicyRefused, match="no policy"):
        parse_policy(None, environment="dev", path=PATH)
    with pytest.raises(PolicyRefused, match="is of dev, not staging"):
        policy(environment="staging")


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-12-23T16:59:59", None),
        ("2026-12-23T17:00:00", "2027-01-04T07:00:00"),
        ("2027-01-04T06:59:59", "2027-01-04T07:00:00"),
        ("2027-01-04T07:00:00", None),
    ],
)
def test_C11_freeze_is_in_its_own_time_zone(moment, until, monkeypatch):
    """A freeze begins and ends by its own clock, whatever the machine's."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    frozen = freeze(
        "{start: 2026-12-23T18:00, end: 2027-01-04T08:00, timezone: Europe/Berlin}"[1:-1].replace(
            ", ", "\n    "
        )
    )
    assert frozen.opens(utc(moment)) == (utc(until) if until else utc(moment))
    assert bool(frozen.frozen(utc(moment))) is bool(until)


@pytest.mark.parametrize(
    ("start", "end", "moment", "frozen"),
    [
        # Clocks go back at 03:00 on 25 October 2026 in Berlin: 02:30 happens at 00:30 and at 01:30 UTC.
        ("2026-10-25T02:30", "2026-10-25T06:00", "2026-10-25T00:30:00", True),
        ("2026-10-25T02:30", "2026-10-25T06:00", "2026-10-25T00:29:59", False),
        ("2026-10-24T20:00", "2026-10-25T02:30", "2026-10-25T01:29:59", True),
        ("2026-10-24T20:00", "2026-10-25T02:30", "2026-10-25T01:30:00", False),
        # They jump from 02:00 to 03:00 on 28 March 2027: 02:30 does not happen.
        ("2027-03-28T02:30", "2027-03-28T06:00", "2027-03-28T00:30:00", True),
        ("2027-03-27T20:00", "2027-03-28T02:30", "2027-03-28T01:29:59", True),
        ("2027-03-27T20:00", "2027-03-28T02:30", "2027-03-28T01:30:00", False),
    ],
)
def test_C11_daylight_saving_takes_the_longer_way(start, end, moment, frozen):
    """Where a local time happens twice or not at all, the freeze holds for the longer of the two."""
    found = freeze(f"start: {start}\n    end: {end}\n    timezone: Europe/Berlin").frozen(utc(moment))
    assert bool(found) is frozen


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-11-27T20:59:59", "2026-11-27T20:59:59"),  # Friday 15:59 in New York
        ("2026-11-27T21:00:00", "2026-11-28T13:00:00"),
        ("2026-11-28T12:59:59", "2026-11-28T13:00:00"),
        ("2026-07-03T20:00:00", "2026-07-04T12:00:00"),  # summer time
        ("2026-11-26T22:00:00", "2026-11-26T22:00:00"),
    ],
)
def test_C11_weekly_freeze_runs_over_midnight(moment, opens):
    """A weekly freeze ends on the next day when its end comes before its start."""
    weekly = freeze("timezone: America/New_York\n    weekly: {days: [fri], from: 16:00, to: 08:00}")
    assert weekly.opens(utc(moment)) == utc(opens)


def test_C11_adjoining_freezes_open_at_the_end_of_the_last():
    """The time named is the one at which nothing holds any more; freezes without end have none."""
    both = policy(
        "freezes:\n"
        "  - {name: a, reason: r, timezone: UTC, start: 2026-12-01T00:00, end: 2026-12-05T00:00}\n"
        "  - {name: b, reason: r, timezone: Asia/Tokyo, start: 2026-12-05T00:00, end: 2026-12-07T09:00}\n"
    )
    assert both.opens(utc("2026-12-02T00:00:00")) == utc("2026-12-07T00:00:00")
    always = freeze(
        "timezone: UTC\n    weekly: {days: [mon, tue, wed, thu, fri, sat, sun], from: 00:00, to: 24:00}"
    )
    assert always.opens(utc("2026-12-02T00:00:00")) is None


def test_write_is_refused_by_delivery_hold_and_freeze():
    """Each rule that stands against a write is named with its reason and the way out."""
    check_write(policy(), ["board"], utc("2026-12-02T00:00:00"), path=PATH)
    whole = parse_policy(WHOLE.encode(), environment="prod", path=PATH)
    with pytest.raises(PolicyRefused, match="by pull request only") as caught:
        check_write(whole, ["board"], utc("2026-12-02T00:00:00"), path=PATH)
    assert "slipway promote board --to prod" in caught.value.fix
    direct = whole.model_copy(update={"delivery": "direct"})
    with pytest.raises(
        PolicyRefused, match="held in prod since 2026-11-23 09:30 by ana: rolled back"
    ) as caught:
        check_write(direct, ["board"], utc("2026-12-24T00:00:00"), path=PATH)
    assert "slipway release board --env prod" in caught.value.fix
    with pytest.raises(
        PolicyRefused, match="holidays: nobody is here.*opens at 2027-01-04 08:00 Europe/Berlin"
    ):
        check_write(direct, ["other"], utc("2026-12-24T00:00:00"), path=PATH)
    check_write(direct, ["other"], utc("2026-12-01T12:00:00"), path=PATH)


def test_B6_writers_are_those_listed_or_whoever_wrote_last():
    """Listed writers write in any order and nobody else does; without a list another one's entries are left alone."""
    listed = policy("writers: [one, two]\n")
    for writer in ("one", "two"):
        check_writer(listed, writer, lambda: "three", "board", path=PATH)
    for writer in ("three", None):
        with pytest.raises(PolicyRefused, match="not among the writers of dev"):
            check_writer(listed, writer, lambda: None, "board", path=PATH)
    check_writer(policy(), "one", lambda: None, "board", path=PATH)
    check_writer(policy(), None, lambda: "one", "board", path=PATH)
    with pytest.raises(
        PolicyRefused, match="board in dev was last written by one, and this is two"
    ) as caught:
        check_writer(policy(), "two", lambda: "one", "board", path=PATH)
    assert PATH in caught.value.fix
    with pytest.raises(PolicyRefused, match="writers.0"):
        policy("writers: [two words]\n")


def test_schema_knows_every_key():
    """The schema for editors has the file's own names and allows no others."""
    schema = json_schema()
    keys = {"name", "order", "from", "delivery", "approvals", "soak", "freezes", "holds", "pruneBudget", "architectures", "signature", "retention", "writers"}  # fmt: skip
    assert set(schema["properties"]) == keys and schema["additionalProperties"] is False
    assert schema["required"] == ["name", "order", "delivery"]


def test_shipped_policies_are_valid():
    """Every environment in this repository has a policy that passes."""
    from slipway.paths import CHECKOUT

    folders = [path for path in (CHECKOUT / "overlays").iterdir() if path.is_dir()]
    policies = [
        parse_policy((p / "environment.yaml").read_bytes(), environment=p.name, path=PATH) for p in folders
    ]
    assert sorted(p.order for p in policies) == list(range(1, len(policies) + 1))
