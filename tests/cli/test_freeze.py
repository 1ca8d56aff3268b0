"""`slipway freeze` closes and opens environments: policy and Argo CD's windows change together, or not at all."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from slipway.git.remote import RemoteRepo
from slipway.policy.environment import Freeze
from slipway.policy.windows import windows_path
from slipway.policy.windows_check import check
from slipway.writing.freeze import Freezing, Order

from tests.cli.bump_lab import Deploy, git, invoke, slipway, start
from tests.cli.freeze_lab import (
    environments,
    local,
    policy_of,
    policy_path,
    policy_text,
    windows_of,
)
from tests.cli.promote_lab import TOKEN, ForgeServer

DEV, WINDOWS_DEV = policy_path("dev"), windows_path("dev")
WEEKEND = ("--name", "weekend", "--weekly", "fri,sat,sun", "--from", "18:00", "--to", "08:00", "--timezone", "Europe/Berlin", "--reason", "sleep")  # fmt: skip


@pytest.fixture
def deploy(tmp_path):
    return Deploy.create(tmp_path / "deploy.git", environments())


@pytest.fixture
def freeze(deploy):
    """Run `slipway freeze --env dev`; `env` names others."""

    def run(*arguments, env="dev", process=invoke, repo=deploy.url, **environment):
        names = [text for name in env.split() for text in ("--env", name)]
        return process("freeze", *names, "--repo", repo, *arguments, **environment)

    return run


def once(name: str = "year-end", begin: float = 10, end: float = 20) -> list[str]:
    """The options of a freeze between two times, in days from now."""
    return ["--name", name, "--from", local(begin), "--to", local(end), "--timezone", "UTC", "--reason", f"{name}: nobody is here"]  # fmt: skip


def agree(deploy, *names: str) -> bool:
    """Whether Argo CD's windows agree with the policies, a year ahead."""
    now = datetime.now(UTC)
    return not any(one.wrong for name in names for one in check(policy_of(deploy, name), windows_of(deploy, name), now))  # fmt: skip


def refused(done, code: int, *texts: str) -> bool:
    """Whether a run ended with this code and said all this, without a traceback or a word of success."""
    return done.returncode == code and all(t in done.stderr for t in texts) and "fix:" in done.stderr and "pushed" not in done.stdout and "Traceback" not in done.stderr  # fmt: skip


