"""`slipway bump` lands new images in one commit: nothing lost, nothing older on top, nothing half done."""

import json
import re
import sys
import time
from pathlib import Path

import pytest
from slipway.pipeline.push import push
from slipway.pipeline.records import Built, Output
from slipway.pipeline.sign import sign

from tests.cli.bump_lab import (  # fmt: skip
    BACKEND,
    FRONTEND,
    HOST,
    NOTHING,
    POLICY,
    Deploy,
    GitServer,
    Registry,
    failing_fetch,
    git,
    invoke,
    kustomization,
    slipway,
    start,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from image_layout import make_archive
from project import make_key, passed, running_registry

DEV = "overlays/dev/board/kustomization.yaml"
STAGING = "overlays/staging/board/kustomization.yaml"
POLICY_DEV = "overlays/dev/environment.yaml"
EMPTY = kustomization((BACKEND, "unreleased", NOTHING), (FRONTEND, "unreleased", NOTHING))


@pytest.fixture
def registry():
    with Registry() as lab:
        yield lab


@pytest.fixture
def deploy(tmp_path):
    files = {
        DEV: EMPTY,
        POLICY_DEV: POLICY.format(env="dev"),
        "overlays/dev/other/kustomization.yaml": "images: []\n",
    }
    files |= {STAGING: EMPTY, "overlays/staging/environment.yaml": POLICY.format(env="staging")}
    return Deploy.create(tmp_path / "deploy.git", files)


@pytest.fixture
def bump(deploy, registry, tmp_path):
    """Run `slipway bump` against both; environment variables come as keywords."""

    def run(*arguments, repo=deploy.url, env="dev", process=invoke, **environment):
        environment = {
            "SLIPWAY_REGISTRY_MIRRORS": registry.mirrors,
            "DOCKER_CONFIG": str(tmp_path),
        } | environment
        return process("bump", "--repo", repo, *(["--env", env] if env else []), *arguments, **environment)

    return run


def refused(done, code: int, *texts: str) -> bool:
    """Whether a run ended with this code and said all this, without a traceback or a word of success."""
    return done.returncode == code and all(t in done.stderr for t in texts) and "pushed" not in done.stdout and "Traceback" not in done.stderr  # fmt: skip


def test_images_land_in_one_commit(bump, deploy, registry):
    """Two images in two environments are one commit that changes only their values, by the bot, with trailers."""
    backend, frontend = registry.push(BACKEND, "v1", revision="c" * 40), registry.push(FRONTEND, "v1")
    done = bump(
        f"{BACKEND}=:v1", f"{FRONTEND}=:v1", "--env", "staging", "--build", "7", "--source-commit", "d" * 40
    )
    assert done.returncode == 0, done.stderr
    assert deploy.count == 2 and sorted(deploy.changed()) == [DEV, STAGING]
    assert (
        deploy.read(DEV)
        == deploy.read(STAGING)
        == kustomization((BACKEND, "v1", backend), (FRONTEND, "v1", frontend))
    )
    message = deploy.message()
    assert message.startswith("dev, staging: board-backend v1, board-frontend v1\n\nImage: ")
    block = f"Image: {BACKEND}:v1\nDigest: {backend}\nSource-Commit: {'d' * 40}\nBuild: 7\nPrevious: dev/board unreleased@{NOTHING}\n"
    assert block + f"Previous: staging/board unreleased@{NOTHING}\nImage: {FRONTEND}:v1" in message
    parsed = git("interpret-trailers", "--parse", input=message.encode())
    assert parsed.count("Image: ") == 2 and parsed.count("Previous: ") == 4
    assert (
        git("log", "-1", "--format=%an <%ae>", "main", cwd=deploy.path).strip()
        == "slipway-bot <slipway-bot@slipway.invalid>"
    )
    assert f"pushed {deploy.tip[:12]} to main" in done.stdout


def test_B7_second_time_says_already(bump, deploy, registry):
    """The same images again succeed without a commit."""
    registry.push(BACKEND, "v1")
    assert bump(f"{BACKEND}=:v1").returncode == 0
    tip = deploy.tip
    done = bump(f"{BACKEND}=:v1")
    assert (
        done.returncode == 0 and "already at v1@sha256:" in done.stdout and "nothing to write" in done.stdout
    )
    assert deploy.tip == tip


def test_digests_folder_of_the_pipeline_is_read(bump, deploy, registry, tmp_path):
    """What `slipway ci push` recorded is enough: image, tag, digest, revision, time of creation."""
    folder = tmp_path / "digests"
    folder.mkdir()
    for image in (BACKEND, FRONTEND):
        record = {
            "image": image,
            "tag": "v1",
            "digest": registry.push(image, "v1"),
            "revision": "e" * 40,
            "created": "2026-11-23T10:00:00Z",
        }
        (folder / f"{image.rpartition('/')[2]}.json").write_text(json.dumps(record))
    done = bump("--digests", str(folder), "--build", "12", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["commit"] == deploy.tip and [r["changed"] for r in answer["results"]] == [True, True]
    assert deploy.message().count(f"Source-Commit: {'e' * 40}\nBuild: 12") == 2
    (folder / "extra.json").write_text('{"image": "x"}')
    assert refused(bump("--digests", str(folder)), 2, "extra.json: not the record of a pushed image")
    assert refused(bump("--digests", str(tmp_path / "pushes")), 2, "does not exist")
    (tmp_path / "pushes").mkdir()
    assert refused(bump("--digests", str(tmp_path / "pushes")), 2, "no *.json")


def test_images_of_two_applications_land_where_they_belong(bump, deploy, registry):
    """Each overlay gets its own image in one commit; one that has its image already is not spoken of."""
    other = "overlays/dev/other/kustomization.yaml"
    files = {DEV: kustomization((BACKEND, "v0", NOTHING)), other: kustomization((FRONTEND, "v0", NOTHING))}
    deploy.commit("one image each", files)
    new = {image: registry.push(image, "v1") for image in (BACKEND, FRONTEND)}
    assert bump(f"{BACKEND}=:v1", f"{FRONTEND}=:v1").returncode == 0
    assert new[BACKEND] in deploy.read(DEV) and new[FRONTEND] in deploy.read(other)
    assert FRONTEND not in deploy.read(DEV) and BACKEND not in deploy.read(other)
    registry.push(BACKEND, "v2", created="2026-11-24T10:00:00Z")
    done = bump(f"{BACKEND}=:v2", f"{FRONTEND}=:v1", "--build", "2")
    assert done.returncode == 0 and "already at v1" in done.stdout, done.stderr
    assert "Image: " + FRONTEND not in deploy.message() and f"Image: {BACKEND}:v2" in deploy.message()


def test_dry_run_survives_a_connection_that_fails_while_files_are_read(
    bump, deploy, registry, tmp_path, monkeypatch
):
    """A dry run is as patient as the real one."""
    registry.push(BACKEND, "v1")
    log = failing_fetch(tmp_path, monkeypatch, "2|3", "error: RPC failed; HTTP 502")
    done = bump(f"{BACKEND}=:v1", "--dry-run")
    assert done.returncode == 0 and "nothing was written" in done.stdout, done.stderr
    assert log.read_text().count("fetch") > 3


def test_dry_run_writes_nothing(bump, deploy, registry):
    """A dry run shows the diff and leaves the remote alone."""
    digest, tip = registry.push(BACKEND, "v1"), deploy.tip
    done = bump(f"{BACKEND}=:v1", "--dry-run")
    assert (
        done.returncode == 0
        and f'+    digest: "{digest}"' in done.stdout
        and "nothing was written" in done.stdout
    )
    assert deploy.tip == tip


@pytest.mark.parametrize("app", [[], ["--app", "board"]])
def test_C14_absent_tag_is_refused_before_the_commit(bump, deploy, registry, app):
    """An image that the registry does not have never reaches Git, nor does its companion."""
    registry.push(FRONTEND, "v1")
    tip = deploy.tip
    assert refused(
        bump(f"{FRONTEND}=:v1", f"{BACKEND}=:v1", *app), 3, "board-backend:v1 is not in the registry", "fix:"
    )
    assert deploy.tip == tip


def test_C16_tag_that_moved_is_refused(bump, deploy, registry):
    """A tag with a digest that it no longer names is refused."""
    old = registry.push(BACKEND, "v1", created="2026-11-22T10:00:00Z")
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1@{old}"), 3, "the tag was pushed again")


def test_C19_missing_architecture_is_refused(bump, deploy, registry):
    """An image without the node group's architectures is refused before the commit."""
    deploy.commit("arm", {POLICY_DEV: POLICY.format(env="dev") + "architectures: [amd64, arm64]\n"})
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1"), 3, "is for amd64, and dev needs arm64", POLICY_DEV)


def test_required_signature_fails_closed(bump, deploy, registry):
    """Where signatures are required, a missing key or an unsigned image refuses the write."""
    policy = POLICY.format(env="dev") + "signature: {required: true, key: cosign.pub}\n"
    deploy.commit("sign", {POLICY_DEV: policy})
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1"), 3, "the key cosign.pub is missing")
    deploy.commit("outside", {POLICY_DEV: policy.replace("cosign.pub", "../../../cosign.pub")})
    assert refused(bump(f"{BACKEND}=:v1"), 3, "outside the repository")
    key = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEyS4cEOM1h3N8cFkzjHZCkq3cHYLr\nLHk0bLqq/0Z8Jd0fdp3cNVkXo3t3Wl7bC7C3vL1YdM2CqyD1qQ7N5n2Q3w==\n-----END PUBLIC KEY-----\n"
    deploy.commit("key", {POLICY_DEV: policy, "overlays/dev/cosign.pub": key})
    assert refused(bump(f"{BACKEND}=:v1"), 3, "no valid signature")


def test_signature_is_verified_against_a_real_registry(bump, deploy, tmp_path, monkeypatch):
    """An image in a real registry is refused until it is signed with the key that lies beside the policy."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    with running_registry(tmp_path) as url:
        environment = {"SLIPWAY_REGISTRY_MIRRORS": f"{HOST}={url}", "COSIGN_PASSWORD": "test"}
        output, key = Output(tmp_path / "out"), make_key(tmp_path, "test")
        output.folder.mkdir()
        digest = make_archive(output.archive("backend"), {"a": "b"})
        output.put_built(
            "backend", Built(BACKEND, "v1", digest, "a" * 40, "2026-11-23T10:00:00Z", "backend.tar")
        )
        output.put_scan("backend", passed(digest), {})
        push("backend", output, environment)
        policy = POLICY.format(env="dev") + "signature: {required: true, key: cosign.pub}\n"
        deploy.commit(
            "sign", {POLICY_DEV: policy, "overlays/dev/cosign.pub": key.with_suffix(".pub").read_bytes()}
        )
        arguments = ["--digests", str(output.folder / "digests"), "--app", "board"]
        assert refused(bump(*arguments, **environment), 3, "no valid signature", "slipway ci sign")
        sign("backend", output, str(key), None, environment)
        done = bump(*arguments, **environment)
        assert done.returncode == 0, done.stderr
    assert digest in deploy.read(DEV)


def test_B5_older_build_is_refused(bump, deploy, registry):
    """Build 10 after build 11 is superseded, whatever the times say; a reason lets it land and is written down."""
    registry.push(BACKEND, "b11", created="2026-11-23T10:00:00Z")
    registry.push(BACKEND, "b10", created="2026-11-23T11:00:00Z")
    assert bump(f"{BACKEND}=:b11", "--build", "11").returncode == 0
    tip = deploy.tip
    done = bump(f"{BACKEND}=:b10", "--build", "10")
    assert refused(done, 3, "runs a newer board-backend", "older: build number 11 → 10", "--allow-older")
    assert deploy.tip == tip
    done = bump(f"{BACKEND}=:b10", "--build", "10", "--allow-older", "b11 corrupts\n data")
    assert done.returncode == 0 and "Allowed-Older: b11 corrupts data" in deploy.message()


def test_B5_order_of_evidence(bump, deploy, registry, tmp_path):
    """Source ancestry goes before the build number, and time decides when neither is known."""
    source = Deploy.create(tmp_path / "source.git", {"a": "1"})
    first, second = source.tip, source.commit("second", {"a": "2"})
    registry.push(BACKEND, "new", revision=second, created="2026-11-23T10:00:00Z")
    registry.push(BACKEND, "old", revision=first, created="2026-11-23T11:00:00Z")
    assert bump(f"{BACKEND}=:new", "--build", "3").returncode == 0
    done = bump(f"{BACKEND}=:old", "--build", "4", "--source-repo", str(source.path))
    assert refused(done, 3, f"older: source {first[:12]} comes before {second[:12]}")
    registry.push(FRONTEND, "late", created="2026-11-23T11:00:00Z")
    registry.push(FRONTEND, "early", created="2026-11-23T10:00:00Z")
    assert bump(f"{FRONTEND}=:late").returncode == 0
    assert refused(bump(f"{FRONTEND}=:early"), 3, "older: time of creation")
    registry.push(FRONTEND, "timeless", created="1970-01-01T00:00:00Z")
    assert refused(bump(f"{FRONTEND}=:timeless"), 3, "nothing tells whether")


def test_B5_decision_is_made_again_on_the_new_tip(bump, deploy, registry):
    """An older build that loses the race to a newer one is refused, not applied on top of it."""
    for build in (10, 11):
        registry.push(BACKEND, f"b{build}")
    log = deploy.hook("pre-receive", f'[ $(wc -l < "{deploy.path}/pre-receive.log") = 1 ] && sleep 2; exit 0')
    older = bump(f"{BACKEND}=:b10", "--build", "10", process=start)
    while not log.exists():
        time.sleep(0.02)
    newer = bump(f"{BACKEND}=:b11", "--build", "11")
    assert newer.returncode == 0, newer.stderr
    assert refused(older.communicate_all(), 3, "older: build number 11 → 10")
    assert "b11" in deploy.read(DEV) and deploy.count == 2


def test_B1_twelve_writers_lose_nothing(bump, deploy, registry):
    """Twelve processes with an image each all land, in a straight line, each with its own tag."""
    images = [f"{BACKEND}-{n}" for n in range(12)]
    deploy.commit("twelve", {DEV: kustomization(*((image, "v0", NOTHING) for image in images))})
    for image in images:
        registry.push(image, "v1")
    before = deploy.count
    writers = [bump(f"{image}=:v1", "--app", "board", process=start) for image in images]
    ends = [writer.communicate_all() for writer in writers]
    assert [end.returncode for end in ends] == [0] * 12, [end.stderr for end in ends]
    assert deploy.count == before + 12 and git("rev-list", "--merges", "main", cwd=deploy.path) == ""
    assert deploy.read(DEV).count('newTag: "v1"') == 12


def test_B3_declining_hook_is_asked_once(bump, deploy, registry):
    """A hook that declines ends the run at once, with its text and an exit code of its own."""
    registry.push(BACKEND, "v1")
    log = deploy.hook("pre-receive", "echo 'only on Mondays' >&2; exit 1")
    assert refused(bump(f"{BACKEND}=:v1"), 4, "only on Mondays", "hook declined", "fix:")
    assert log.read_text() == "run\n"


def test_B9_C22_credentials_are_named_and_never_shown(bump, deploy, registry, tmp_path):
    """Over HTTP the password comes from the environment; wrong, missing or in the URL it is refused unseen."""
    registry.push(BACKEND, "v1")
    with GitServer(tmp_path, ("slipway-bot", "s3cret")) as server:
        url = f"{server.url}/deploy.git"
        assert refused(bump(f"{BACKEND}=:v1", repo=url), 4, "wants credentials", "SLIPWAY_GIT_PASSWORD")
        login = {"SLIPWAY_GIT_USERNAME": "slipway-bot", "SLIPWAY_GIT_PASSWORD": "wr0ng"}
        wrong = bump(f"{BACKEND}=:v1", repo=url, **login)
        assert refused(wrong, 4, "does not accept") and "wr0ng" not in wrong.stderr + wrong.stdout
        inside = bump(f"{BACKEND}=:v1", repo=url.replace("://", "://slipway-bot:s3cret@"))
        assert refused(inside, 2, "carries a credential") and "s3cret" not in inside.stderr + inside.stdout
        debug = {"GIT_TRACE": "1", "GIT_TRACE_CURL": "1", "GIT_CURL_VERBOSE": "1"}
        done = bump(
            f"{BACKEND}=:v1", repo=url, process=slipway, **login | {"SLIPWAY_GIT_PASSWORD": "s3cret"} | debug
        )
        assert done.returncode == 0 and "s3cret" not in done.stderr + done.stdout
    assert deploy.count == 2


@pytest.mark.parametrize("locale", ["de_DE.UTF-8", "C", "tr_TR.ISO-8859-9"])
def test_any_language_of_the_machine_works(bump, deploy, registry, locale):
    """Neither messages nor bytes depend on the locale."""
    text = EMPTY + "# größer ✓\r\n"
    deploy.commit("non-ascii", {DEV: text})
    digest = registry.push(BACKEND, "v1")
    done = bump(
        f"{BACKEND}=:v1",
        "--allow-older",
        "größer ✓",
        process=slipway,
        LC_ALL=locale,
        LANGUAGE="de",
        LANG=locale,
    )
    assert done.returncode == 0, done.stderr
    assert deploy.read(DEV) == text.replace("unreleased", "v1", 1).replace(NOTHING, digest, 1)


@pytest.mark.parametrize(
    ("policy", "texts"),
    [
        ("freezes: [{name: night, reason: sleep, timezone: Europe/Berlin, start: 2020-01-01T00:00, end: 2126-01-01T00:00}]\n", ["frozen (night: sleep)", "no time within a year"]),
        ("holds: [{app: board, reason: rolled back, since: 2026-11-23, by: ana}]\n", ["board is held in dev", "rolled back", "slipway release board --env dev"]),
        ("approvalls: 1\n", ["approvalls"]),
        ("delivery: pull-request\n", ["`delivery` twice"]),
    ],
)  # fmt: skip
def test_policy_stands_against_the_write(bump, deploy, registry, policy, texts):
    """A freeze, a hold and a policy that is not clear refuse the write, with the way out."""
    deploy.commit("policy", {POLICY_DEV: POLICY.format(env="dev") + policy})
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1"), 3, POLICY_DEV, *texts)


def test_pull_request_environment_is_left_to_promote(bump, deploy, registry):
    """An environment that takes pull requests only is not written to, and the command to use is named."""
    deploy.commit("pr", {POLICY_DEV: POLICY.format(env="dev").replace("direct", "pull-request")})
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1"), 3, "by pull request only", "slipway promote board --to dev")


def test_C12_unlisted_environment_is_refused(bump, deploy, registry):
    """An environment without a policy is closed."""
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1", env="qa"), 3, "overlays/qa/environment.yaml", "no policy")
    deploy.commit("no policy", {"overlays/qa/board/kustomization.yaml": EMPTY})
    assert refused(bump(f"{BACKEND}=:v1", env="qa"), 3, "no policy")


def test_B11_one_refusal_leaves_all_untouched(bump, deploy, registry):
    """When the second environment cannot be edited, the first is not either."""
    deploy.commit("broken", {STAGING: EMPTY.replace("newTag", "newtag")})
    registry.push(BACKEND, "v1")
    tip = deploy.tip
    assert refused(bump(f"{BACKEND}=:v1", "--env", "staging"), 3, f"{STAGING}:5", "is read as `newTag`")
    assert deploy.tip == tip


def test_A13_misspelt_image_is_refused(bump, deploy, registry):
    """An image that no overlay has an entry for is an error; with --add the application gets one."""
    other = BACKEND + "s"
    digest = registry.push(other, "v1")
    assert refused(bump(f"{other}=:v1"), 3, f"no entry for `{other}`", "overlays/dev/*/kustomization.yaml")
    assert refused(bump(f"{other}=:v1", "--add"), 2, "--add needs --app")
    assert refused(bump(f"{other}=:v1", "--add", "--app", "nothing"), 3, "no entry for")
    done = bump(f"{other}=:v1", "--add", "--app", "board")
    assert done.returncode == 0, done.stderr
    assert deploy.read(DEV) == EMPTY + f'  - name: {other}\n    newTag: "v1"\n    digest: "{digest}"\n'
    assert "Previous: dev/board none" in deploy.message()


def test_A24_two_kustomizations_in_a_folder_are_refused(bump, deploy, registry):
    """A folder with two names of kustomization is refused with both paths."""
    deploy.commit("two", {"overlays/dev/board/kustomization.yml": EMPTY})
    registry.push(BACKEND, "v1")
    assert refused(bump(f"{BACKEND}=:v1"), 3, DEV, "overlays/dev/board/kustomization.yml")


def test_A11_renamed_image_is_looked_up_by_its_new_name(bump, deploy, registry):
    """An entry that renames the image keeps its name, and the registry is asked for the new one."""
    text = f"images:\n  - name: backend\n    newName: {BACKEND}\n    newTag: v0\n"
    deploy.commit("renamed", {DEV: text})
    digest = registry.push(BACKEND, "v1")
    for image in ("backend", BACKEND):
        assert bump(f"{image}=:v1").returncode == 0
    assert deploy.read(DEV) == text.replace("v0\n", f'"v1"\n    digest: "{digest}"\n') and deploy.count == 3


def test_B15_only_image_values_change(bump, deploy, registry):
    """A bump's commit changes nothing but the values, so that its revert reverts nothing else."""
    registry.push(BACKEND, "v1")
    bump(f"{BACKEND}=:v1")
    patch = git("show", "--format=", "--unified=0", "main", cwd=deploy.path)
    changed = [line for line in patch.splitlines() if re.match(r"[+-](?![+-]{2} )", line)]
    assert len(changed) == 4 and all(re.match(r'[+-]    (newTag|digest): "', line) for line in changed)


def test_B4_changes_in_one_line_are_applied_again(bump, deploy, registry):
    """A writer of adjacent flow entries that was faster, even with the same image, is not in conflict with ours."""
    text = f"images: [{{name: {BACKEND}, newTag: v0}}, {{name: {FRONTEND}, newTag: v0}}]\n"
    base = deploy.commit("flow", {DEV: text})
    for image, tag in ((BACKEND, "v1"), (FRONTEND, "v1"), (BACKEND, "v2")):
        registry.push(image, tag, created=f"2026-11-2{tag[1]}T10:00:00Z")
    assert bump(f"{BACKEND}=:v1", f"{FRONTEND}=:v1").returncode == 0
    rival = deploy.tip
    git("update-ref", "refs/heads/main", base, cwd=deploy.path)
    first = f'[ $(wc -l < "{deploy.path}/pre-receive.log") = 1 ] || exit 0'
    deploy.hook("pre-receive", f"{first}\nenv -u GIT_QUARANTINE_PATH git update-ref refs/heads/main {rival}")
    done = bump(f"{BACKEND}=:v2")
    assert done.returncode == 0 and "in 2 attempts" in done.stdout, done.stderr
    expected = text.replace("v0", '"v2"', 1).replace("v0", '"v1"')
    assert re.sub(r', digest: "[^"]+"', "", deploy.read(DEV)) == expected
    assert git("rev-list", "--parents", "-1", "main", cwd=deploy.path).split() == [deploy.tip, rival]


def test_B6_another_writer_of_an_entry_is_refused(bump, deploy, registry):
    """Two controllers never write one entry in turn: the second is told who the first is, and how to allow both."""
    one, two = "https://ci.example/job/board", "https://old-ci.example/job/board"
    for number in (1, 2, 3):
        registry.push(BACKEND, f"v{number}", created=f"2026-11-2{number}T10:00:00Z")
    assert bump(f"{BACKEND}=:v1", JOB_URL=one + "/").returncode == 0
    assert f"\nWritten-By: {one}\nPrevious: dev/board" in deploy.message()
    tip = deploy.tip
    done = bump(f"{BACKEND}=:v2", JOB_URL=two)
    assert refused(done, 3, POLICY_DEV, f"last written by {one}, and this is {two}", "`writers`")
    assert deploy.tip == tip
    assert bump(f"{BACKEND}=:v1", JOB_URL=two).returncode == 0 and deploy.tip == tip
    assert bump(f"{BACKEND}=:v2", JOB_URL=one).returncode == 0
    registry.push(FRONTEND, "v1")
    assert bump(f"{FRONTEND}=:v1", JOB_URL=two).returncode == 0
    assert bump(f"{BACKEND}=:v3").returncode == 0 and "Written-By" not in deploy.message()


def test_B6_the_policy_says_who_may_write(bump, deploy, registry):
    """With `writers` everybody else is refused, nameless ones too; build numbers of two writers are not compared."""
    deploy.commit("writers", {POLICY_DEV: POLICY.format(env="dev") + "writers: [one, two]\n"})
    for tag, day in (("b900", 21), ("b2", 22), ("b1", 23)):
        registry.push(BACKEND, tag, created=f"2026-11-{day}T10:00:00Z")
    assert refused(bump(f"{BACKEND}=:b900"), 3, "a writer without a name is not among the writers of dev")
    assert refused(bump(f"{BACKEND}=:b900", "--writer", "three"), 3, "three is not among the writers")
    assert refused(bump(f"{BACKEND}=:b900", "--writer", "a b"), 2, "no name of a writer")
    assert bump(f"{BACKEND}=:b900", "--writer", "one", "--build", "900").returncode == 0
    done = bump(f"{BACKEND}=:b2", "--build", "2", SLIPWAY_WRITER="two")
    assert done.returncode == 0 and "newer: time of creation" in done.stdout, done.stderr
    assert refused(bump(f"{BACKEND}=:b1", "--build", "1", "--writer", "two"), 3, "build number 2 → 1")


def test_B8_a_push_that_fails_is_never_green(bump, deploy, registry):
    """Whatever the reason, the exit code says so and no word of success is printed."""
    registry.push(BACKEND, "v1")
    deploy.hook("update", "exit 1")
    assert refused(bump(f"{BACKEND}=:v1"), 4)
    gone = deploy.path.rename(deploy.path.with_suffix(".gone"))
    assert refused(bump(f"{BACKEND}=:v1"), 4, "not there")
    gone.rename(deploy.path)
    pipeline = (Path(__file__).parents[2] / "ci" / "Jenkinsfile").read_text()
    assert "slipway bump" in pipeline and not re.search(r"\|\||set \+e|returnStatus|catchError", pipeline)


@pytest.mark.parametrize("name", [".argocd-source.yaml", ".argocd-source-dev-board.yaml"])
def test_A23_images_that_argo_cd_is_told_elsewhere_are_refused(bump, deploy, registry, name):
    """A parameter file that names images wins over Git's, so a bump would deploy nothing; others are no matter."""
    path = f"overlays/dev/board/{name}"
    registry.push(BACKEND, "v1")
    deploy.commit("override", {path: f"kustomize:\n  images: ['{BACKEND}:v0']\n"})
    assert refused(bump(f"{BACKEND}=:v1"), 3, path, "nothing would be deployed", "kustomize.images")
    deploy.commit("override", {path: "kustomize:\n  namePrefix: a-\n"})
    assert bump(f"{BACKEND}=:v1").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "no image given"),
        ([f"{BACKEND}"], 2, "has no `=`"),
        ([f"{BACKEND}=:v1", f"{BACKEND}=:v2"], 2, "given twice"),
        ([f"{BACKEND}=:v1", "--app", "../dev"], 2, "no name"),
        ([f"{BACKEND}=:v1", "--env", "a/b"], 2, "no name"),
        ([f"{BACKEND}=:v1", "--allow-older", " "], 2, "needs a reason"),
        ([f"{BACKEND}=:v1", "--author", "me"], 2, "no author"),
        ([f"{BACKEND}=:v1", "--branch", "mian"], 2, "no branch mian"),
    ],
)
def test_bad_arguments_are_named(bump, arguments, code, text):
    """Each kind of wrong argument has a line that says what and how to mend it."""
    assert refused(bump(*arguments), code, text, "fix:")


def test_help_loads_only_what_it_needs_and_has_an_example():
    """Help comes without loading what only the work needs."""
    done = slipway("bump", "--help", PYTHONPROFILEIMPORTTIME="1")
    probe = done.stderr
    assert "Example: slipway bump" in done.stdout
    assert not re.search(r"\| +(httpx|pydantic|yaml|tenacity|boto3)$", probe, re.MULTILINE)
