"""`slipway promote` brings exactly what runs in one environment to the next, reviewed where the policy says so."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from slipway.git.remote import Proposal, RemoteRepo
from slipway.kustomization.images import read_images

from tests.cli.bump_lab import (
    BACKEND,
    FRONTEND,
    HOST,
    NOTHING,
    Deploy,
    Registry,
    failing_fetch,
    git,
    invoke,
    kustomization,
)
from tests.cli.promote_lab import TOKEN, ArgoServer, ForgeServer

OTHER = f"{HOST}/slipway/other"
MIRROR = "444455556666.dkr.ecr.eu-central-1.amazonaws.com/slipway/board-backend"
POLICIES = {
    "dev": "name: dev\norder: 1\ndelivery: direct\n",
    "staging": "name: staging\norder: 2\nfrom: dev\ndelivery: direct\n",
    "prod": "name: prod\norder: 3\nfrom: staging\ndelivery: pull-request\napprovals: 2\nsoak: 30m\n",
}
FREEZE = "freezes: [{name: night, reason: 'sleep @all', timezone: Europe/Berlin, start: 2020-01-01T00:00, end: '%s'}]\n"
SOON = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT12:00}"
BRANCH = "slipway/promote/prod/board"


def path(env: str, app: str = "board") -> str:
    return f"overlays/{env}/{app}/kustomization.yaml"


def policy(env: str) -> str:
    return f"overlays/{env}/environment.yaml"


@pytest.fixture
def registry():
    with Registry() as lab:
        yield lab


@pytest.fixture
def argo():
    with ArgoServer() as lab:
        yield lab


@pytest.fixture
def deploy(tmp_path):
    empty = kustomization((BACKEND, "unreleased", NOTHING), (FRONTEND, "unreleased", NOTHING))
    files = {policy(env): text for env, text in POLICIES.items()}
    return Deploy.create(tmp_path / "deploy.git", files | {path(env): empty for env in POLICIES})


@pytest.fixture
def forge(deploy):
    with ForgeServer("gitea", deploy) as lab:
        yield lab


@pytest.fixture
def world(deploy, registry, argo, forge, tmp_path):
    return World(deploy, registry, argo, forge, {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(tmp_path)})  # fmt: skip


class World:
    """A deploy repository with its registry, Argo CD and forge."""

    def __init__(self, deploy, registry, argo, forge, env):
        self.deploy, self.registry, self.argo, self.forge, self.env = deploy, registry, argo, forge, env

    def ship(
        self, env: str, tag: str, *, app: str = "board", images=(BACKEND, FRONTEND), **config
    ) -> list[str]:
        """Push images, name them in an environment and have them run there since an hour ago; their references."""
        digests = [self.registry.push(image, tag, **config) for image in images]
        entries = zip(images, [tag] * len(images), digests, strict=True)
        sha = self.deploy.commit(f"ship {tag}", {path(env, app): kustomization(*entries)})
        running = [f"{image}:{tag}@{digest}" for image, digest in zip(images, digests, strict=True)]
        self.argo.runs(env, app, sha, *running)
        return running

    def promote(self, *arguments: str, **env: str):
        """Run the command; the last argument may be an environment variable's value."""
        secrets = {"SLIPWAY_FORGE_TOKEN": TOKEN, "ARGOCD_AUTH_TOKEN": TOKEN, "ARGOCD_SERVER": self.argo.url}
        forge = ["--forge", self.forge.kind, "--forge-api", self.forge.api]
        return invoke("promote", *arguments, "--repo", self.deploy.url, *forge, **self.env | secrets | env)

    def digests(self, env: str, revision: str = "main", app: str = "board") -> dict[str, str]:
        """What Git names, by image."""
        entries = read_images(self.deploy.read(path(env, app), revision).encode())
        return {entry.reference.name: entry.digest for entry in entries}

    def refused(self, done, code: int, *texts: str) -> bool:
        """Whether a run ended with this code, said all this, and wrote nothing anywhere."""
        assert done.returncode == code, done.stdout + done.stderr
        missing = [text for text in texts if text not in done.stderr]
        branches = git("for-each-ref", "refs/heads/slipway", cwd=self.deploy.path)
        assert not missing, (missing, done.stderr)
        return "Traceback" not in done.stderr and not branches and not self.forge.pulls


