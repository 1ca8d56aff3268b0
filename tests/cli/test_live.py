"""`slipway live` against an API that replays what a real Argo CD answered, and a Git repository of its own."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.bump_lab import POLICY, Deploy, invoke, kustomization
from tests.cli.promote_lab import JsonServer

FIXTURES = Path(__file__).parents[1] / "fixtures" / "argocd"
BROKEN, UNRENDERED, FORBIDDEN = (
    "rollout-that-never-gets-ready",
    "overlay-that-does-not-render",
    "kind-that-the-project-forbids",
)
TOKEN = "a token that may read"
SOURCE = "5" * 40
NOW = datetime.now(UTC)


def frames(name: str) -> list[dict]:
    """What Argo CD answered at each moment: application, resource tree, sync windows, workloads."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def images(frame: dict) -> dict[str, tuple[str, str]]:
    """Name to tag and digest of the board's images in a frame."""
    found = {}
    for text in frame["application"]["status"]["summary"]["images"]:
        name, _, digest = text.partition("@")
        name, _, tag = name.rpartition(":")
        if "/board-" in name:
            found[name] = (tag, digest)
    return found


class ReplayedArgo(JsonServer):
    """Argo CD's API of one application; every question for the application steps on, up to the last frame."""

    def __init__(self, frames_: list[dict], step: bool = False, compared: datetime | None = None):
        super().__init__()
        self.frames, self.step, self.at = copy.deepcopy(frames_), step, 0
        for frame in self.frames:  # the recording is older than the commits of a test
            moment = compared or datetime.now(UTC) + timedelta(seconds=2)
            frame["application"]["status"]["reconciledAt"] = moment.isoformat(timespec="seconds")

    def answer(self, method, path, asked, body):
        if TOKEN not in (self.requests[-1][2] or ""):
            return 401, {"message": "no session information"}, {}
        frame = self.frames[self.at]
        if path.endswith("/dev-board"):
            if self.step and self.count("GET") > 1:
                self.at = min(self.at + 1, len(self.frames) - 1)
            return 200, self.frames[self.at]["application"], {}
        if path.endswith("/resource-tree"):
            return 200, frame["tree"], {}
        if path.endswith("/syncwindows"):
            return 200, frame["windows"], {}
        found = frame["resources"].get(asked["resourceName"])
        return (200, {"manifest": json.dumps(found)}, {}) if found else (404, {"message": "not found"}, {})


class World:
    """A deploy repository whose newest commit bumped the images of a recording, and Argo CD as recorded.

    `own` is the recorded revision that stands for that bump; revisions of other commits stay as they were.
    """

    def __init__(self, tmp_path: Path, policy: str = ""):
        self.overlay = "overlays/dev/board/kustomization.yaml"
        files = {
            "overlays/dev/environment.yaml": POLICY.format(env="dev") + policy,
            self.overlay: "images: []\n",
        }
        files["overlays/staging/environment.yaml"] = "name: staging\norder: 2\nfrom: dev\ndelivery: direct\n"
        self.deploy = Deploy.create(tmp_path / "deploy.git", files)

    def bump(self, found: dict[str, tuple[str, str]], commit: str = SOURCE) -> str:
        text = kustomization(*((name, tag, digest) for name, (tag, digest) in found.items()))
        trailers = "".join(
            f"Image: {name}:{tag}\nDigest: {digest}\nSource-Commit: {commit}\nPrevious: dev/board v0\n"
            for name, (tag, digest) in found.items()
        )
        self.deploy.commit(f"dev: board\n\n{trailers}", {self.overlay: text})
        return self.deploy.tip

    def live(self, argo: ReplayedArgo, *arguments: str, **env: str):
        login = {
            "ARGOCD_SERVER": argo.url,
            "ARGOCD_AUTH_TOKEN": TOKEN,
            "SLIPWAY_DEPLOY_REPO": self.deploy.url,
        }
        return invoke("live", *arguments, **(login | env))


def stand_for(recorded: list[dict], revision: str, sha: str) -> list[dict]:
    """The recording with one of its commits being ours."""
    return json.loads(json.dumps(recorded).replace(revision, sha))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    """The pause between two looks is not what is tested."""
    monkeypatch.setattr("slipway.commands.live._PAUSE", 0.02)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def revision(frame: dict) -> str:
    return frame["application"]["status"]["sync"]["revision"]


def verdict(done) -> dict:
    (one,) = json.loads(done.stdout)["verdicts"]
    return one


