"""`slipway rollback` brings earlier images back, touches nothing else, and holds the application there."""

import json
import re
import subprocess
from datetime import UTC, datetime
from hashlib import sha1

import pytest
from slipway.errors import PolicyRefused
from slipway.git.remote import RemoteRepo
from slipway.kustomization.images import read_images
from slipway.policy.environment import parse_policy
from slipway.registry.references import Reference
from slipway.writing.change import submit
from slipway.writing.evidence import Evidence
from slipway.writing.lineage import Build, trailers
from slipway.writing.rollback import Order, Rollback

from tests.cli.bump_lab import (  # fmt: skip
    BACKEND,
    FRONTEND,
    NOTHING,
    POLICY,
    Deploy,
    GitServer,
    Registry,
    _GitHandler,
    git,
    invoke,
    kustomization,
    slipway,
)
from tests.cli.promote_lab import TOKEN, ForgeServer

DEV = "overlays/dev/board/kustomization.yaml"
POLICY_DEV = "overlays/dev/environment.yaml"
PATCH = "overlays/dev/board/patch.yaml"
OTHER = "overlays/dev/other/kustomization.yaml"
WHY = "v3 loses orders"
FREEZE = "freezes: [{name: night, reason: sleep, timezone: Europe/Berlin, start: 2020-01-01T00:00, end: 2126-01-01T00:00}]\n"


@pytest.fixture
def registry():
    with Registry() as lab:
        yield lab


@pytest.fixture
def deploy(tmp_path):
    """Dev with an application that never had an image, and another one."""
    never = kustomization((BACKEND, "unreleased", NOTHING), (FRONTEND, "unreleased", NOTHING))
    files = {DEV: never, OTHER: never, POLICY_DEV: POLICY.format(env="dev")}
    return Deploy.create(tmp_path / "deploy.git", files)


@pytest.fixture
def run(deploy, registry, tmp_path):
    """Run a verb against both."""

    def run(verb, *arguments, repo=deploy.url, process=invoke, **environment):
        there = {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(tmp_path), "USER": "ana"}
        return process(verb, *arguments, "--repo", repo, "--env", "dev", **there | environment)

    return run


@pytest.fixture
def rollback(run):
    """Run `slipway rollback board --env dev` with a reason."""
    return lambda *arguments, **more: run("rollback", "board", "--reason", WHY, *arguments, **more)


@pytest.fixture
def bumped(deploy, registry):
    """Write a build the way a bump does, and return the commit; `files` go into the same commit."""

    def bumped(number: int, *images: str, path: str = DEV, files=None, revision: str = "") -> str:
        text, lines, revision = (files or {}).get(path) or deploy.read(path), [], revision or f"{number:040x}"
        for image in images or (BACKEND,):
            new = Reference(image, f"v{number}", registry.push(image, f"v{number}", revision=revision))
            old = next(e for e in read_images(text.encode()) if e.name == image)
            found = re.search(rf"name: {image} .*(\r?\n.*){{2}}", text)[0]
            text = text.replace(found, found.replace(old.tag, new.tag).replace(old.digest, new.digest))
            where = path.removeprefix("overlays/").rpartition("/")[0]
            lines += trailers(Build(new, revision, number), [f"{where} {old.tag}@{old.digest}"])
        return deploy.commit(f"dev: v{number}\n\n" + "\n".join(lines), {**(files or {}), path: text})

    return bumped


def refused(done, code: int, *texts: str) -> bool:
    """Whether a run ended with this code and said all this, without a traceback or a word of success."""
    return done.returncode == code and all(t in done.stderr for t in texts) and "pushed" not in done.stdout and "Traceback" not in done.stderr  # fmt: skip


def raw(deploy: Deploy, path: str) -> bytes:
    """The very bytes of a file."""
    return subprocess.check_output(["git", "show", f"main:{path}"], cwd=deploy.path)


def tags(deploy: Deploy, path: str = DEV) -> list[str]:
    """The tags that an overlay names, in order."""
    return [entry.tag for entry in read_images(deploy.read(path).encode())]