def passed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_direct_promotion_is_one_commit(world):
    """What runs in dev is named in staging: only the values change, and the commit says from where and why."""
    before = world.deploy.read(path("staging"))
    world.ship("dev", "v1", revision="c" * 40)
    count = world.deploy.count
    out = passed(world.promote("board", "--to", "staging"))
    backend, frontend = world.digests("dev").values()
    text = before.replace("unreleased", "v1").replace(NOTHING, backend, 1).replace(NOTHING, frontend, 1)
    assert world.deploy.read(path("staging")) == text and world.deploy.changed() == [path("staging")]
    assert world.deploy.count == count + 1 and world.forge.requests == []
    message = world.deploy.message()
    assert message.startswith(
        "staging: board promoted from dev, board-backend v1, board-frontend v1\n\nImage: "
    )
    assert (
        f"Digest: {backend}\nSource-Commit: {'c' * 40}\nPrevious: staging/board unreleased@{NOTHING}\n"
        in message
    )
    assert "Promoted-From: dev\nEvidence: live in Argo CD\n" in message
    assert git("interpret-trailers", "--parse", input=message.encode()).count("\n") == 10
    assert "dev/board: live and healthy in Argo CD at " in out
    assert f"staging/board: board-backend unreleased@{NOTHING} → v1@{backend}" in out
    assert f"pushed {world.deploy.tip[:12]} to main" in out


def test_pull_request_to_prod(world):
    """Prod gets a branch and a pull request with a table of what changes; a repetition changes nothing."""
    world.ship("staging", "v1")
    tip = world.deploy.tip
    out = passed(world.promote("board", "--to", "prod"))
    assert world.deploy.tip == tip and world.digests("prod", BRANCH) == world.digests("staging")
    pull = world.forge.pulls[0]
    assert pull["title"] == "prod: board promoted from staging, board-backend v1, board-frontend v1"
    assert "Brings to **prod** what **staging** runs, digest by digest. Approvals needed: 2." in pull["body"]
    digest = world.digests("staging")[BACKEND][:19]
    assert (
        f"| board | board-backend | `unreleased` `sha256:000000000000…` | `v1` `{digest}…` |" in pull["body"]
    )
    assert f"- staging/board: live and healthy in Argo CD at {tip[:12]} since 20" in pull["body"]
    assert "The log is not available" in pull["body"] and "merge" not in pull["body"]
    assert f"pull request #1 opened: {pull['html_url']}" in out
    answer = json.loads(passed(world.promote("board", "--to", "prod", "--json")))
    assert answer["pull_request"]["number"] == 1 and answer["attempts"] == 0 and not answer["opened"]
    assert [r["changed"] for r in answer["results"]] == [True, True] and len(world.forge.pulls) == 1


def test_same_command_with_github(world, deploy):
    """GitHub's pull request comes out the same."""
    world.ship("staging", "v1")
    with ForgeServer("github", deploy) as world.forge:
        assert "pull request #1 opened" in passed(world.promote("board", "--to", "prod"))
        assert "pull request #1 is up to date" in passed(world.promote("board", "--to", "prod"))