def ask(world: World, recorded: list[dict], *arguments: str, what: str = SOURCE) -> tuple[int, dict]:
    with ReplayedArgo(recorded) as argo:
        done = world.live(argo, what, "--env", "dev", "--json", *arguments)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, verdict(done)


def broken(world: World) -> list[dict]:
    """The recording of a rollout that never gets ready; its second commit is the newest bump of the repository."""
    recorded = frames(BROKEN)
    sha = world.bump(images(recorded[0]))
    return stand_for(recorded, revision(recorded[1]), sha)


def test_live_means_every_pod_of_the_digest_is_ready(world):
    """Synced and healthy at the bump's commit, with all Deployments done."""
    recorded = frames(BROKEN)
    sha = world.bump(images(recorded[0]))
    code, one = ask(world, stand_for(recorded, revision(recorded[0]), sha))
    assert (code, one["state"], one["ready"], one["wanted"]) == (0, "live", 4, 4)


def test_C1_what_argocd_said_of_the_revision_before_is_not_believed(world):
    """Synced and healthy, but at an older commit: it waits; and then the new one fails, and is said to have failed."""
    recorded = broken(world)
    assert ask(world, recorded[:1])[1]["state"] == "waiting"
    code, one = ask(world, recorded[5:6])
    assert (code, one["state"]) == (1, "degraded")
    with ReplayedArgo(recorded[:6], step=True) as argo:
        done = world.live(argo, SOURCE, "--env", "dev", "--wait", "--json", "--timeout", "60")
    assert done.returncode == 1 and verdict(done)["state"] == "degraded"
    assert "rolling" in done.stderr and done.stderr.index("rolling") < done.stderr.index("degraded")


def test_C2_healthy_for_a_moment_is_not_live(world):
    """Just after the sync, while the old health still stands and the Deployment is not done, it is rolling."""
    recorded = broken(world)
    states = [ask(world, [frame])[1]["state"] for frame in recorded[:6]]
    assert states == ["waiting", "rolling", "rolling", "rolling", "rolling", "degraded"]
    hasty = copy.deepcopy(recorded[3])
    hasty["application"]["status"]["health"]["status"] = "Healthy"
    assert ask(world, [hasty])[1]["state"] == "rolling"
    unseen = copy.deepcopy(frames(BROKEN)[0])
    unseen = stand_for([unseen], revision(unseen), world.deploy.tip)[0]
    assert ask(world, [unseen])[1]["state"] == "live"
    unseen["resources"]["board-backend"]["metadata"]["generation"] += 1
    assert ask(world, [unseen])[1]["state"] == "rolling"


def test_C3_nothing_to_wait_for_is_answered_at_once(world):
    """With --wait and everything there, one look is enough."""
    recorded = frames(BROKEN)
    sha = world.bump(images(recorded[0]))
    with ReplayedArgo(stand_for(recorded[:1], revision(recorded[0]), sha), step=True) as argo:
        done = world.live(argo, SOURCE, "--env", "dev", "--wait", "--timeout", "60")
        asked = sum(path.endswith("/dev-board") for _, path, _ in argo.requests)
    assert done.returncode == 0 and asked == 1


def test_C4_a_render_error_is_shown_though_health_is_green(world):
    """The condition's text, at once."""
    recorded = frames(UNRENDERED)
    sha = world.bump(images(recorded[0]))
    frame = stand_for(recorded, revision(recorded[2]), sha)[1]
    assert frame["application"]["status"]["health"]["status"] == "Healthy"
    code, one = ask(world, [frame])
    assert (code, one["state"]) == (1, "render-failed") and "missing.yaml" in one["text"]


def test_C4_a_render_error_of_an_older_commit_is_not_ours(world):
    """The condition names no commit: found before ours was written, it says nothing about ours."""
    recorded = frames(UNRENDERED)
    world.bump(images(recorded[0]))
    with ReplayedArgo([recorded[1]], compared=datetime(2020, 1, 1, tzinfo=UTC)) as argo:
        done = world.live(argo, SOURCE, "--env", "dev", "--json")
    assert done.returncode == 5 and verdict(done)["state"] == "waiting"