def test_policy_and_windows_change_in_one_commit(freeze, deploy):
    """One commit closes the environment for bump and for Argo CD, and says when; nothing else changes."""
    done = freeze("--name", "year-end", "--from", local(10), "--to", local(20), "--timezone", "Europe/Berlin", "--reason", "nobody\n is 'here': #1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert deploy.count == 2 and sorted(deploy.changed()) == sorted([DEV, WINDOWS_DEV])
    (found,) = policy_of(deploy, "dev").freezes
    assert (found.name, found.timezone, found.reason) == ("year-end", "Europe/Berlin", "nobody is 'here': #1")
    begin, end = found.span
    utc = rf"\({begin:%Y-%m-%d %H:%M} UTC\), opens {found.end:%Y-%m-%d %H:%M} Europe/Berlin \({end:%Y-%m-%d %H:%M} UTC\)"
    assert re.search(
        rf"dev: closes {found.start:%Y-%m-%d %H:%M} Europe/Berlin {utc} \(year-end\)", done.stdout
    )
    assert f"pushed {deploy.tip[:12]} to main" in done.stdout
    assert "  # as agreed\nfreezes:\n  - name: year-end\n" in deploy.read(DEV)
    (window,) = windows_of(deploy, "dev")
    assert window.schedule == f"{begin.minute} {begin.hour} {begin.day} {begin.month} *"
    assert window.duration == end - begin and agree(deploy, "dev")
    message = deploy.message()
    assert message.startswith(f"dev: freeze year-end, {found.start:%Y-%m-%d %H:%M} to ")
    trailers = git("interpret-trailers", "--parse", input=message.encode())
    assert trailers == "Freeze: dev/year-end\nFreeze-Reason: nobody is 'here': #1\n"


def test_second_time_writes_nothing(freeze, deploy):
    """The same freeze again is there already, which is a success."""
    options = once()
    assert freeze(*options).returncode == 0
    tip = deploy.tip
    done = freeze(*options)
    assert done.returncode == 0 and "dev: year-end is there already" in done.stdout
    assert "nothing to write" in done.stdout and deploy.tip == tip


def test_several_environments_close_in_one_commit(freeze, deploy):
    """A weekly freeze of all three is one commit, even where changes come by pull request: closing needs no review."""
    done = freeze(*WEEKEND, env="dev staging prod dev")
    assert done.returncode == 0, done.stderr
    assert deploy.count == 2 and len(deploy.changed()) == 6
    for name in ("dev", "staging", "prod"):
        assert windows_of(deploy, name)[0].schedule == "0 18 * * fri,sat,sun"
    assert agree(deploy, "dev", "staging", "prod")
    assert deploy.message().startswith(
        "dev, staging, prod: freeze weekend, fri, sat, sun 18:00 to 08:00 Europe/Berlin\n\nFreeze: dev/weekend\n"
    )
    assert freeze(*WEEKEND, env="prod").stdout.endswith("nothing to write\n")


def test_room_for_a_change_of_the_clock_is_told(freeze, deploy):
    """Where Argo CD must be closed longer than the policy, the command says so."""
    options = [*WEEKEND[:-6], "--to", "02:30", *WEEKEND[-4:]]
    done = freeze(*options)
    assert done.returncode == 0, done.stderr
    assert "dev: Argo CD is closed longer, from " in done.stdout and "times more within a year" in done.stdout
    assert agree(deploy, "dev") and len(windows_of(deploy, "dev")) == 2


def test_lifting_is_a_commit_where_changes_are_direct(freeze, deploy):
    """The freeze and its window go, the others stay, and every other byte is as before."""
    before = deploy.read(DEV), deploy.read(WINDOWS_DEV)
    freeze(*once("first", 1, 2), env="dev staging")
    assert freeze("--lift", "first").returncode == 0
    assert (deploy.read(DEV), deploy.read(WINDOWS_DEV)) == before
    assert deploy.message() == "dev: freeze first lifted\n\nFreeze-Lifted: dev/first\nFreeze-Reason: first: nobody is here\n\n"  # fmt: skip
    assert len(windows_of(deploy, "staging")) == 1
    freeze(*WEEKEND)
    freeze(*once("second", -1, 2))
    done = freeze("--end", "weekend")
    assert done.returncode == 0 and "dev: weekend is lifted" in done.stdout
    assert "dev: is closed, opens " in done.stdout and "(second)" in done.stdout
    assert [f.name for f in policy_of(deploy, "dev").freezes] == ["second"] and agree(deploy, "dev")
    again = freeze("--lift", "weekend")
    assert again.returncode == 0 and "dev: has no freeze named weekend (freezes: second)" in again.stdout
    assert "nothing to write" in again.stdout


def test_lifting_is_reviewed_where_changes_are(freeze, deploy):
    """One environment with pull requests makes the whole change one; main opens with the merge."""
    freeze(*once("year-end", 1, 2), env="dev prod")
    tip = deploy.tip
    with ForgeServer(deploy=deploy) as forge:

        def lift():
            address = ("--forge", "gitea", "--forge-api", forge.api)
            return freeze("--lift", "year-end", *address, env="dev prod", SLIPWAY_FORGE_TOKEN=TOKEN)

        done = lift()
        assert done.returncode == 0, done.stderr
        assert deploy.tip == tip and "prod: year-end is lifted when the pull request is merged" in done.stdout
        (pull,) = forge.pulls
        assert pull["head"]["ref"] == "slipway/lift/dev-prod/year-end"
        assert pull["title"] == "dev, prod: freeze year-end lifted"
        assert "Lifts the freeze `year-end` in **prod**" in pull["body"]
        assert "pull request #1 is up to date" in lift().stdout and len(forge.pulls) == 1
        forge.close(1, merged=True)
        assert not policy_of(deploy, "prod").freezes and not windows_of(deploy, "prod")
        assert lift().stdout.endswith("nothing to write\n")


def test_dry_run_and_json_show_the_change(freeze, deploy):
    """A dry run shows both files' differences and writes nothing; JSON says the same."""
    tip, options = deploy.tip, once()
    done = freeze(*options, "--dry-run")
    assert done.returncode == 0 and f"+++ b/{DEV}" in done.stdout and f"+++ b/{WINDOWS_DEV}" in done.stdout
    assert "+  - kind: deny\n" in done.stdout and "nothing was written" in done.stdout
    answer = json.loads(freeze(*options, "--dry-run", "--json").stdout)
    assert answer["dry_run"] and answer["commit"] is None and "+  - name: year-end" in answer["diff"]
    assert deploy.tip == tip
    answer = json.loads(freeze(*options, "--json").stdout)
    (one,) = answer["environments"]
    assert answer["commit"] == deploy.tip and one["changed"] and one["windows_changed"]
    begin, end = policy_of(deploy, "dev").freezes[0].span
    assert (one["closes"], one["opens"]) == (begin.isoformat(), end.isoformat())
    assert one["freeze"]["name"] == "year-end" and one["remarks"] == []
    answer = json.loads(freeze("--lift", "year-end", "--json").stdout)
    assert answer["environments"][0]["closes"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "say what to do"),
        (["--lift", "x", "--refresh"], 2, "say what to do"),
        (["--lift", "x", "--name", "y"], 2, "say what to do"),
        (once()[:-2], 2, "needs --reason"),
        (once()[:2] + once()[4:], 2, "needs --from"),
        ([*once()[:6], *once()[8:]], 2, "needs --timezone"),
        ([*once(), "--reason", " "], 2, "--reason needs a reason"),
        ([*once(), "--name", "Year End"], 2, "is no name"),
        ([*once(), "--timezone", "Mars/Base"], 2, "--timezone: no time zone 'Mars/Base'"),
        ([*once(), "--from", "2026-12-20T18:00+01:00"], 2, "--from: write local time without an offset"),
        ([*once(), "--from", "tomorrow"], 2, "--from: "),
        ([*once(), "--from", "0001-01-01T00:00"], 2, "--from: write a year"),
        ([*once(), "--to", local(5)], 2, "end must come after start"),
        (once(begin=-3, end=-1), 2, "is over already"),
        (once(begin=300, end=366), 2, "more than a year from now"),
        ([*WEEKEND, "--weekly", "friday"], 2, "--weekly: "),
        ([*WEEKEND, "--from", "6pm"], 2, "--from: write a time of day"),
        ([*WEEKEND, "--to", "25:00"], 2, "--to: write a time of day"),
        ([*once(), "--env", "../dev"], 2, "no name"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(freeze, deploy, arguments, code, text):
    """Each kind of wrong argument has a line that says what and how to mend it; nothing is written."""
    tip = deploy.tip
    done = freeze(*arguments)
    assert refused(done, code, text), done.stderr
    assert deploy.tip == tip


def test_another_freeze_of_that_name_is_refused(freeze, deploy):
    """A name is not given twice, and a freeze is not changed in passing; one environment in the way stops all."""
    freeze(*once())
    tip = deploy.tip
    assert refused(freeze(*once(end=21), env="staging dev"), 3, "has a freeze named year-end already", DEV)
    assert deploy.tip == tip


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({DEV: "name: dev\nfreezes: [\n"}, "unreadable policy"),
        ({DEV: policy_text("dev", "freezes: [{name: f}]\n")}, "invalid policy"),
        ({DEV: policy_text("dev", "frezes: []\n")}, "frezes"),
        ({DEV: policy_text("dev").replace("name: dev", "name: prod")}, "the policy is of prod"),
        ({DEV: policy_text("dev", "freezes: []\nfreezes: []\n")}, "twice"),
    ],
)
def test_C11_a_corrupt_policy_is_refused(freeze, deploy, change, text):
    """What cannot be read is not frozen, not lifted and not mended; the file is named."""
    tip = deploy.commit("corrupt", change)
    for arguments in (once(), ["--lift", "f"], ["--refresh"]):
        assert refused(freeze(*arguments), 3, text, DEV)
    assert deploy.tip == tip