def test_already_there_is_success(world):
    """The same digests again are nothing to write, directly and by pull request, however short the soak time was."""
    world.ship("dev", "v1")
    passed(world.promote("board", "--to", "staging"))
    tip = world.deploy.tip
    out = passed(world.promote("board", "--to", "staging"))
    assert "nothing to write" in out and "staging/board: board-backend already at v1@sha256:" in out
    world.deploy.commit("same", {path("prod"): world.deploy.read(path("dev"))})
    images = [f"{name}:v1@{digest}" for name, digest in world.digests("staging").items()]
    app = world.argo.runs("staging", "board", tip, *images)
    app["status"]["health"]["lastTransitionTime"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert "nothing to write" in passed(world.promote("board", "--to", "prod"))
    assert world.forge.pulls == []


def test_C17_the_digest_of_dev_reaches_prod(world):
    """Through all environments goes the digest, not the tag: what prod gets is byte for byte what dev ran."""
    dev = world.ship("dev", "v1")
    passed(world.promote("board", "--to", "staging"))
    world.argo.runs("staging", "board", world.deploy.tip, *dev)
    passed(world.promote("board", "--to", "prod"))
    assert world.digests("dev") == world.digests("staging") == world.digests("prod", BRANCH)


def test_C17_a_moved_tag_is_never_resolved_again(world):
    """When the tag in dev's entry names other bytes by now, these never get into Git."""
    old = world.ship("dev", "v1", created="2026-11-22T10:00:00Z")
    new = world.registry.push(BACKEND, "v1")
    assert world.refused(world.promote("board", "--to", "staging"), 3, "cannot be promoted as it runs")
    assert new not in world.deploy.read(path("staging"))
    world.registry.push(BACKEND, "v1", created="2026-11-22T10:00:00Z")
    passed(world.promote("board", "--to", "staging"))
    assert [f"{name}:v1@{digest}" for name, digest in world.digests("staging").items()] == old


def test_C16_moved_tag_and_missing_digest_are_refused(world):
    """Before anything is written the registry must still have the digest, and its tag must still name it."""
    world.ship("dev", "v1")
    world.registry.push(BACKEND, "v1", created="2026-11-22T10:00:00Z")
    texts = [
        "board-backend cannot be promoted as it runs",
        "in the registry, not sha256:",
        "fix:",
        path("staging"),
    ]
    assert world.refused(world.promote("board", "--to", "staging"), 3, *texts)
    world.registry.manifests.clear()
    assert world.refused(world.promote("board", "--to", "staging"), 3, "is not in the registry")


def test_C10_deny_window_is_told_as_blocked(world):
    """Where a freeze keeps Argo CD from deploying, the answer is until when, not a failure."""
    world.ship("staging", "v1")
    world.deploy.commit("freeze", {policy("staging"): POLICIES["staging"] + FREEZE % SOON})
    status = {"status": "OutOfSync", "revision": world.deploy.tip}
    world.argo.apps["staging-board"]["status"]["sync"] = status
    until = f"{SOON.replace('T', ' ')} Europe/Berlin"
    done = world.promote("board", "--to", "prod", "--json")
    assert world.refused(done, 3, f"staging-board is blocked until {until} by the freeze night: sleep @all")
    assert json.loads(done.stdout)["error"] == "PolicyRefused"
    world.deploy.commit("thaw", {policy("staging"): POLICIES["staging"]})
    assert world.refused(world.promote("board", "--to", "prod"), 3, "not live and healthy: it is OutOfSync")


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({"health": {"status": "Degraded"}}, "staging-board is not live and healthy: it is Degraded"),
        ({"operationState": {"phase": "Running"}}, "a sync is running"),
        ({"conditions": [{"type": "ComparisonError", "message": "render failed"}]}, "render failed"),
        ({"summary": {"images": [f"{BACKEND}:v1@{NOTHING}"]}}, "does not run what Git names at"),
        ({"sync": {"status": "Synced", "revision": "a" * 40}}, "main was never at that commit"),
        ({"health": {"status": "Healthy"}}, "since when staging/board has this is not known"),
    ],
)
def test_C2_what_is_not_live_is_refused(world, status, text):
    """Only what is synced, healthy and exactly what Git names goes on."""
    world.ship("staging", "v1")
    world.argo.apps["staging-board"]["status"] |= status
    done = world.promote("board", "--to", "prod")
    assert world.refused(done, 3, text, "fix:")


