"""What is shipped for a real controller and for the scan agrees with the Jenkinsfile and holds no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from slipway.errors import InvalidInput
from slipway.pipeline import config, osv, waivers

CI = Path(__file__).parents[2] / "ci"
JENKINS = yaml.safe_load((CI / "jenkins.yaml").read_text())
JENKINSFILE = (CI / "Jenkinsfile").read_text()
GATE = (CI / "Jenkinsfile.deploy").read_text()
PLUGIN_OF = {
    "timestamps()": "timestamper",
    "cleanWs()": "ws-cleanup",
    "withCredentials(": "credentials-binding",
    "archiveArtifacts": "workflow-basic-steps",
    "sh '": "workflow-durable-task-step",
    "pipeline {": "pipeline-model-definition",
}


def leaves(node: object, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """Every value with the keys that lead to it."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield from leaves(value, (*path, key))
    if not isinstance(node, dict | list):
        yield path, node


def credentials() -> dict[str, str]:
    """Credential id to its kind."""
    entries = JENKINS["credentials"]["system"]["domainCredentials"][0]["credentials"]
    return {body["id"]: kind for entry in entries for kind, body in entry.items()}


def test_no_secret_is_written_into_the_controllers_configuration():
    """Passwords, keys and secrets are variables of the environment, each of them."""
    secret = [
        (path, value)
        for path, value in leaves(JENKINS)
        if path[-1] in ("password", "secret", "privateKey", "secretBytes")
    ]
    assert len(secret) == 9
    assert [path for path, value in secret if not re.fullmatch(r"\$\{[A-Z0-9_]+\}", str(value))] == []


def test_nobody_without_a_login_may_do_anything():
    """No permission for anonymous, no sign-up, and one group that administers nothing."""
    entries = JENKINS["jenkins"]["authorizationStrategy"]["globalMatrix"]["entries"]
    assert "anonymous" not in json.dumps(entries)
    assert [e for e in entries if "group" in e and "Overall/Administer" in e["group"]["permissions"]] == []
    assert JENKINS["jenkins"]["securityRealm"]["local"]["allowsSignup"] is False
    assert JENKINS["jenkins"]["numExecutors"] == 0


def test_every_credential_of_the_jenkinsfile_exists_on_the_controller():
    """A missing id would be found by the first build in production only."""
    used = set(re.findall(r"credentialsId: '([^']+)'", JENKINSFILE + GATE))
    assert used
    assert used - set(credentials()) == set()


def test_the_agent_of_the_jenkinsfile_is_a_pod_that_cannot_reach_the_cluster():
    """Its label is offered; the Pod has no service account token."""
    template = JENKINS["jenkins"]["clouds"][0]["kubernetes"]["templates"][0]
    pod = yaml.safe_load(template["yaml"])["spec"]
    assert f"label '{template['label']}'" in JENKINSFILE
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["securityContext"]["capabilities"]["drop"] == ["ALL"]


def test_the_job_runs_the_shipped_jenkinsfile_and_builds_no_fork():
    """The script path exists; forks are not discovered, so they get no credential."""
    paths = [re.search(r"scriptPath\('([^']+)'\)", job["script"])[1] for job in JENKINS["jobs"]]
    assert paths == ["ci/Jenkinsfile", "ci/Jenkinsfile.deploy"] and all(
        (CI.parent / p).is_file() for p in paths
    )
    script = JENKINS["jobs"][0]["script"]
    assert "ForkDiscovery" not in script


def test_plugins_are_pinned_and_cover_what_is_used():
    """One `name:version` a line, sorted; every step and every part of the configuration has its plugin."""
    lines = [line for line in (CI / "plugins.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines == sorted(lines, key=lambda line: line.partition(":")[0])
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+:\d[\w.\-]+", line)] == []
    names = {line.partition(":")[0] for line in lines}
    used = {plugin for text, plugin in PLUGIN_OF.items() if text in JENKINSFILE}
    used |= {
        "configuration-as-code",
        "kubernetes",
        "github-branch-source",
        "job-dsl",
        "matrix-auth",
        "plain-credentials",
    }
    assert used - names == set()


def test_each_image_has_its_dockerfile():
    """`ci/pipeline.yaml` names files that exist."""
    settings = config.load(CI / "pipeline.yaml")
    assert list(settings.images) == ["board-backend", "board-frontend"]
    assert [i for i in settings.images.values() if not (CI.parent / i.dockerfile).is_file()] == []


@pytest.mark.parametrize("file", sorted(osv.SAMPLE.rglob("*.json")), ids=lambda file: file.stem)
def test_an_advisory_of_the_sample_is_complete(file):
    """Id as in the file's name, an alias in CVE form, a package of the folder's ecosystem, and a fixed version."""
    advisory = json.loads(file.read_text())
    affected = advisory["affected"][0]
    assert advisory["id"] == file.stem
    assert re.fullmatch(r"CVE-\d{4}-\d+", (advisory.get("aliases") or advisory["upstream"])[0])
    assert affected["package"]["ecosystem"].partition(":")[0] == file.parent.name
    assert affected["ranges"][0]["events"][-1]["fixed"]


def test_the_shipped_waivers_can_be_read():
    """None is shipped."""
    assert waivers.load(CI / "waivers.yaml") == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"id": "CVE-1", "expires": "2026-01-01"}, "reason: Field required"),
        ({"id": "CVE-2020-1", "reason": "too short", "expires": "2026-01-01"}, "reason: String should have"),
        ({"id": "CVE-2020-1", "reason": "long enough a reason"}, "expires: Field required"),
        (
            {"id": "CVE-2020-1", "reason": "long enough a reason", "expires": "never"},
            "expires: Input should be",
        ),
        (
            {"id": "CVE-2020-1", "reason": "long enough a reason", "expires": "2026-01-01", "for": 1},
            "for: Extra",
        ),
    ],
)
def test_a_waiver_without_reason_or_end_is_refused(tmp_path, entry, reason):
    """With the file and what is missing."""
    (tmp_path / "waivers.yaml").write_text(yaml.safe_dump({"waivers": [entry]}))
    with pytest.raises(InvalidInput, match=re.escape(reason)) as caught:
        waivers.load(tmp_path / "waivers.yaml")
    assert caught.value.path == tmp_path / "waivers.yaml"
