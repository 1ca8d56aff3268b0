"""`slipway release` lifts a hold, and nothing else."""

import json

import pytest
from slipway.policy.environment import parse_policy

from tests.cli.bump_lab import BACKEND, NOTHING, POLICY, Deploy, invoke, kustomization, slipway
from tests.cli.promote_lab import TOKEN, ForgeServer

POLICY_DEV = "overlays/dev/environment.yaml"
BOARD = (
    '  - app: board  # b\n    reason: "v3 loses orders"\n    since: "2026-11-23T09:30:00Z"\n    by: "ana"\n'
)
OTHER = "  - {app: other, reason: r, since: 2026-11-20, by: eve}  # kept\n"
HELD = POLICY.format(env="dev") + "# holds\nholds:\n" + BOARD + OTHER + "soak: 0s  # end\n"
FREEZE = "freezes: [{name: night, reason: sleep, timezone: Europe/Berlin, start: 2020-01-01T00:00, end: 2126-01-01T00:00}]\n"


@pytest.fixture
def deploy(tmp_path):
    empty = kustomization((BACKEND, "unreleased", NOTHING))
    files = {f"overlays/dev/{app}/kustomization.yaml": empty for app in ("board", "other")}
    return Deploy.create(tmp_path / "deploy.git", files | {POLICY_DEV: HELD})


@pytest.fixture
def release(deploy):
    """Run `slipway release board --env dev`."""

    def run(*arguments, app="board", **env):
        return invoke("release", app, "--env", "dev", "--repo", deploy.url, *arguments, **env)

    return run


def test_hold_is_lifted_and_every_other_byte_stays(release, deploy):
    """The one hold goes, in a commit that says what was held; what happens next is said."""
    done = release()
    assert done.returncode == 0, done.stderr
    assert deploy.read(POLICY_DEV) == HELD.replace(BOARD, "") and deploy.changed() == [POLICY_DEV]
    assert deploy.message() == (
        "dev: board released\n\nReleased: dev/board\nHeld: since 2026-11-23 09:30 by ana: v3 loses orders\n\n"
    )
    for text in ("board was held in dev since 2026-11-23 09:30 by ana: v3 loses orders", "the next bump or promotion may land", "pushed"):  # fmt: skip
        assert text in done.stdout
    policy = parse_policy(deploy.read(POLICY_DEV).encode(), environment="dev", path=POLICY_DEV)
    assert [hold.app for hold in policy.holds] == ["other"]


def test_what_is_not_held_is_left_alone(release, deploy):
    """A second release, and one of an application that never was held, succeed and write nothing."""
    assert release().returncode == 0
    tip = deploy.tip
    done = release()
    assert done.returncode == 0 and deploy.tip == tip
    assert "board is not held in dev" in done.stdout and "nothing to write" in done.stdout


def test_json_says_what_was_released(release, deploy):
    """The answer has the hold that went, or null."""
    answer = json.loads(release("--json").stdout)
    assert answer["commit"] == deploy.tip and answer["released"]["since"] == "2026-11-23T09:30:00Z"
    assert (answer["released"]["by"], answer["released"]["reason"]) == ("ana", "v3 loses orders")
    answer = json.loads(release("--json").stdout)
    assert answer["commit"] is None and answer["released"] is None


def test_dry_run_writes_nothing(release, deploy):
    """A dry run shows the lines that would go."""
    tip = deploy.tip
    done = release("--dry-run")
    assert done.returncode == 0 and "-  - app: board  # b\n" in done.stdout and deploy.tip == tip
    assert "nothing was written" in done.stdout


def test_freeze_does_not_stand_against_a_release(release, deploy):
    """No image changes by it, and the freeze still stands against the bump that follows."""
    deploy.commit("freeze", {POLICY_DEV: HELD + FREEZE})
    assert release().returncode == 0 and BOARD not in deploy.read(POLICY_DEV)


def test_reviewed_environment_gets_a_pull_request(release, deploy):
    """Where the policy asks for review, lifting a hold does too."""
    held = HELD.replace("direct", "pull-request\napprovals: 1")
    deploy.commit("pr", {POLICY_DEV: held})
    tip = deploy.tip
    with ForgeServer("gitea", deploy) as forge:
        there = ("--forge", "gitea", "--forge-api", forge.api)
        done = release(*there, SLIPWAY_FORGE_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        assert deploy.tip == tip and "when the pull request is merged, the next promotion" in done.stdout
        (pull,) = forge.pulls
        assert pull["head"]["ref"] == "slipway/release/dev/board" and pull["title"] == "dev: board released"
        for text in ("held `since 2026-11-23 09:30 by ana: v3 loses orders`", "Approvals needed: 1.", "changes no image"):  # fmt: skip
            assert text in pull["body"]
        again = release(*there, SLIPWAY_FORGE_TOKEN=TOKEN)
        assert "pull request #1 is up to date" in again.stdout and len(forge.pulls) == 1
        forge.close(1, merged=True)
        assert deploy.read(POLICY_DEV) == held.replace(BOARD, "")
        assert "is not held" in release(*there, SLIPWAY_FORGE_TOKEN=TOKEN).stdout


@pytest.mark.parametrize(
    ("app", "policy", "code", "texts"),
    [
        ("nothing", HELD, 2, ["no application nothing in dev", "overlays/dev/nothing"]),
        ("../board", HELD, 2, ["no name"]),
        ("board", HELD + "holdz: []\n", 3, [f"{POLICY_DEV}:12", "holdz"]),
        ("board", HELD.replace("name: dev", "name: prod"), 3, ["the policy is of prod"]),
        ("board", HELD.replace(BOARD, BOARD * 2), 3, ["held twice"]),
    ],
)
def test_what_is_not_clear_is_refused(release, deploy, app, policy, code, texts):
    """A wrong name or a policy that cannot be read is named, and nothing is written."""
    tip = deploy.commit("policy", {POLICY_DEV: policy})
    done = release(app=app)
    assert done.returncode == code and all(text in done.stderr for text in [*texts, "fix:"]), done.stderr
    assert deploy.tip == tip


def test_help_has_an_example():
    """Help names the command to copy."""
    assert "Example: slipway release board --env" in slipway("release", "--help").stdout