def test_application_that_deploys_something_else_is_refused(world):
    """An Application of another folder or branch says nothing about this overlay."""
    world.ship("staging", "v1")
    source = world.argo.apps["staging-board"]["spec"]["source"]
    for change in ({"path": "overlays/dev/board"}, {"targetRevision": "release"}):
        original, world.argo.apps["staging-board"]["spec"]["source"] = source, source | change
        assert world.refused(world.promote("board", "--to", "prod"), 3, "Argo CD's staging-board deploys")
        source = original
    del world.argo.apps["staging-board"]
    done = world.promote("board", "--to", "prod")
    assert world.refused(done, 4, "permission denied", "ARGOCD_AUTH_TOKEN") and TOKEN not in done.stderr


def test_what_is_live_goes_when_git_is_ahead(world):
    """A commit that Argo CD has not deployed yet is not promoted; the one that runs is, and that is said."""
    world.ship("staging", "v1")
    live = world.digests("staging")
    newer = world.registry.push(BACKEND, "v2")
    entries = ((BACKEND, "v2", newer), (FRONTEND, "v1", live[FRONTEND]))
    world.deploy.commit("newer", {path("staging"): kustomization(*entries)})
    out = passed(world.promote("board", "--to", "prod"))
    assert world.digests("prod", BRANCH) == live and "Git is ahead of what runs" in out
    assert "Git is ahead" in world.forge.pulls[0]["body"]


def test_soak_time_must_be_over(world):
    """What has not run for as long as prod asks for is refused, with the time at which it may go."""
    world.ship("staging", "v1")
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    world.argo.apps["staging-board"]["status"]["health"]["lastTransitionTime"] = f"{since:%Y-%m-%dT%H:%M:%SZ}"
    ready = f"{since + timedelta(minutes=30):%Y-%m-%d %H:%M:%S} UTC"
    texts = ["prod asks for 30m of soak", f"long enough at {ready}", policy("prod")]
    assert world.refused(world.promote("board", "--to", "prod"), 3, *texts)
    world.deploy.commit("no soak", {policy("prod"): POLICIES["prod"].replace("30m", "19m")})
    passed(world.promote("board", "--to", "prod"))


def test_from_git_counts_from_the_commit(world):
    """Without Argo CD the soak time runs from the commit that changed the overlay, and the commit says so."""
    world.ship("dev", "v1")
    nowhere = {"ARGOCD_SERVER": "", "ARGOCD_AUTH_TOKEN": ""}
    out = passed(world.promote("board", "--to", "staging", "--from-git", **nowhere))
    assert "dev/board: named by Git, without asking what runs, at " in out
    assert "Evidence: Git only, what runs was not asked" in world.deploy.message()
    world.deploy.commit("elsewhere", {"README.md": "x"})
    texts = ["staging/board has this since", "long enough at"]
    assert world.refused(world.promote("board", "--to", "prod", "--from-git"), 3, *texts)
    old = world.deploy.read(path("staging")).replace("resources:", "# long ago\nresources:")
    world.deploy.commit("in 2023", {path("staging"): old})
    with RemoteRepo(world.deploy.url) as repo:
        repo.update(lambda tip: Proposal({"overlays/staging/other/x": b"x"}, "another application, now"))
    passed(world.promote("board", "--to", "prod", "--from-git"))
    assert world.argo.requests == []


def test_C22_unknown_argocd_is_named(world):
    """Without an Argo CD to ask, the variable and the way without it are named."""
    done = world.promote("board", "--to", "prod", ARGOCD_SERVER="")
    assert world.refused(done, 2, "ARGOCD_SERVER", "--from-git")
    world.ship("staging", "v1")
    assert world.refused(
        world.promote("board", "--to", "prod", SLIPWAY_FORGE_TOKEN=""), 2, "SLIPWAY_FORGE_TOKEN"
    )


