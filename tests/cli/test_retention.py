"""`slipway retention` says what the registry must keep, protects it, and fails when a policy would take it away."""

import json
import re
import sys
from pathlib import Path

import httpx
import pytest
from slipway.pipeline.push import push
from slipway.pipeline.records import Built, Output
from slipway.pipeline.sign import sign, verify
from slipway.registry.ecr_lifecycle import keep_tag

from tests.cli.bump_lab import (  # fmt: skip
    BACKEND,
    FRONTEND,
    HOST,
    NOTHING,
    OCI_INDEX,
    POLICY,
    Deploy,
    git,
    invoke,
    kustomization,
    slipway,
)
from tests.cli.retention_lab import Keeper, ago

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures" / "pipelines"))
from image_layout import make_archive
from project import make_key, passed, running_registry

DEV = "overlays/dev/board/kustomization.yaml"
PROD = "overlays/prod/board/kustomization.yaml"
EMPTY = kustomization((BACKEND, "unreleased", NOTHING), (FRONTEND, "unreleased", NOTHING))
FILES = {
    DEV: EMPTY,
    PROD: EMPTY,
    "overlays/dev/environment.yaml": POLICY.format(env="dev") + "retention: {commits: 2}\n",
    "overlays/prod/environment.yaml": POLICY.format(env="prod") + "retention: {commits: 1}\n",
}


@pytest.fixture
def registry():
    with Keeper() as lab:
        yield lab


@pytest.fixture
def deploy(tmp_path):
    return Deploy.create(tmp_path / "deploy.git", FILES)


@pytest.fixture
def retention(deploy, registry, tmp_path):
    """Run `slipway retention` against both."""

    def run(*arguments, process=invoke, source=("--repo", deploy.url), **environment):
        known = {"SLIPWAY_REGISTRY_MIRRORS": registry.mirrors, "DOCKER_CONFIG": str(tmp_path)}
        return process("retention", *source, *arguments, **known | environment)

    return run


@pytest.fixture
def builds(deploy, registry):
    """Six builds of the backend, v1 (60 days old) to v6 (10), each bumped into dev; v3 runs in prod. Tag to digest."""
    digests = {}
    for number in range(1, 7):
        tag = f"v{number}"
        digests[tag] = registry.push(BACKEND, tag, created=ago(70 - 10 * number))
        deploy.commit(f"bump {tag}", {DEV: kustomization((BACKEND, tag, digests[tag]))})
        if number == 3:
            deploy.commit("prod v3", {PROD: kustomization((BACKEND, tag, digests[tag]))})
    return digests


def test_C18_policy_that_would_expire_a_needed_image_fails(retention, builds, deploy):
    """v3 (prod now) and v4 (what the last two dev commits replaced) are too old; rule, overlay and commit are named."""
    done = retention()
    assert done.returncode == 1, done.stderr
    assert len(re.findall("^slipway: ", done.stderr, re.MULTILINE)) == 2
    assert re.search(
        rf"{BACKEND}:v3@\S+, named by prod/board, would be expired by rule 2 from \d", done.stderr
    )
    commit = git("log", "-3", "--format=%h", "--abbrev=7", "main", cwd=deploy.path).split()[2]
    assert f"{BACKEND}:v4@{builds['v4']}, named by dev/board at {commit} (2023-11-14)" in done.stderr
    assert "fix: slipway retention --protect" in done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  v")]
    assert sorted(rows) == ["v3", "v4", "v5", "v6"]
    assert f"{BACKEND}: 6 images, 4 needed" in done.stdout and "and 2 that nothing needs, of which 2 are due now" in done.stdout  # fmt: skip


def test_C18_protected_images_stay_whatever_their_age(retention, builds, registry):
    """--protect tags exactly what is needed, after which the policy passes for years ahead; twice changes nothing."""
    done = retention("--protect", "--ahead", "3650")
    assert done.returncode == 0, done.stderr
    expected = [keep_tag(builds[tag]) for tag in ("v3", "v4", "v5", "v6")]
    assert sorted(registry.written) == sorted(expected) and "4 written" in done.stdout
    for tag in ("v3", "v4", "v5", "v6"):
        repository = BACKEND.partition("/")[2]
        assert registry.manifests[repository, keep_tag(builds[tag])] == registry.manifests[repository, tag]
    again = retention("--protect", "--json")
    answer = json.loads(again.stdout)
    assert again.returncode == 0 and len(registry.written) == 4
    (repository,) = answer["repositories"]
    assert repository["written"] == [] and {k["rule"] for k in repository["kept"]} == {1}


