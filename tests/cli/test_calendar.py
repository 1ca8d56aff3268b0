"""`slipway calendar` tells when each environment is open, and whether Argo CD agrees."""

import json
import os
import re

import pytest
from slipway.policy.windows import windows_path

from tests.cli.bump_lab import Deploy, invoke, slipway
from tests.cli.freeze_lab import environments, policy_path, policy_text

AT = "2026-12-14T12:00"
YEAR_END = "{name: year-end, reason: nobody is here, timezone: Europe/Berlin, start: '2026-12-20T18:00', end: '2027-01-02T08:00'}"
WEEKEND = (
    "{name: weekend, reason: sleep, timezone: UTC, weekly: {days: [fri, sat], from: '18:00', to: '06:00'}}"
)
HOLD = "holds: [{app: board, reason: v3 loses orders, since: '2026-12-01T09:30:00Z', by: ana}]\n"


@pytest.fixture
def checkout(tmp_path):
    """A folder with three environments: open, closed at weekends, closed at the end of the year."""
    files = environments()
    files[policy_path("staging")] = policy_text("staging", f"freezes: [{WEEKEND}]\n{HOLD}")
    files[policy_path("prod")] = policy_text("prod", f"freezes: [{YEAR_END}]\n")
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.fixture
def calendar(checkout):
    """Run `slipway calendar` on it."""

    def run(*arguments, at=AT, process=invoke, **env):
        return process("calendar", "--from", str(checkout), "--at", at, *arguments, **env)

    return run


def rows(done) -> dict[str, str]:
    """The picture's rows by environment."""
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^(dev|staging|prod) +([·▒█ ]+)$", done.stdout, re.MULTILINE))


def test_picture_has_a_row_for_each_environment(calendar):
    """In the order of the chain, four blocks a day, and a legend that says what they are."""
    done = calendar("--days", "7")
    found = rows(done)
    assert list(found) == ["dev", "staging", "prod"]
    assert found["dev"] == " ".join(["····"] * 7).replace("····", "········")
    done = calendar(COLUMNS="80")
    found = rows(done)
    assert found["dev"] == " ".join(["····"] * 14)
    assert found["staging"].split() == ["····"] * 4 + ["···█", "█··█", "█···"] + ["····"] * 4 + [
        "···█",
        "█··█",
        "█···",
    ]
    assert found["prod"].split() == ["····"] * 6 + ["··▒█"] + ["████"] * 7
    head = done.stdout.splitlines()
    assert head[0].split() == ["2026-12", *(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] * 2)]
    assert head[1].split() == [str(day) for day in range(14, 28)]
    assert "· open  ▒ partly  █ closed   (6 h each, in UTC)" in done.stdout


def test_days_are_those_of_the_zone_asked_for(calendar):
    """The same freeze begins in another block elsewhere, and a month is cut into lines that fit."""
    found = rows(calendar("--days", "8", "--timezone", "Asia/Tokyo", COLUMNS="60"))
    assert found["prod"].split() == ["····"] * 7 + ["▒███"]
    done = calendar("--days", "28", COLUMNS="60")
    assert len(re.findall(r"^prod +[·▒█ ]+$", done.stdout, re.MULTILINE)) == 3
    assert max(map(len, done.stdout.split("\n\n")[0].splitlines())) <= 60


def test_state_says_what_is_closed_until_when_and_what_is_held(calendar):
    """Each environment has its next closing or opening, in the freeze's zone and in UTC, and its holds."""
    done = calendar()
    assert "dev: open, no freeze within a year\n" in done.stdout
    assert (
        "staging: open, closes 2026-12-18 18:00 UTC, opens 2026-12-19 06:00 UTC (weekend: sleep)\n"
        in done.stdout
    )
    assert "staging: board is held since 2026-12-01 09:30 by ana: v3 loses orders\n" in done.stdout
    times = "closes 2026-12-20 18:00 Europe/Berlin (2026-12-20 17:00 UTC), opens 2027-01-02 08:00 Europe/Berlin (2027-01-02 07:00 UTC)"
    assert f"prod: open to pull requests, {times} (year-end: nobody is here)\n" in done.stdout
    during = calendar("--env", "prod", at="2026-12-20T17:00:00+00:00")
    assert (
        "prod: closed, opens 2027-01-02 08:00 Europe/Berlin (2027-01-02 07:00 UTC) (year-end" in during.stdout
    )
    assert "staging" not in during.stdout
    before = calendar("--env", "prod", at="2026-12-20T17:59:59", process=invoke)
    assert "prod: closed" in before.stdout
    assert (
        "prod: open"
        in calendar("--env", "prod", "--timezone", "Europe/Berlin", at="2026-12-20T17:59:59").stdout
    )