@pytest.mark.parametrize("env", ["staging", "prod"])
def test_hold_stands_against_it(world, env):
    """An application that is held is neither written nor proposed; the hold and the way out are named."""
    hold = "holds: [{app: board, reason: rolled back, since: 2026-11-23, by: ana}]\n"
    world.deploy.commit("hold", {policy(env): POLICIES[env] + hold})
    world.ship({"staging": "dev", "prod": "staging"}[env], "v1")
    texts = [f"board is held in {env}", "by ana: rolled back", f"slipway release board --env {env}"]
    assert world.refused(world.promote("board", "--to", env), 3, *texts)


def test_freeze_refuses_a_direct_write(world):
    """A frozen environment is not written to, and the time at which it opens is named."""
    world.deploy.commit("freeze", {policy("staging"): POLICIES["staging"] + FREEZE % SOON})
    world.ship("dev", "v1")
    assert world.refused(
        world.promote("board", "--to", "staging"), 3, "staging is frozen (night", "it opens at"
    )


def test_freeze_stands_at_the_top_of_the_pull_request(world):
    """A pull request may be prepared while prod is frozen; it begins with the time before which not to merge."""
    world.deploy.commit("freeze", {policy("prod"): POLICIES["prod"] + FREEZE % SOON})
    world.ship("staging", "v1")
    out = passed(world.promote("board", "--to", "prod"))
    text = "do not merge before " + SOON.replace("T", " ") + " Europe/Berlin"
    body = world.forge.pulls[0]["body"]
    assert body.startswith("> **Do not merge yet.** `prod is frozen (night: sleep @\u200ball): " + text)
    assert text in out


def test_B5_older_build_is_refused(world):
    """What staging runs does not go onto something newer in prod, unless somebody says why."""
    newer = world.registry.push(BACKEND, "v2", created="2026-11-23T12:00:00Z")
    entries = ((BACKEND, "v2", newer), (FRONTEND, "unreleased", NOTHING))
    world.deploy.commit("newer", {path("prod"): kustomization(*entries)})
    world.ship("staging", "v1", created="2026-11-23T10:00:00Z")
    texts = ["prod/board runs a newer board-backend", "older: time of creation", "slipway rollback"]
    assert world.refused(world.promote("board", "--to", "prod"), 3, *texts)
    passed(world.promote("board", "--to", "prod", "--allow-older", "v2 is\nbroken"))
    assert "Allowed-Older: v2 is broken" in world.deploy.message(BRANCH)


def test_B6_build_numbers_of_another_job_are_not_compared(world):
    """Whose build it is goes along, so that prod does not compare the numbers of two CI jobs."""
    for env, tag, number, job in (("prod", "v1", 500, "ci/old"), ("staging", "v2", 3, "ci/new")):
        created = f"2026-11-2{3 if env == 'prod' else 4}T10:00:00Z"
        digest = world.registry.push(BACKEND, tag, created=created)
        entries = ((BACKEND, tag, digest), (FRONTEND, "unreleased", NOTHING))
        trailers = f"Image: {BACKEND}:{tag}\nDigest: {digest}\nBuild: {number}\nWritten-By: {job}\n"
        world.deploy.commit(f"bump\n\n{trailers}", {path(env): kustomization(*entries)})
    world.deploy.commit("only backend", {path("staging"): kustomization(entries[0])})
    out = passed(world.promote("board", "--to", "prod", "--from-git"))
    assert "newer: time of creation" in out
    assert "Build: 3\nWritten-By: ci/new\n" in world.deploy.message(BRANCH)


def test_B6_writers_of_the_target_are_respected(world):
    """Where a policy lists who may write directly, any other name is refused."""
    world.ship("dev", "v1")
    world.deploy.commit("writers", {policy("staging"): POLICIES["staging"] + "writers: [ci/promote]\n"})
    assert world.refused(world.promote("board", "--to", "staging"), 3, "is not among the writers of staging")
    passed(world.promote("board", "--to", "staging", "--writer", "ci/promote"))