def test_dry_run_shows_the_tags_and_writes_none(retention, builds, registry):
    """A dry run says what would be written, and judges as if it were."""
    done = retention("--protect", "--release", "--dry-run")
    assert done.returncode == 0 and "4 would be written, 0 would be removed" in done.stdout
    assert registry.written == []


def test_signatures_and_images_of_an_index_are_kept_with_it(retention, deploy, registry):
    """What makes an image usable is named with its reason and protected; what an index holds needs no tag."""
    digest = registry.push(
        BACKEND, "v1", media_type=OCI_INDEX, architectures=("amd64", "arm64"), created=ago(90)
    )
    signature = registry.sign(BACKEND, digest)
    attestation = registry.sign(BACKEND, digest, ".att")
    deploy.commit("bump", {DEV: kustomization((BACKEND, "v1", digest))})
    done = retention("--protect", "--json")
    assert done.returncode == 0, done.stderr
    (repository,) = json.loads(done.stdout)["repositories"]
    because = {kept["digest"]: kept["because"] for kept in repository["kept"]}
    assert because[digest] == "named by dev/board" and because[signature] == "the signature of v1"
    assert attestation in because and list(because.values()).count("an image in the index of v1") == 2
    assert {keep_tag(d) for d in (digest, signature, attestation)} <= set(registry.written)
    assert all(kept["protected"] for kept in repository["kept"]) and repository["others"] == 0


def test_release_takes_the_tag_from_what_is_not_needed_any_more(retention, builds, registry, deploy):
    """After new commits the oldest protection goes, on request only, and the image itself is left to the policy."""
    assert retention("--protect").returncode == 0
    digest = registry.push(BACKEND, "v7", created=ago(0))
    deploy.commit("bump v7", {DEV: kustomization((BACKEND, "v7", digest))})
    assert retention("--protect").returncode == 0 and registry.deleted == []
    done = retention("--protect", "--release")
    assert done.returncode == 0 and registry.deleted == [keep_tag(builds["v4"])]
    assert "v4" in registry.tags(BACKEND)
    registry.untag(BACKEND, "v5")
    digest = registry.push(BACKEND, "v8", created=ago(0))
    deploy.commit("bump v8", {DEV: kustomization((BACKEND, "v8", digest))})
    done = retention("--protect", "--release")
    assert len(registry.deleted) == 1 and "stays: it is the only tag of its image" in done.stdout
    assert retention("--release").returncode == 2


def test_an_existing_policy_is_checked(retention, builds, tmp_path):
    """--policy-file plays another policy through; one that counts instead of protecting fails on the same images."""
    file = tmp_path / "policy.json"
    rule = {"rulePriority": 5, "selection": {"tagStatus": "tagged", "tagPrefixList": ["v"], "countType": "imageCountMoreThan", "countNumber": 3}, "action": {"type": "expire"}}  # fmt: skip
    file.write_text(json.dumps({"rules": [rule]}))
    done = retention("--policy-file", str(file))
    assert done.returncode == 1 and done.stderr.count("would be expired by rule 5") == 1
    assert f"{BACKEND}:v3@" in done.stderr
    rule["selection"]["countNumber"] = 4
    file.write_text(json.dumps({"rules": [rule]}))
    assert retention("--policy-file", str(file)).returncode == 0
    rule["selection"]["tagRegex"] = "v.*"
    file.write_text(json.dumps({"rules": [rule]}))
    done = retention("--policy-file", str(file))
    assert (
        done.returncode == 2
        and "policy.json: not a lifecycle policy: rules.0.selection.tagRegex" in done.stderr
    )


def test_the_policy_is_printed_and_passes_its_own_check(retention, builds, tmp_path):
    """--policy prints what ECR takes, and needs neither Git nor registry."""
    done = retention("--policy", "--days", "45", source=(), SLIPWAY_REGISTRY_MIRRORS="")
    assert done.returncode == 0 and json.loads(done.stdout)["rules"][1]["selection"]["countNumber"] == 45
    file = tmp_path / "policy.json"
    file.write_text(done.stdout)
    assert retention("--protect").returncode == 0
    assert retention("--policy-file", str(file)).returncode == 0