def test_C12_an_unlisted_environment_is_refused(freeze, deploy):
    """No policy, no project or a patch that is not listed: an explicit error, and the others stay as they are."""
    tip = deploy.tip
    assert refused(freeze(*once(), env="dev production"), 3, "production has no policy")
    assert deploy.tip == tip
    kustomization = "argocd/environments/dev/kustomization.yaml"
    tip = deploy.commit("unwired", {kustomization: "resources: [project.yaml]\n"})
    assert refused(
        freeze(*once(), env="staging dev"), 3, "sync-windows.yaml is not among its patches", kustomization
    )
    deploy.commit("new", {policy_path("prod").replace("prod", "new"): policy_text("dev").replace("name: dev", "name: new")})  # fmt: skip
    assert refused(freeze(*once(), env="new"), 3, "Argo CD has no project for this environment")
    assert deploy.read(DEV) == policy_text("dev")


def test_C11_the_machines_time_zone_does_not_matter(freeze, deploy):
    """A machine at the other end of the day writes the very same files."""
    options = [*once()[:-4], "--timezone", "Europe/Berlin", "--reason", "r"]
    done = freeze(*options, process=slipway, TZ="Pacific/Auckland")
    assert done.returncode == 0, done.stderr
    written = deploy.read(DEV), deploy.read(WINDOWS_DEV)
    freeze("--lift", "year-end")
    assert freeze(*options).returncode == 0
    assert (deploy.read(DEV), deploy.read(WINDOWS_DEV)) == written