def test_json_has_the_same(calendar):
    """Closed times in UTC with the freezes that make them, and the holds."""
    answer = json.loads(calendar("--json").stdout)
    assert (answer["at"], answer["days"], answer["timezone"]) == ("2026-12-14T12:00:00+00:00", 14, "UTC")
    dev, staging, prod = answer["environments"]
    assert (dev["environment"], dev["open"], dev["closed"], dev["opens"]) == ("dev", True, [], answer["at"])
    assert [hold["app"] for hold in staging["holds"]] == ["board"] and len(staging["closed"]) == 4
    assert prod["delivery"] == "pull-request"
    assert prod["closed"] == [{"begin": "2026-12-20T17:00:00+00:00", "end": "2027-01-02T07:00:00+00:00", "freezes": ["year-end"]}]  # fmt: skip
    (prod,) = json.loads(calendar("--env", "prod", "--json", at="2026-12-25T00:00").stdout)["environments"]
    assert (prod["open"], prod["opens"]) == (False, "2027-01-02T07:00:00+00:00")


def test_adjoining_freezes_are_one_closed_time(calendar, checkout):
    """What is open for no moment is shown as closed throughout, with the names of all."""
    more = "{name: move, reason: new datacenter, timezone: UTC, start: '2027-01-02T07:00', end: '2027-01-03T00:00'}"
    (checkout / policy_path("prod")).write_text(policy_text("prod", f"freezes: [{YEAR_END}, {more}]\n"))
    done = calendar("--env", "prod")
    assert (
        "opens 2027-01-03 01:00 Europe/Berlin (2027-01-03 00:00 UTC) (year-end: nobody is here; move: new datacenter)"
        in done.stdout
    )


def test_check_compares_argocds_windows(calendar, checkout):
    """A policy whose windows were not written fails the check, with the first time at which they differ."""
    done = calendar("--check")
    assert done.returncode == 1
    assert "dev: Argo CD's windows agree\n" in done.stdout
    assert "staging: wrong: Argo CD deploys from 2026-12-18 18:00 to 2026-12-19 06:00 UTC, in the freeze weekend, and 103 times more within a year" in done.stdout  # fmt: skip
    assert "prod: wrong: Argo CD deploys from 2026-12-20 17:00 to 2027-01-02 07:00 UTC, in the freeze year-end\n" in done.stdout  # fmt: skip
    answer = json.loads(calendar("--check", "--json").stdout)
    assert [len(one["disagreements"]) for one in answer["environments"]] == [0, 104, 1]
    assert calendar("--check", "--env", "dev").returncode == 0
    (checkout / windows_path("dev")).write_text("spec: {}\n")
    done = calendar("--check", "--env", "dev")
    assert (
        done.returncode == 1
        and f"dev: wrong: {windows_path('dev')}: not as `slipway freeze` writes it" in done.stdout
    )
    (checkout / "argocd/environments/dev/kustomization.yaml").unlink()
    done = calendar("--check", "--env", "dev", "--json")
    assert done.returncode == 1 and "no project" in done.stdout


def test_what_freeze_writes_agrees_and_room_is_a_note(tmp_path):
    """After `slipway freeze` the check passes, on the remote as well; room for a change of the clock is told."""
    deploy = Deploy.create(tmp_path / "deploy.git", environments())
    weekly = (
        "--name",
        "w",
        "--weekly",
        "sat",
        "--from",
        "20:00",
        "--to",
        "02:30",
        "--timezone",
        "Europe/Berlin",
    )
    assert (
        invoke(
            "freeze", "--env", "dev", "--env", "prod", "--repo", deploy.url, *weekly, "--reason", "r"
        ).returncode
        == 0
    )
    done = invoke("calendar", "--check", SLIPWAY_DEPLOY_REPO=deploy.url)
    assert done.returncode == 0, done.stderr
    assert "prod: note: Argo CD is closed longer, from " in done.stdout
    deploy.commit("other", {policy_path("dev"): policy_text("dev")})
    done = invoke("calendar", "--check", "--repo", deploy.url)
    assert (
        done.returncode == 1
        and "dev: wrong: Argo CD is closed from " in done.stdout
        and "that no freeze asks for: w: r" in done.stdout
    )