def holds(deploy: Deploy) -> list:
    """The holds in dev."""
    return parse_policy(deploy.read(POLICY_DEV).encode(), environment="dev", path=POLICY_DEV).holds


def test_last_bump_is_reverted_and_held(run, rollback, deploy, registry):
    """After three bumps the images of the second come back, in one commit that says what, why and who holds."""
    for number in (1, 2, 3):
        before, goal = deploy.read(DEV), deploy.tip
        digests = [registry.push(i, f"v{number}", revision=str(number) * 40) for i in (BACKEND, FRONTEND)]
        arguments = (f"{BACKEND}=:v{number}", f"{FRONTEND}=:v{number}", "--app", "board")
        assert run("bump", *arguments, "--build", str(number)).returncode == 0
    withdrawn = deploy.tip
    done = rollback()
    assert done.returncode == 0, done.stderr
    assert deploy.read(DEV) == before and deploy.changed() == [DEV, POLICY_DEV] and deploy.count == 5
    title = "dev: board rolled back, board-backend v3 → v2, board-frontend v3 → v2\n\n"
    old = re.findall('digest: "(.*)"', before)
    groups = [
        f"Image: {image}:v2\nDigest: {then}\nSource-Commit: {'2' * 40}\nBuild: 2\nPrevious: dev/board v3@{now}\n"
        for image, then, now in zip((BACKEND, FRONTEND), old, digests, strict=True)
    ]
    rest = f"Rollback: {withdrawn}\nRollback-To: {goal}\nReason: {WHY}\n"
    assert deploy.message().rstrip("\n") + "\n" == title + "".join(groups) + rest
    assert len(git("interpret-trailers", "--parse", input=deploy.message().encode()).splitlines()) == 13
    (hold,) = holds(deploy)
    assert (hold.app, hold.reason, hold.by) == ("board", WHY, "ana")
    assert abs((datetime.now(UTC) - hold.since).total_seconds()) < 60
    for text in (f"board-backend v3@{digests[0]} → v2@", f"reverts {withdrawn[:12]} dev: ", "board is held in dev by ana", "slipway release board --env dev", "pushed"):  # fmt: skip
        assert text in done.stdout


def test_second_rollback_goes_further_back(rollback, deploy, bumped):
    """While held, each rollback goes one bump further back; there is one hold, with the newest reason."""
    commits = [bumped(number, BACKEND, FRONTEND) for number in (1, 2, 3)]
    assert rollback().returncode == 0 and tags(deploy) == ["v2", "v2"]
    assert rollback("--reason", "v2 as well").returncode == 0 and tags(deploy) == ["v1", "v1"]
    assert [hold.reason for hold in holds(deploy)] == ["v2 as well"]
    assert re.findall("Rollback: (.*)", deploy.message()) == commits[1:2], "the third is withdrawn already"
    tip = deploy.tip
    assert refused(rollback(), 3, "dev/board cannot go back to", "is not in the registry", "--to")
    assert deploy.tip == tip


def test_rollback_after_a_release_undoes_the_new_bump_only(run, rollback, deploy, bumped):
    """What was rolled back once does not come back by a later rollback, nor is it what that goes back to."""
    for number in (1, 2, 3):
        bumped(number)
    assert rollback().returncode == 0
    assert run("release", "board").returncode == 0
    bumped(4)
    assert rollback().returncode == 0 and tags(deploy)[0] == "v2"
    assert rollback().returncode == 0 and tags(deploy)[0] == "v1"