def test_a_local_clone_will_do(retention, builds, deploy, tmp_path):
    """--from reads a clone, and gives the same answer as the remote."""
    git("clone", "--quiet", deploy.url, str(tmp_path / "clone"))
    answers = []
    for source in (("--repo", deploy.url), ("--from", str(tmp_path / "clone"))):
        answers.append(json.loads(retention("--json", source=source).stdout) | {"moment": None})
    assert answers[0] == answers[1] and answers[0]["repositories"][0]["problems"]
    git("clone", "--quiet", "--depth", "1", deploy.url, str(tmp_path / "shallow"))
    done = retention(source=("--from", str(tmp_path / "shallow")))
    assert done.returncode == 2 and "shallow clone" in done.stderr


@pytest.mark.parametrize(
    ("files", "code", "texts"),
    [
        ({PROD: "images: ["}, 3, [PROD, "not editable: not valid YAML"]),
        ({"overlays/qa/board/kustomization.yaml": EMPTY}, 3, ["qa has no policy"]),
        ({"overlays/dev/environment.yaml": POLICY.format(env="dev") + "retention: {commit: 2}\n"}, 3, ["retention.commit"]),
        ({PROD: kustomization(("docker.io/library/redis", "7", "sha256:" + "1" * 64))}, 2, ["--skip-registry docker.io"]),
        ({PROD: f"images:\n  - name: {BACKEND}\n"}, 3, ["neither tag nor digest"]),
    ],
    ids=["overlay", "environment", "policy", "registry", "entry"],
)  # fmt: skip
def test_C18_what_is_not_clear_is_refused(retention, deploy, registry, files, code, texts):
    """An unreadable overlay, an environment without policy, a registry that is not ours: no verdict at all."""
    deploy.commit("unclear", files)
    done = retention("--protect")
    assert done.returncode == code and all(text in done.stderr for text in [*texts, "fix:"])
    assert done.stdout == "" and registry.written == []


def test_other_registries_and_unreadable_old_commits_can_be_left_out(retention, deploy, registry):
    """By name only: the commit that cannot be read and the registry that is not ours."""
    broken = deploy.commit("broken", {DEV: "images: ["})
    digest = registry.push(BACKEND, "v1", created=ago(1))
    redis = ("docker.io/library/redis", "7", "sha256:" + "1" * 64)
    deploy.commit("mended", {DEV: kustomization((BACKEND, "v1", digest), redis)})
    done = retention()
    assert done.returncode == 3 and f"at {broken[:7]}: not editable" in done.stderr
    assert f"--ignore-commit {broken[:12]}" in done.stderr
    done = retention("--ignore-commit", broken[:12], "--skip-registry", "docker.io")
    assert done.returncode == 0, done.stderr
    assert f"{BACKEND}: 1 images, 1 needed" in done.stdout and "redis" not in done.stdout


def test_an_image_that_is_gone_fails_while_it_is_named(retention, deploy, registry):
    """What Git names now must be there; what only the past named is listed as missing and fails nothing."""
    gone = "sha256:" + "5" * 64
    deploy.commit("gone", {DEV: kustomization((BACKEND, "v0", gone))})
    done = retention("--json")
    assert (
        done.returncode == 1
        and f"{BACKEND}:v0@{gone}, named by dev/board, is not in the registry" in done.stderr
    )
    digest = registry.push(BACKEND, "v1", created=ago(1))
    deploy.commit("new", {DEV: kustomization((BACKEND, "v1", digest))})
    done = retention("--all")
    assert done.returncode == 0 and re.search("v0 .*not in the registry .*dev/board at", done.stdout)


def test_arguments_that_do_not_fit_are_named(retention):
    """Without a repository there is nothing to read, and without overlays it is the wrong one."""
    done = retention(source=())
    assert done.returncode == 2 and "--repo URL" in done.stderr


def test_before_the_first_build_nothing_is_needed(retention):
    """Placeholders are no images; that nothing is needed is said in words."""
    done = retention()
    assert done.returncode == 0 and "nothing is needed" in done.stdout


def test_a_repository_without_overlays_is_refused(retention, tmp_path):
    """The source repository given by mistake does not pass as one that needs nothing."""
    other = Deploy.create(tmp_path / "source.git", {"apps/main.py": "pass\n"})
    done = retention(source=("--repo", other.url))
    assert done.returncode == 2 and "has no overlays/<environment>" in done.stderr