def test_C11_a_corrupt_policy_is_an_error_beside_the_others(calendar, checkout):
    """The environment is not shown as open; the others are still told, and the exit code says that one is missing."""
    (checkout / policy_path("prod")).write_text("name: prod\nfreezes: [\n")
    done = calendar("--check")
    assert done.returncode == 3 and "unreadable policy" in done.stderr and policy_path("prod") in done.stderr
    assert list(dict(re.findall(r"^(dev|staging|prod) +([·▒█ ]+)$", done.stdout, re.MULTILINE))) == [
        "dev",
        "staging",
    ]
    done = calendar("--json")
    assert done.returncode == 3 and json.loads(done.stdout)["error"] == "PolicyRefused"


def test_C12_an_environment_without_a_policy_is_an_error(calendar, checkout):
    """Neither a name that is not there nor a folder without a policy passes as open."""
    done = calendar("--env", "production")
    assert done.returncode == 3 and "the environment production has no policy" in done.stderr
    assert calendar().returncode == 0
    (checkout / "overlays" / "new" / "board").mkdir(parents=True)
    done = calendar()
    assert done.returncode == 3 and "the environment new has no policy" in done.stderr


def test_C11_the_machines_time_zone_does_not_matter(calendar):
    """The same picture on a machine at the other end of the day."""
    there = calendar(process=slipway, TZ="Pacific/Auckland", COLUMNS="80", PYTHONIOENCODING="utf-8")
    assert there.stdout == calendar(COLUMNS="80").stdout


def test_checkout_at_hand_is_the_default(checkout, monkeypatch):
    """Without options the current folder is read; one without overlays/ is refused, and so is an empty one."""
    monkeypatch.chdir(checkout)
    monkeypatch.delenv("SLIPWAY_DEPLOY_REPO", raising=False)
    assert "prod:" in invoke("calendar").stdout
    (checkout / "empty" / "overlays").mkdir(parents=True)
    monkeypatch.chdir(checkout / "empty")
    assert "no environment" in invoke("calendar").stderr
    monkeypatch.chdir(os.sep)
    done = invoke("calendar")
    assert done.returncode == 2 and "has no overlays/" in done.stderr and "--repo" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--at", "tomorrow"], "--at: 'tomorrow' is no time"),
        (["--timezone", "Mars/Base"], "no time zone 'Mars/Base'"),
        (["--env", "a/b"], "is no name"),
        (["--days", "0"], "--days"),
    ],
)
def test_bad_arguments_are_named(calendar, arguments, text):
    """Each kind of wrong argument has a line that says what."""
    done = calendar(*arguments)
    assert done.returncode == 2 and text in done.stderr


def test_a_freeze_that_is_over_is_noted_before_it_comes_back(calendar, checkout):
    """The window of a freeze that ended is told of, and is wrong a month before cron would close again."""
    from slipway.policy.environment import parse_policy
    from slipway.policy.windows import generate, render

    path = policy_path("prod")
    policy = parse_policy((checkout / path).read_bytes(), environment="prod", path=path)
    begin = policy.freezes[0].span[0]
    (checkout / windows_path("prod")).write_bytes(render("prod", generate(policy, begin)))
    assert calendar("--check", "--env", "prod").returncode == 0
    done = calendar("--check", "--env", "prod", at="2027-02-01T00:00")
    assert done.returncode == 0 and "prod: note: Argo CD closes again from 2027-12-20 17:00" in done.stdout
    done = calendar("--check", "--env", "prod", at="2027-12-01T00:00")
    assert done.returncode == 1 and "prod: wrong: Argo CD closes again from 2027-12-20 17:00" in done.stdout


def test_help_is_fast():
    """Help comes without loading what only the work needs."""
    probe = slipway("calendar", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert "Example: slipway calendar" in probe.stdout
    assert not re.search(r"\| +(httpx|pydantic|yaml|rich)$", probe.stderr, re.MULTILINE)