def test_to_a_commit_of_the_branch(rollback, deploy, bumped):
    """All images of the application go back, or forward, to what a commit had; an abbreviated id will do."""
    commits = [bumped(number, BACKEND, FRONTEND) for number in (1, 2, 3)]
    done = rollback("--to", commits[0][:9].upper(), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert tags(deploy) == ["v1", "v1"] and answer["to"] == commits[0] and answer["commit"] == deploy.tip
    assert answer["withdrawn"] == [commits[2], commits[1]] and answer["hold"]["reason"] == WHY
    assert [r["new"].partition("@")[0] for r in answer["results"]] == [f"{BACKEND}:v1", f"{FRONTEND}:v1"]
    back = deploy.tip
    assert rollback("--to", commits[2]).returncode == 0 and tags(deploy) == ["v3", "v3"]
    assert re.findall("Rollback: (.*)", deploy.message()) == [back]
    assert rollback().returncode == 0 and tags(deploy) == ["v2", "v2"]


def test_to_what_is_no_commit_of_the_branch_is_refused(rollback, deploy, bumped):
    """An id that the branch does not have, or that is none, is named."""
    bumped(1)
    git("update-ref", "refs/heads/aside", deploy.tip, cwd=deploy.path)
    tree = git("rev-parse", "main^{tree}", cwd=deploy.path).strip()
    aside = git("commit-tree", tree, "-p", "main", "-m", "aside", cwd=deploy.path).strip()
    assert refused(rollback("--to", aside), 2, f"no commit {aside} among the 2 commits of the branch")
    assert refused(rollback("--to", "main"), 2, "'main' is no commit", "four hex digits")
    assert refused(rollback("--to", "ab"), 2, "'ab' is no commit")


def test_to_an_ambiguous_id_is_refused(rollback, deploy):
    """An abbreviation that several commits share is not guessed at."""
    tree, parent = git("log", "-1", "--format=%T %H", "main", cwd=deploy.path).split()
    head = (
        f"tree {tree}\nparent {parent}\nauthor p <p> 1700000000 +0000\ncommitter p <p> 1700000000 +0000\n\n"
    )
    bodies = (f"{head}{n:07}\n".encode() for n in range(10**7))
    twin = next(b for b in bodies if sha1(b"commit %d\0%s" % (len(b), b)).hexdigest()[:4] == parent[:4])
    sha = git("hash-object", "-t", "commit", "-w", "--stdin", cwd=deploy.path, input=twin).strip()
    git("update-ref", "refs/heads/main", sha, cwd=deploy.path)
    assert refused(
        rollback("--to", parent[:4]), 2, "is several commits", parent[:12], sha[:12], "more digits"
    )


def test_B15_unrelated_edits_stay(rollback, deploy, bumped):
    """Comments, patches and other images that changed since, or in the very commit of the bump, are kept."""
    bumped(1, BACKEND, FRONTEND)
    bumped(2, path=OTHER)
    first = deploy.read(DEV)
    text = first.replace("images:\n", "# chosen by hand\nimages:\n") + "patches: [{path: patch.yaml}]\n"
    bumped(2, BACKEND, files={DEV: text, PATCH: "a: 1\n"})
    late = deploy.read(DEV).replace("v1", "v9") + "# late\n"
    deploy.commit("by hand: another image, a comment, a patch", {DEV: late, PATCH: "a: 2\n"})
    other = deploy.read(OTHER)
    assert rollback().returncode == 0
    digests = [re.search(rf'{BACKEND} .*(?:\n.*)\n    digest: "(.*)"', text)[1] for text in (late, first)]
    assert deploy.read(DEV) == late.replace("v2", "v1").replace(*digests)
    assert "v9" in deploy.read(DEV) and deploy.read(PATCH) == "a: 2\n" and deploy.read(OTHER) == other
    assert deploy.changed() == [DEV, POLICY_DEV]


def test_every_other_byte_stays(rollback, deploy, bumped):
    """CRLF, a BOM and a missing final newline come out as they went in, in both files."""
    text = "\ufeff" + (deploy.read(DEV) + "# größer ✓").replace("\n", "\r\n")
    policy = ("\ufeff" + POLICY.format(env="dev") + "# end").replace("\n", "\r\n")
    deploy.commit("crlf", {DEV: text, POLICY_DEV: policy})
    bumped(1)
    before = raw(deploy, DEV)
    bumped(2)
    assert rollback().returncode == 0
    assert raw(deploy, DEV) == before and before.count(b"\r\n") == before.count(b"\n")
    after = raw(deploy, POLICY_DEV)
    assert after.startswith(policy.encode()) and after.count(b"\r\n") == after.count(b"\n")


def test_B14_rollback_stands_until_it_is_released(run, rollback, deploy, bumped, registry):
    """Equal, older and newer builds are all held, with who, since when and why; after the release the newer lands."""
    bumped(1), bumped(2), bumped(3)
    for number in (1, 3, 4):
        registry.push(BACKEND, f"v{number}", revision=f"{number:040x}")
    assert rollback().returncode == 0
    since, tip = f"{holds(deploy)[0].since:%Y-%m-%d %H:%M}", deploy.tip

    def bump(number: int):
        return run("bump", f"{BACKEND}=:v{number}", "--app", "board", "--build", str(number))

    for number in (1, 3, 4):
        done = bump(number)
        assert refused(done, 3, f"board is held in dev since {since} by ana: {WHY}", "slipway release board --env dev")  # fmt: skip
    assert deploy.tip == tip
    other = run("bump", f"{BACKEND}=:v4", "--app", "other", "--build", "4")
    assert other.returncode == 0, "only board is held"
    assert run("release", "board").returncode == 0
    assert refused(bump(1), 3, "runs a newer board-backend", "older: build number 2 → 1")
    assert bump(4).returncode == 0 and tags(deploy)[0] == "v4"
    assert refused(bump(3), 3, "older: build number 4 → 3")


def test_same_build_is_no_write_while_held(run, rollback, deploy, bumped):
    """A delivery of the very build that was rolled back to is a success that writes nothing."""
    bumped(1), bumped(2)
    assert rollback().returncode == 0
    tip = deploy.tip
    done = run("bump", f"{BACKEND}=:v1", "--app", "board", "--build", "1")
    assert done.returncode == 0 and "nothing to write" in done.stdout and deploy.tip == tip


def test_image_that_the_registry_lost_is_refused_before_the_write(rollback, deploy, bumped, registry):
    """The digest and the way out are named, and neither the images nor the hold are written."""
    bumped(1, BACKEND, FRONTEND), bumped(2, BACKEND, FRONTEND)
    digest = read_images(deploy.read(DEV, "main~1").encode())[1].digest
    for name in (digest, "v1"):
        del registry.manifests[FRONTEND.partition("/")[2], name]
    tip = deploy.tip
    assert refused(
        rollback(), 3, digest, "is not in the registry", "--to a commit whose images are still there"
    )
    assert deploy.tip == tip


def test_tag_that_moved_does_not_matter(rollback, deploy, bumped, registry):
    """What comes back is the digest, whatever its tag names in the registry by now."""
    bumped(1), bumped(2)
    first = deploy.read(DEV, "main~1")
    registry.push(BACKEND, "v1", created="2026-11-24T10:00:00Z")
    assert rollback().returncode == 0 and deploy.read(DEV) == first


def test_policy_of_the_environment_is_checked(rollback, deploy, bumped):
    """An image that lacks an architecture or a signature which the policy asks for by now is refused."""
    bumped(1), bumped(2)
    policy = POLICY.format(env="dev")
    deploy.commit("arm", {POLICY_DEV: policy + "architectures: [arm64]\n"})
    assert refused(rollback(), 3, "is for amd64, and dev needs arm64", POLICY_DEV)
    deploy.commit("sign", {POLICY_DEV: policy + "signature: {required: true, key: cosign.pub}\n"})
    tip = deploy.tip
    assert refused(rollback(), 3, "the key cosign.pub is missing")
    deploy.commit("unclear", {POLICY_DEV: policy + "holdz: []\n"})
    assert refused(rollback(), 3, f"{POLICY_DEV}:4", "holdz")
    assert deploy.read(DEV) == deploy.read(DEV, tip)


def test_entry_that_was_removed_meanwhile_is_refused(rollback, deploy, bumped):
    """An image whose entry is gone cannot go back; the reason is said, and nothing is written."""
    first = bumped(1, BACKEND, FRONTEND)
    second = bumped(2, BACKEND, FRONTEND)
    text = deploy.read(DEV)
    deploy.commit("backend leaves", {DEV: text[: text.index("  - name")] + text[text.rindex("  - name") :]})
    tip = deploy.tip
    gone = f"the entry `{BACKEND}` was removed"
    assert refused(rollback(), 3, f"{gone} after the last bump ({second[:12]})", "put the entry back")
    assert refused(rollback("--to", first), 3, f"{gone} since {first[:12]}", "after its removal")
    assert deploy.tip == tip


def test_entry_that_was_not_there_yet_stays(run, rollback, deploy, bumped, registry):
    """An image that got its entry since keeps it, and the answer says so; when it is the only one, it is refused."""
    first = bumped(1)
    registry.push(BACKEND + "-jobs", "v1")
    assert run("bump", f"{BACKEND}-jobs=:v1", "--app", "board", "--add").returncode == 0
    assert refused(rollback(), 3, f"no image of dev/board had an entry at {first[:12]}")
    bumped(2)
    done = rollback("--to", first)
    assert done.returncode == 0 and f"{BACKEND}-jobs had no entry at {first[:12]}, it stays" in done.stdout
    assert tags(deploy) == ["v1", "unreleased", "v1"]


def test_application_without_an_earlier_image_is_refused(rollback, deploy, bumped):
    """Neither an application that never had a bump nor one with a single bump has anything to go back to."""
    tip = deploy.tip
    assert refused(rollback(), 3, "no bump of dev/board among the 1 commits", "--to")
    bumped(1, path=OTHER)
    assert refused(rollback(), 3, "no bump of dev/board among the 2 commits")
    bumped(1)
    assert refused(rollback(), 3, f"@{NOTHING} is not in the registry")
    assert deploy.read(POLICY_DEV) == deploy.read(POLICY_DEV, tip)


def test_same_state_is_no_write(run, rollback, deploy, bumped):
    """A rollback to where the application is already succeeds, writes nothing and says whether it is held."""
    bumped(1)
    second = bumped(2)
    done = rollback("--to", second)
    assert done.returncode == 0 and deploy.tip == second
    for text in (f"already has the images of {second[:12]}", "board is not held in dev", "nothing to write"):
        assert text in done.stdout
    assert rollback("--to", second + "0").returncode == 2
    first = git("rev-parse", "main~1", cwd=deploy.path).strip()
    assert rollback("--to", first).returncode == 0
    tip = deploy.tip
    again = rollback("--to", first)
    assert again.returncode == 0 and "board is held in dev by ana" in again.stdout and deploy.tip == tip


def test_change_by_hand_after_the_bump_is_not_guessed_about(rollback, deploy, bumped):
    """When somebody set the image by hand since, both commits to return to are named, and either works."""
    first = bumped(1)
    second = bumped(2)
    by_hand = deploy.read(DEV).replace('"v2"', '"v1"')
    deploy.commit("by hand", {DEV: by_hand})
    done = rollback()
    assert refused(done, 3, "was changed to v1@sha256:", f"after the last bump ({second[:12]}), by no bump")
    assert refused(done, 3, f"--to {second[:12]}", f"--to {first[:12]} before it")
    assert rollback("--to", second[:12]).returncode == 0 and tags(deploy)[0] == "v2"


def test_what_argo_cd_would_not_deploy_is_refused(rollback, deploy, bumped):
    """A second kustomization, or a file by which Argo CD is told other images, is named before the write."""
    bumped(1), bumped(2)
    override = "overlays/dev/board/.argocd-source-dev-board.yaml"
    deploy.commit("override", {override: "kustomize:\n  images: [a:1]\n"})
    assert refused(rollback(), 3, override, "nothing would be deployed")
    deploy.commit("two", {override: "", "overlays/dev/board/kustomization.yml": "images: []\n"})
    assert refused(rollback(), 3, "kustomization.yml are in one folder")


def test_writer_of_the_build_is_kept(run, rollback, deploy, registry):
    """After a rollback and a release the entry is still that of the CI job which built what it names."""
    for number in (1, 2):
        registry.push(BACKEND, f"v{number}")
        arguments = ("--app", "board", "--build", str(number), "--writer", "ci/one")
        assert run("bump", f"{BACKEND}=:v{number}", *arguments).returncode == 0
    assert rollback().returncode == 0 and run("release", "board").returncode == 0
    other = run("bump", f"{BACKEND}=:v2", "--app", "board", "--build", "2", "--writer", "ci/two")
    assert refused(other, 3, "last written by ci/one")


def test_image_named_by_tag_alone_is_refused(rollback, deploy, bumped, registry):
    """Where only a tag was named, which bytes ran is not known, so the digest is not left behind or made up."""
    text = re.sub(r"    digest: .*\n", "", deploy.read(DEV))
    deploy.commit("by tag", {DEV: text.replace("unreleased", "v0")})
    registry.push(BACKEND, "v0")
    with_digest = text.replace('"unreleased"', f'"v0"\n    digest: "{NOTHING}"')
    bumped(1, files={DEV: with_digest})
    assert refused(rollback(), 3, f"{DEV}:4", "was v0 without a digest", "which bytes ran is not known")


def test_merged_pull_request_is_one_step(rollback, deploy, bumped):
    """A bump that came with a merge is reverted to what the branch had before the merge, others' bumps included."""
    base = bumped(1, BACKEND, FRONTEND)
    bump = bumped(2, BACKEND)
    message, changed = deploy.message(), deploy.read(DEV)
    git("update-ref", "refs/heads/main", base, cwd=deploy.path)
    bumped(2, FRONTEND)
    main, both = deploy.tip, deploy.read(DEV).replace("v1", "v2", 1)
    both = both.replace(*(re.findall('digest: "(.*)"', t)[0] for t in (both, changed)))
    side = deploy.commit(message, {DEV: both})
    tree = git("rev-parse", f"{side}^{{tree}}", cwd=deploy.path).strip()
    parents = ("-p", main, "-p", bump)
    merge = git("commit-tree", tree, *parents, "-m", "Merge pull request #1", cwd=deploy.path).strip()
    git("update-ref", "refs/heads/main", merge, cwd=deploy.path)
    done = rollback("--json")
    assert done.returncode == 0, done.stderr
    assert tags(deploy) == ["v1", "v2"]
    assert json.loads(done.stdout)["withdrawn"] == [bump] and json.loads(done.stdout)["to"] == main
    assert rollback().returncode == 0 and tags(deploy) == ["v1", "v1"]
    assert rollback("--to", bump).returncode == 0 and tags(deploy) == ["v2", "v2"]


@pytest.mark.parametrize("since", [62, 63, 64, 120])
def test_bump_that_lies_far_back_is_found(rollback, deploy, bumped, since):
    """History is fetched as far as it takes, also where the bump is the last commit that came at first."""
    bumped(1)
    second = bumped(2)
    deploy.idle(since)
    done = rollback()
    assert done.returncode == 0, done.stderr
    assert tags(deploy)[0] == "v1" and f"Rollback: {second}" in deploy.message()


def test_commit_that_only_says_it_is_a_bump_is_passed_over(rollback, deploy, bumped):
    """A second commit with a bump's message that changed nothing, as a repeated cherry-pick makes, is no step."""
    bumped(1), bumped(2)
    deploy.commit(deploy.message(), {PATCH: "a: 1\n"})
    assert rollback().returncode == 0 and tags(deploy)[0] == "v1"


@pytest.mark.parametrize(("late", "after"), [(BACKEND, ["v1", "v2"]), (FRONTEND, ["v1", "v3"])])
def test_bump_that_lands_meanwhile_is_withdrawn_too(deploy, bumped, registry, monkeypatch, late, after):
    """What to return to is decided once: a race with the next build neither brings the broken one back, nor more."""
    monkeypatch.setenv("SLIPWAY_REGISTRY_MIRRORS", registry.mirrors)
    bumped(1, BACKEND, FRONTEND), bumped(2, FRONTEND)
    second = bumped(2, BACKEND)
    landed = []
    with Evidence() as evidence, RemoteRepo(deploy.url) as repo:
        rollback = Rollback(Order("board", "dev", WHY, "ana"), evidence)

        def propose(tip):
            change = rollback.propose(tip)
            landed.append(bumped(3, late)) if not landed else None
            return change

        done = submit(repo, propose, delivery="direct", branch="", forge=None)
    assert done.attempts == 2 and done.commit == deploy.tip and tags(deploy) == after
    withdrawn = [*landed, second] if late == BACKEND else [second]
    assert re.findall("Rollback: (.*)", deploy.message()) == withdrawn


def test_delivery_that_changes_meanwhile_is_refused(deploy, bumped, registry):
    """An environment that asks for pull requests by now is not written to directly."""
    bumped(1), bumped(2)
    with Evidence() as evidence, RemoteRepo(deploy.url) as repo:
        rollback = Rollback(Order("board", "dev", WHY, "ana"), evidence)
        assert rollback.read_policy(repo.tip()).delivery == "direct"
        tip = deploy.commit("pr", {POLICY_DEV: POLICY.format(env="dev").replace("direct", "pull-request")})
        with pytest.raises(PolicyRefused, match="changed to delivery: pull-request"):
            submit(repo, rollback.propose, delivery="direct", branch="", forge=None)
    assert deploy.tip == tip


@pytest.fixture
def forge(deploy, run):
    """Dev takes pull requests only, at this forge."""
    deploy.commit(
        "pr", {POLICY_DEV: POLICY.format(env="dev").replace("direct", "pull-request\napprovals: 1")}
    )
    with ForgeServer("gitea", deploy) as lab:
        yield lab


@pytest.fixture
def reviewed(rollback, forge):
    """The same against that forge."""
    there = ("--forge", "gitea", "--forge-api", forge.api)
    return lambda *arguments: rollback(*there, *arguments, SLIPWAY_FORGE_TOKEN=TOKEN)


def test_pull_request_tells_what_goes_live_again(run, rollback, reviewed, deploy, bumped, forge, tmp_path):
    """Where the policy asks for review, a pull request brings images and hold; its text has all a reviewer needs."""
    source = Deploy.create(tmp_path / "source.git", {"a": "1"})
    shas = [source.tip, source.commit("orders: `faster` @all", {"a": "2"})]
    bumped(1, revision=shas[0]), bumped(2, revision=shas[1])
    tip = deploy.tip
    done = reviewed("--source-repo", str(source.path), "--json")
    assert done.returncode == 0, done.stderr
    answer, pull = json.loads(done.stdout), forge.pulls[0]
    assert answer["pull_request"]["number"] == 1 and pull["head"]["ref"] == "slipway/rollback/dev/board"
    assert deploy.tip == tip and pull["title"] == "dev: board rolled back, board-backend v2 → v1"
    old, new = (read_images(deploy.read(DEV, rev).encode())[0].digest[:19] for rev in (tip, "main~1"))
    for text in (
        "Brings **dev/board** back to the images that it had at `"
        + answer["to"][:12]
        + "`. Approvals needed: 1.",
        f"| board-backend | `v2` `{old}…` | `v1` `{new}…` |",
        f"Reason: `{WHY}`",
        f"- `{tip[:12]}` `dev: v2`",
        f"**board-backend** `{shas[0][:12]}..{shas[1][:12]}`:",
        f"- `{shas[1][:12]}` ``orders: `faster` @\u200ball``",
        "`board` is held in dev by `ana`",
        "`slipway release board --env dev`",
    ):
        assert text in pull["body"], pull["body"]
    assert run("bump", f"{BACKEND}=:v2").returncode == 3, "pull requests only"
    again = reviewed("--reason", "later")
    assert again.returncode == 0 and "pull request #1 updated" in again.stdout and len(forge.pulls) == 1
    assert "board will be held with the merge" in again.stdout
    forge.close(1, merged=True)
    assert tags(deploy)[0] == "v1" and holds(deploy)[0].reason == "later"
    assert refused(reviewed(), 3, "cannot go back to")


def test_frozen_environment_gets_a_pull_request_that_says_so(reviewed, deploy, bumped, forge):
    """Opening a pull request is allowed under a freeze; its text says not to merge, or why it cannot wait."""
    bumped(1), bumped(2)
    deploy.commit("freeze", {POLICY_DEV: deploy.read(POLICY_DEV) + FREEZE})
    assert reviewed().returncode == 0
    frozen = "`dev is frozen until no time within a year (night: sleep)`"
    assert forge.pulls[0]["body"].startswith(f"> **Do not merge yet.** {frozen}\n")
    assert reviewed("--during-freeze", "orders are lost").returncode == 0
    assert forge.pulls[0]["body"].startswith(f"> {frozen}. It cannot wait: `orders are lost`.")
    assert "During-Freeze: night: orders are lost" in deploy.message("slipway/rollback/dev/board")


def test_freeze_closes_the_environment_to_rollbacks_too(rollback, deploy, bumped):
    """Under a freeze a direct rollback needs a reason of its own, which goes into the commit."""
    bumped(1), bumped(2)
    deploy.commit("freeze", {POLICY_DEV: POLICY.format(env="dev") + FREEZE})
    tip = deploy.tip
    assert refused(rollback(), 3, "dev is frozen (night: sleep)", "--during-freeze WHY")
    assert refused(rollback("--during-freeze", " "), 2, "--during-freeze needs a reason")
    assert deploy.tip == tip
    done = rollback("--during-freeze", "orders\nare lost")
    assert done.returncode == 0 and tags(deploy)[0] == "v1"
    assert "During-Freeze: night: orders are lost" in deploy.message()
    assert "argocd app sync dev-board" in done.stdout


def test_dry_run_writes_nothing(rollback, deploy, bumped):
    """A dry run shows both files' changes and leaves the remote alone."""
    bumped(1)
    tip = bumped(2)
    done = rollback("--dry-run")
    assert done.returncode == 0 and deploy.tip == tip
    for text in ('-    newTag: "v2"', '+    newTag: "v1"', f'+    reason: "{WHY}"', "nothing was written"):
        assert text in done.stdout


def test_lost_answer_is_not_repeated_blindly(rollback, bumped, tmp_path):
    """When it is not known whether the push arrived, the fix is a command that cannot go back twice."""
    first = bumped(1)
    bumped(2)

    class NoPush(_GitHandler):
        def do_POST(self):
            if "receive-pack" in self.path:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                return self.end_headers()
            return self.do_GET()

    server = GitServer(tmp_path)
    server.http.RequestHandlerClass = NoPush
    with server:
        done = rollback("--timeout", "1", repo=f"{server.url}/deploy.git")
    assert refused(done, 6, "does not answer", f"repeat with --to {first[:12]}")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["rollback", "board", "--reason", " "], 2, "--reason needs a reason"),
        (["rollback", "../board", "--reason", WHY], 2, "no name"),
        (["rollback", "nothing", "--reason", WHY], 2, "no application nothing in dev"),
        (["rollback", "board", "--reason", WHY, "--author", "me"], 2, "no author"),
    ],
)
def test_bad_arguments_are_named(run, arguments, code, text):
    """Each kind of wrong argument has a line that says what and how to mend it."""
    assert refused(run(*arguments), code, text, "fix:")


def test_author_is_who_holds(rollback, deploy, bumped):
    """The commit's author, where one is given, is the one who holds."""
    bumped(1), bumped(2)
    assert rollback("--author", "Bo <bo@example>").returncode == 0
    assert holds(deploy)[0].by == "Bo"


def test_help_has_an_example_and_loads_little():
    """Help comes without loading what only the work needs."""
    done = slipway("rollback", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert "Example: slipway rollback" in done.stdout
    assert not re.search(r"\| +(httpx|pydantic|yaml|tenacity|boto3)$", done.stderr, re.MULTILINE)