def test_C10_a_closed_window_is_blocked_until_it_opens_and_no_failure(tmp_path):
    """With the time at which the policy opens it; and the same when only Argo CD knows of a window."""
    end = (NOW + timedelta(hours=5)).replace(second=0, microsecond=0)
    freeze = (
        f"freezes: [{{name: audit, reason: the books, timezone: UTC, start: '{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M}', "
        f"end: '{end:%Y-%m-%dT%H:%M}'}}]\n"
    )
    for policy, canned in ((freeze, True), ("", False)):
        world = World(tmp_path / str(canned), policy)
        recorded = frames(BROKEN)
        sha = world.bump(images(recorded[0]))
        frame = stand_for(recorded, revision(recorded[1]), sha)[1]
        frame["application"].pop("operation")
        frame["application"]["status"]["operationState"] = frames(BROKEN)[0]["application"]["status"][
            "operationState"
        ]
        frame["windows"] = {"canSync": canned}
        code, one = ask(world, [frame])
        assert (code, one["state"]) == (3, "blocked")
        if policy:
            assert one["until"] == end.isoformat() and "audit" in one["text"]


def test_C22_a_missing_credential_is_named_and_never_taken_for_live(world):
    """Without a token, and with one that is refused."""
    world.bump(images(frames(BROKEN)[0]))
    with ReplayedArgo(frames(BROKEN)[:1]) as argo:
        missing = world.live(argo, SOURCE, ARGOCD_AUTH_TOKEN="")
        wrong = world.live(argo, SOURCE, ARGOCD_AUTH_TOKEN="another")
    assert missing.returncode == 2 and "ARGOCD_AUTH_TOKEN" in missing.stderr
    assert wrong.returncode == 4 and "ARGOCD_AUTH_TOKEN" in wrong.stderr and not missing.stdout + wrong.stdout


def test_degraded_names_the_pod_and_the_reason(world):
    """And what a person can do."""
    _, one = ask(world, broken(world)[5:6])
    (pod,) = one["pods"]
    assert pod["name"].startswith("board-backend-") and "0/1 containers ready" in pod["reason"]
    assert pod["name"] in one["text"] and "slipway rollback board --env dev" in one["fix"]


def test_rolling_tells_how_many_of_how_many(world):
    _, one = ask(world, broken(world)[3:4])
    assert one["state"] == "rolling" and f"{one['ready']} of {one['wanted']}" in one["text"]


def test_a_sync_that_fails_again_and_again_has_failed(world):
    """The first failure may pass; from the second attempt on it is called what it is, with Argo CD's text."""
    recorded = frames(FORBIDDEN)
    sha = world.bump({**images(recorded[0]), "r.example/slipway/board-extra": ("v1", "sha256:" + "e" * 64)})
    ours = stand_for(recorded, revision(recorded[1]), sha)
    states = [ask(world, [frame])[1]["state"] for frame in ours[1:7]]
    assert states == ["rolling", "rolling", "rolling", "sync-failed", "rolling", "sync-failed"]
    code, one = ask(world, [ours[4]])
    assert code == 1 and "Role is not permitted in project dev" in one["text"]


def test_what_runs_stays_live_while_a_newer_commit_fails(world):
    """The question is about the older one, whose Pods all run."""
    recorded = frames(FORBIDDEN)
    sha = world.bump(images(recorded[0]))
    world.deploy.commit("dev: a kind that is forbidden", {"overlays/dev/board/extra.yaml": "kind: Role\n"})
    ours = stand_for(recorded, recorded[4]["application"]["status"]["history"][-1]["revision"], sha)
    ours = stand_for(ours, revision(recorded[4]), world.deploy.tip)
    code, one = ask(world, [ours[4]])
    assert (code, one["state"]) == (0, "live") and "a newer commit" in one["text"]


def test_a_sync_that_waits_for_confirmation_says_so(world):
    """Nobody has confirmed the removal yet: it will not go on by itself."""
    frame = broken(world)[1]
    state = frame["application"]["status"]["operationState"]
    state |= {
        "phase": "Running",
        "message": "waiting for pruning confirmation of /PersistentVolumeClaim/data",
    }
    code, one = ask(world, [frame])
    assert (code, one["state"]) == (3, "confirmation") and "PersistentVolumeClaim/data" in one["text"]


def test_an_image_that_another_went_over_is_superseded(world):
    """By the one that Git names now."""
    recorded = frames(BROKEN)
    name = next(iter(images(recorded[0])))
    old = {name: ("v1", "sha256:" + "a" * 64)}
    world.bump(old, "1" * 40)
    world.bump({name: ("v2", "sha256:" + "b" * 64)}, "2" * 40)
    for what in ("1" * 40, f"{name}:v1", f"{name}@sha256:{'a' * 64}"):
        code, one = ask(world, recorded[:1], what=what)
        assert (code, one["state"]) == (3, "superseded") and "v2" in one["text"]