def test_missing_entry_is_refused_or_added(world):
    """An image that prod has no entry for is refused; with --add it gets one in the house form."""
    world.ship("dev", "v1", images=(BACKEND, FRONTEND, OTHER))
    texts = [f"no entry for `{OTHER}`, which dev/board has", "--add", path("staging")]
    assert world.refused(world.promote("board", "--to", "staging"), 3, *texts)
    passed(world.promote("board", "--to", "staging", "--add"))
    digest = world.digests("dev")[OTHER]
    assert world.deploy.read(path("staging")).endswith(f'  - name: {OTHER}\n    newTag: "v1"\n    digest: "{digest}"\n')  # fmt: skip


def test_entry_of_another_registry_is_not_added(world):
    """An account's registry that the target does not use is not brought in by the way."""
    world.ship("dev", "v1", images=(BACKEND, FRONTEND, "docker.io/library/nginx"))
    done = world.promote("board", "--to", "staging", "--add")
    assert world.refused(done, 3, "comes from docker.io, which staging does not use")


def test_target_keeps_its_own_name(world):
    """Where prod pulls from another account, only tag and digest move, and that account must have the bytes."""
    text = f"images:\n  - name: {BACKEND}\n    newName: {MIRROR}\n    newTag: v0\n"
    world.deploy.commit("mirror", {path("prod"): text})
    world.ship("staging", "v1", images=(BACKEND,))
    env = {
        "SLIPWAY_REGISTRY_MIRRORS": f"{world.registry.mirrors},{MIRROR.partition('/')[0]}={world.registry.url}"
    }
    passed(world.promote("board", "--to", "prod", **env))
    written = read_images(world.deploy.read(path("prod"), BRANCH).encode())[0]
    assert (written.new_name, written.digest) == (MIRROR, world.digests("staging")[BACKEND])


def test_entry_without_a_digest_is_refused(world):
    """A tag alone does not say which bytes ran."""
    world.registry.push(BACKEND, "v1")
    world.deploy.commit("tag", {path("dev"): f"images:\n  - name: {BACKEND}\n    newTag: v1\n"})
    done = world.promote("board", "--to", "staging", "--from-git")
    assert world.refused(done, 3, f"{path('dev')}:2", "has no digest", "slipway bump")


def test_two_entries_for_one_are_refused(world):
    """Two images of dev that would end up in one entry of staging are not mixed."""
    digests = [world.registry.push(image, "v1") for image in ("team/a", "team/b")]
    double = f"images:\n  - name: a\n    newName: team/x\n    newTag: v1\n    digest: {digests[0]}\n  - name: team/x\n    newTag: v1\n    digest: {digests[1]}\n"  # fmt: skip
    world.deploy.commit(
        "two", {path("dev"): double, path("staging"): "images:\n  - name: team/x\n    newTag: v0\n"}
    )
    done = world.promote("board", "--to", "staging", "--from-git")
    assert world.refused(done, 3, "two entries of dev/board belong to one here", path("staging"))


def fleet(world, env: str, *apps: str) -> None:
    """Applications with one image each, running in an environment and unreleased in all."""
    files = {path(e, app): kustomization((f"{HOST}/{app}", "v0", NOTHING)) for e in POLICIES for app in apps}
    world.deploy.commit("fleet", files)
    for app in apps:
        world.ship(env, "v1", app=app, images=(f"{HOST}/{app}",))


def test_many_applications_in_one_commit(world):
    """All applications named go in one commit, or none."""
    fleet(world, "dev", "a", "b", "c", "d")
    count = world.deploy.count
    passed(world.promote("c", "a", "b", "d", "--to", "staging"))
    assert world.deploy.count == count + 1 and len(world.deploy.changed()) == 4
    assert world.deploy.message().startswith("staging: a, b, c and 1 more promoted from dev\n")
    world.ship("dev", "v2", app="a", images=(f"{HOST}/a",), created="2026-11-25T10:00:00Z")
    world.argo.apps["dev-b"]["status"]["health"]["status"] = "Degraded"
    assert world.refused(world.promote("a", "b", "--to", "staging"), 3, "dev-b is not live and healthy")