@pytest.mark.parametrize(
    ("zone", "begin", "end", "expected"),
    [
        # Clocks go back on 25 October 2026 in Berlin: 02:30 twice, the freeze takes both.
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T02:45", ("00:30", "01:45")),
        # They go forward on 28 March 2027: 02:30 never, the freeze takes the longer way.
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T02:45", ("00:30", "01:45")),
        # South of the equator clocks go back in April: 4 April 2027 in Sydney, 02:30 twice.
        ("Australia/Sydney", "2027-04-04T02:30", "2027-04-04T02:45", ("15:30", "16:45")),
    ],
)
def test_C11_daylight_saving_closes_for_the_longer_way(deploy, zone, begin, end, expected):
    """Policy, windows and what is printed agree on the hours that happen twice or not at all."""
    one = Freeze(name="f", reason="r", timezone=zone, start=begin, end=end)
    now = one.span[0] - timedelta(days=3)
    freezing = Freezing(Order(("dev",), one), clock=lambda: now)
    with RemoteRepo(deploy.url) as repo:
        assert freezing.propose(repo.tip())
    assert tuple(f"{moment:%H:%M}" for moment in one.span) == expected
    (result,) = freezing.results
    assert result.remarks == () and result.changed and result.windows_changed


def test_refresh_follows_a_policy_that_was_edited(freeze, deploy):
    """A reviewed edit of the policy reaches Argo CD by --refresh; what is up to date is left alone."""
    assert "nothing to write" in freeze("--refresh", env="dev staging prod").stdout
    lists = "freezes:\n  - {name: f, reason: r, timezone: UTC, weekly: {days: [mon], from: '01:00', to: '02:00'}}\n"
    deploy.commit("reviewed", {policy_path("prod"): policy_text("prod", lists)})
    assert not agree(deploy, "prod")
    done = freeze("--refresh", env="dev prod")
    assert done.returncode == 0 and "prod: Argo CD's sync windows are written anew" in done.stdout
    assert deploy.changed() == [windows_path("prod")] and agree(deploy, "prod")
    assert deploy.message() == "prod: sync windows written anew\n\nSync-Windows: prod\n\n"
    deploy.commit("by hand", {WINDOWS_DEV: "spec: {}\n"})
    assert freeze("--refresh").returncode == 0 and windows_of(deploy, "dev") == []


def test_the_next_write_drops_the_window_of_a_freeze_that_is_over(freeze, deploy):
    """Cron knows no year, so a window must not stay for the next one."""
    freeze(*once("soon", -1, 300))
    over = policy_text("dev", f"freezes: [{{name: over, reason: r, timezone: UTC, start: '{local(-9)}', end: '{local(-8)}'}}]\n")  # fmt: skip
    deploy.commit("time goes by", {DEV: over})
    assert len(windows_of(deploy, "dev")) == 1
    assert freeze(*WEEKEND).returncode == 0
    assert [w.description for w in windows_of(deploy, "dev")] == ["weekend: sleep"]
    assert [f.name for f in policy_of(deploy, "dev").freezes] == ["over", "weekend"]


def test_two_at_once_both_land(freeze, deploy):
    """Writers that meet lose nothing: the later one is applied on top of the earlier, windows included."""
    log = deploy.hook(
        "pre-receive", f'[ $(wc -l < "{deploy.path}/pre-receive.log") = 1 ] && sleep 0.5; exit 0'
    )
    first = freeze(*once("first"), process=start)
    while not log.exists():
        time.sleep(0.02)
    second = freeze(*once("second", 30, 40))
    assert second.returncode == 0, second.stderr
    assert first.communicate_all().returncode == 0
    assert {f.name for f in policy_of(deploy, "dev").freezes} == {"first", "second"}
    assert len(windows_of(deploy, "dev")) == 2 and agree(deploy, "dev") and deploy.count == 3


def test_a_declining_hook_is_told(freeze, deploy):
    """What the remote refuses is refused once, with its text."""
    log = deploy.hook("pre-receive", "echo 'only by review' >&2; exit 1")
    assert refused(freeze(*once()), 4, "only by review")
    assert log.read_text() == "run\n"


def test_help_is_fast():
    """Help comes without loading what only the work needs."""
    probe = slipway("freeze", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert "Example: slipway freeze" in probe.stdout
    assert not re.search(r"\| +(httpx|pydantic|yaml|rich)$", probe.stderr, re.MULTILINE)