def test_a_held_application_says_who_holds_it_and_why(tmp_path):
    recorded = frames(BROKEN)
    hold = "holds: [{app: board, reason: v3 loses orders, since: '2026-11-01T09:30:00Z', by: ana}]\n"
    world = World(tmp_path, hold)
    name = next(iter(images(recorded[0])))
    world.bump({name: ("v2", "sha256:" + "b" * 64)}, "2" * 40)
    code, one = ask(world, recorded[:1], what=f"{name}:v3")
    assert (code, one["state"]) == (3, "held") and "ana: v3 loses orders" in one["text"]
    assert "slipway release board --env dev" in one["fix"]


def test_an_image_that_was_never_there_is_not_this_image(world):
    recorded = frames(BROKEN)
    name = next(iter(images(recorded[0])))
    world.bump(images(recorded[0]))
    code, one = ask(world, recorded[:1], what=f"{name}:v99")
    assert (code, one["state"]) == (3, "not-this-image")


def test_a_commit_that_nothing_records_is_not_built(world):
    """It may still come, so that is another code than a failure."""
    world.bump(images(frames(BROKEN)[0]))
    code, one = ask(world, frames(BROKEN)[:1], what="9" * 40)
    assert (code, one["state"]) == (5, "not-built")


def test_a_commit_of_the_deploy_repository_means_its_state(world):
    """Also one that changes no image."""
    recorded = frames(BROKEN)
    world.bump(images(recorded[0]))
    world.deploy.commit("dev: more replicas", {"overlays/dev/board/replicas.yaml": "x: 1\n"})
    sha = world.deploy.tip
    code, one = ask(world, stand_for(recorded, revision(recorded[0]), sha)[:1], what=sha[:10])
    assert (code, one["state"]) == (0, "live")
    assert ask(world, recorded[:1], what=sha)[1]["state"] == "waiting"


def test_nothing_is_there_before_its_promotion(world, tmp_path):
    """Without --env what Git has decides; with it, the environment must have it."""
    recorded = frames(BROKEN)
    found = images(recorded[0])
    sha = world.bump(found)
    old = {name: ("v1", "sha256:" + "a" * 64) for name in found}
    text = kustomization(*((name, tag, digest) for name, (tag, digest) in old.items()))
    world.deploy.commit("staging", {"overlays/staging/board/kustomization.yaml": text})
    with ReplayedArgo(stand_for(recorded, revision(recorded[0]), sha)[:1]) as argo:
        done = world.live(argo, SOURCE, "--json")
        there = world.live(argo, SOURCE, "--env", "staging", "--json")
        text = world.live(argo, SOURCE)
    states = {one["environment"]: one["state"] for one in json.loads(done.stdout)["verdicts"]}
    assert states == {"dev": "live", "staging": "not-there"} and done.returncode == 0
    assert there.returncode == 5 and "slipway promote board --to staging" in verdict(there)["fix"]
    assert "dev/board: live" in text.stdout and "staging/board: not-there" in text.stdout


@pytest.mark.parametrize("what,text", [("nonsense", "neither a commit nor an image"), ("r.example/x", "names no version"), ("r.example/x:v1", "no application has an image")])  # fmt: skip
def test_what_cannot_be_meant_is_refused(world, what, text):
    world.bump(images(frames(BROKEN)[0]))
    with ReplayedArgo(frames(BROKEN)[:1]) as argo:
        done = world.live(argo, what)
    assert done.returncode == 2 and text in done.stderr


def test_an_argocd_that_does_not_answer_is_no_answer(world):
    """Exit code 6, and nothing that could be taken for live."""
    world.bump(images(frames(BROKEN)[0]))
    with ReplayedArgo(frames(BROKEN)[:1]) as argo:
        argo.before = lambda method, path: (503, {"message": "starting"}, {})
        done = world.live(argo, SOURCE)
    assert done.returncode == 6 and done.stdout == ""


def test_the_recordings_are_of_the_shape_that_is_asked_for():
    """So that a fixture cannot drift into something that Argo CD never answers."""
    for name in (BROKEN, UNRENDERED, FORBIDDEN):
        for frame in frames(name):
            assert set(frame) == {"application", "tree", "windows", "resources"}
            assert urlsplit(frame["application"]["spec"]["source"]["repoURL"]).hostname == "forge.example"