def test_many_applications_in_one_pull_request(world):
    """The same applications in any order are the same pull request; another set is another one."""
    fleet(world, "staging", "a", "b")
    passed(world.promote("a", "b", "--to", "prod"))
    passed(world.promote("b", "a", "a", "--to", "prod"))
    assert len(world.forge.pulls) == 1 and "| b | b | `v0`" in world.forge.pulls[0]["body"]
    passed(world.promote("a", "--to", "prod"))
    assert len(world.forge.pulls) == 2


def test_all_applications(world):
    """With --all every application of both environments goes, and the others are named."""
    fleet(world, "dev", "a", "b")
    world.ship("dev", "v1")
    world.ship("dev", "v1", app="new", images=(OTHER,))
    out = passed(world.promote("--all", "--to", "staging"))
    assert "new: not in staging, left out" in out
    assert [f for f in world.deploy.changed()] == [path("staging", app) for app in ("a", "b", "board")]
    done = world.promote("new", "--to", "staging")
    assert done.returncode == 2 and "no application new in staging" in done.stderr


def test_an_application_that_waits_for_its_first_image_stops_no_other(world):
    """With --all it is left out, by name it is refused; it has no Pods whose images Argo CD could tell."""
    fleet(world, "dev", "a")
    waiting = {path(e, "new"): kustomization((OTHER, "unreleased", NOTHING)) for e in POLICIES}
    world.deploy.commit("new", waiting)
    out = passed(world.promote("--all", "--to", "staging"))
    assert "new: nothing was delivered to dev yet, left out" in out
    assert path("staging", "a") in world.deploy.changed()
    texts = ["nothing was delivered to dev/new yet", path("dev", "new")]
    assert world.refused(world.promote("new", "--to", "staging"), 3, *texts)


def test_architectures_and_signature_of_the_target(world):
    """The target's own rules are asked, not those of the source."""
    world.ship("dev", "v1")
    world.deploy.commit("arm", {policy("staging"): POLICIES["staging"] + "architectures: [arm64]\n"})
    texts = ["is for amd64, and staging needs arm64", policy("staging")]
    assert world.refused(world.promote("board", "--to", "staging"), 3, *texts)
    signed = POLICIES["staging"] + "signature: {required: true, key: cosign.pub}\n"
    world.deploy.commit("sign", {policy("staging"): signed})
    assert world.refused(world.promote("board", "--to", "staging"), 3, "the key cosign.pub is missing")


def test_commits_that_go_live(world, tmp_path):
    """The pull request lists the source commits in between, harmless whatever their subjects say."""
    source = Deploy.create(tmp_path / "source.git", {"a": "0"})
    first = source.tip
    subjects = ["closes #12 for @ana `x` <b>", *(f"change {n}" for n in range(59))]
    stream = "".join(f"commit refs/heads/main\ncommitter p <p@p> 1700000000 +0000\ndata <<E\n{s}\nE\n" + "from refs/heads/main^0\n" * (s is subjects[0]) for s in subjects)  # fmt: skip
    git("fast-import", "--quiet", cwd=source.path, input=stream.encode())
    old = world.registry.push(BACKEND, "v0", revision=first)
    entries = ((BACKEND, "v0", old), (FRONTEND, "unreleased", NOTHING))
    world.deploy.commit("old", {path("prod"): kustomization(*entries)})
    world.ship("staging", "v1", revision=source.tip, created="2026-11-24T10:00:00Z")
    passed(world.promote("board", "--to", "prod", "--source-repo", str(source.path)))
    body = world.forge.pulls[0]["body"]
    assert f"**board-backend** `{first[:12]}..{source.tip[:12]}`:" in body
    assert (
        f"- `{source.tip[:12]}` `change 58`" in body and "\nand 10 more\n" in body and "change 8`" not in body
    )
    assert "**board-frontend**: the source commits of the builds are not known." in body
    git(
        "update-ref", "refs/heads/main", git("rev-parse", "main~55", cwd=source.path).strip(), cwd=source.path
    )
    world.ship("staging", "v1", revision=source.tip, created="2026-11-24T11:00:00Z")
    passed(world.promote("board", "--to", "prod", "--source-repo", str(source.path)))
    body = world.forge.pulls[0]["body"]
    assert "``closes #\u200b12 for @\u200bana `x` <b>``" in body and "and 10 more" not in body
    world.ship("staging", "v1", revision="f" * 40, created="2026-11-24T12:00:00Z")
    passed(world.promote("board", "--to", "prod", "--source-repo", str(source.path)))
    assert "the source repository lacks these commits" in world.forge.pulls[0]["body"]