def test_ecr_itself_is_asked(deploy, monkeypatch):
    """Against ECR's API: a needed image is protected by ECR's own tag, and counts from its push."""
    import boto3
    from moto import mock_aws
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.ecr.models import ecr_backends

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    name = f"{DEFAULT_ACCOUNT_ID}.dkr.ecr.eu-central-1.amazonaws.com/team/app"
    with mock_aws():
        client = boto3.client("ecr", region_name="eu-central-1")
        client.create_repository(repositoryName="team/app")
        for n in range(3):
            text = json.dumps({"schemaVersion": 2, "layers": [], "n": n})
            put = {"imageTag": f"v{n}", "imageDigest": f"sha256:{n:064x}"}
            client.put_image(repositoryName="team/app", imageManifest=text, imageManifestMediaType="application/vnd.oci.image.manifest.v1+json", **put)  # fmt: skip
        for image in ecr_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].repositories["team/app"].images:
            image.image_pushed_at -= 40 * 86400
        deploy.commit("bump", {DEV: kustomization((name, "v1", f"sha256:{1:064x}"))})
        arguments = ["retention", "--repo", deploy.url, "--ecr"]
        before = invoke(*arguments)
        assert before.returncode == 1 and f"{name}:v1@" in before.stderr and "by rule 2" in before.stderr
        done = invoke(*arguments, "--protect", "--json")
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["repositories"][0]["expiring"]) == 2
        tags = client.describe_images(repositoryName="team/app", imageIds=[{"imageTag": "v1"}])
        assert keep_tag(f"sha256:{1:064x}") in tags["imageDetails"][0]["imageTags"]


def test_a_real_registry_and_real_signatures(deploy, tmp_path, monkeypatch):
    """The registry that stands in for ECR takes the tags and gives them up; what cosign wrote is kept as well."""
    monkeypatch.setenv("COSIGN_PASSWORD", "test")
    with running_registry(tmp_path, delete=True) as url:
        environment = {"SLIPWAY_REGISTRY_MIRRORS": f"{HOST}={url}", "COSIGN_PASSWORD": "test"}
        output, key, digests = Output(tmp_path / "out"), make_key(tmp_path, "test"), {}
        output.folder.mkdir()
        for tag in ("v1", "v2"):
            digests[tag] = make_archive(output.archive("app"), {"tag": tag})
            built = Built(BACKEND, tag, digests[tag], "a" * 40, "2026-11-23T10:00:00Z", "app.tar")
            output.put_built("app", built)
            output.put_scan("app", passed(digests[tag]), {})
            push("app", output, environment)
            sign("app", output, str(key), None, environment)
            deploy.commit(tag, {DEV: kustomization((BACKEND, tag, digests[tag]))})
        run = ("retention", "--repo", deploy.url, "--json")
        assert invoke(*run, **environment).returncode == 1
        done = invoke(*run, "--protect", **environment)
        assert done.returncode == 0, done.stderr
        (repository,) = json.loads(done.stdout)["repositories"]
        because = [kept["because"] for kept in repository["kept"]]
        assert because.count("the signature of v1") == because.count("the signature of v2") == 1
        assert repository["others"] == 0 and len(repository["written"]) >= 4
        for number in range(3):
            deploy.commit(
                f"on {number}", {DEV: kustomization((BACKEND, "v2", digests["v2"])) + f"# {number}\n"}
            )
        done = invoke(*run, "--protect", "--release", **environment)
        assert (
            done.returncode == 0
            and keep_tag(digests["v1"]) in json.loads(done.stdout)["repositories"][0]["removed"]
        )
        assert keep_tag(digests["v1"]) not in httpx.get(f"{url}/v2/slipway/board-backend/tags/list").text
        verify(
            f"{url.partition('//')[2]}/slipway/board-backend@{digests['v1']}",
            str(key.with_suffix(".pub")),
            plain=True,
        )


def test_help_is_fast_and_has_an_example():
    """Help comes without loading what only the work needs."""
    probe = slipway("retention", "--help", PYTHONPROFILEIMPORTTIME="1")
    assert "Example: slipway retention" in probe.stdout
    assert not re.search(r"\| +(httpx|pydantic|yaml|tenacity|boto3)$", probe.stderr, re.MULTILINE)