def test_a_connection_that_fails_while_the_policy_is_read_is_no_end(world, tmp_path, monkeypatch):
    """What is read before the change is decided is read again too."""
    world.ship("staging", "v1")
    log = failing_fetch(tmp_path, monkeypatch, "2", "error: RPC failed; HTTP 502")
    out = passed(world.promote("board", "--to", "prod", "--dry-run", SLIPWAY_FORGE_TOKEN=""))
    assert "nothing was written" in out and log.read_text().count("fetch") > 3


def test_dry_run_writes_nothing(world):
    """A dry run shows the diff, for a pull request too, and needs no forge."""
    world.ship("staging", "v1")
    out = passed(world.promote("board", "--to", "prod", "--dry-run", SLIPWAY_FORGE_TOKEN=""))
    assert f'+    digest: "{world.digests("staging")[BACKEND]}"' in out and "nothing was written" in out
    answer = json.loads(passed(world.promote("board", "--to", "prod", "--dry-run", "--json")))
    assert answer["dry_run"] and answer["commit"] is None and answer["diff"].startswith("--- a/overlays/prod")
    assert (
        world.forge.requests == [] and git("for-each-ref", "refs/heads/slipway", cwd=world.deploy.path) == ""
    )


def test_A24_two_kustomizations_in_a_folder_are_refused(world):
    """A folder with two names of kustomization is refused, in either environment."""
    world.deploy.commit("two", {"overlays/dev/board/kustomization.yml": "images: []\n"})
    done = world.promote("board", "--to", "staging", "--from-git")
    assert world.refused(done, 3, path("dev"), "overlays/dev/board/kustomization.yml")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--to", "prod"], 2, "neither applications nor --all"),
        (["board", "--all", "--to", "prod"], 2, "applications and --all"),
        (["board", "--to", "../x"], 2, "is no name of an environment"),
        (["board", "--to", "prod", "--allow-older", " "], 2, "needs a reason"),
        (["board", "--to", "dev"], 3, "it has no source environment"),
        (["board", "--to", "qa"], 3, "no policy"),
        (["nothing", "--to", "staging"], 2, "no application nothing in dev"),
        (["board", "--to", "staging", "--author", "x"], 2, "is no author"),
    ],
)
def test_what_makes_no_sense_is_refused(world, arguments, code, text):
    """Wrong names and options are told before anything is asked for."""
    assert world.refused(world.promote(*arguments), code, text, "fix:")


def test_branch_names_do_not_meet():
    """No two orders share a branch, and none is a folder of another."""
    from slipway.writing.promote import Order

    orders = [Order(("x",), "prod-eu"), Order(("eu-x",), "prod"), Order((), "prod"), Order(("all",), "prod"), Order(("a", "b"), "prod")]  # fmt: skip
    names = [order.branch for order in orders]
    assert len(set(names)) == len(names) and Order(("b", "a"), "prod").branch == names[-1]
    assert not any(one.startswith(f"{other}/") for one in names for other in names)
    assert all(re.fullmatch(r"slipway/promote/[a-z-]+/[a-z0-9_-]+", name) for name in names)
