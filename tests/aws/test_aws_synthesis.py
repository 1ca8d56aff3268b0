"""Synthesis: offline, deployable by CloudFormation alone, clean under cfn-lint and cdk-nag."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
import synth
from aws_synthesis import OFFLINE
from aws_template import Assembly
from slipway import paths
from slipway.proc import run

ACCEPTED_BY_LINT = {"W3010": "Zones are parameters, so that synthesis asks nobody"}


def test_nothing_was_looked_up(out: Path) -> None:
    """No context was asked of an account, and no file has to be uploaded first."""
    manifest = json.loads((out / "manifest.json").read_text())
    assert "missing" not in manifest
    kinds = {artifact["type"] for artifact in manifest["artifacts"].values()}
    assert "cdk:asset-manifest" not in kinds


def test_synthesis_opened_no_connection(out: Path) -> None:
    """The templates were written where not even this machine can be reached."""
    connect = "import socket; socket.create_connection(('127.0.0.1', 1), 1)"
    failed = run([*OFFLINE, paths.PYTHON, "-c", connect], allowed=(1,))
    assert "Network is unreachable" in failed.stderr
    assert len(list(out.glob("*.template.json"))) == 16


def test_templates_can_be_given_to_cloudformation_as_they_are(assembly: Assembly) -> None:
    """Short enough for the API, without parameters, bootstrap rules or conditions."""
    for name, template in assembly.templates.items():
        assert len(json.dumps(template)) < 51_200, name
        assert set(template) <= {"Description", "Resources", "Outputs", "Transform"}, name


def test_a_stack_comes_after_those_that_it_reads(assembly: Assembly) -> None:
    """The printed order is one in which CloudFormation accepts them."""
    exported: set[str] = set()
    for stack in assembly.stacks:
        template = assembly.templates[stack["name"]]
        needed = set(re.findall(r'"Fn::ImportValue": "([^"]+)"', json.dumps(template)))
        assert needed <= exported, stack["name"]
        exported |= {o["Export"]["Name"] for o in template.get("Outputs", {}).values() if "Export" in o}
    assert len(exported) > 10


def test_stacks_of_an_account_come_together(assembly: Assembly) -> None:
    """One change of credentials."""
    accounts = [stack["account"] for stack in assembly.stacks]
    assert sum(one != other for one, other in pairwise(accounts)) == 1


def test_stacks_are_protected_from_deletion(out: Path) -> None:
    """As the manifest tells CDK's deployment."""
    artifacts = json.loads((out / "manifest.json").read_text())["artifacts"].values()
    stacks = [a for a in artifacts if a["type"] == "aws:cloudformation:stack"]
    assert len(stacks) == 16
    assert all(a["properties"].get("terminationProtection") for a in stacks)


def test_cfn_lint_finds_nothing_but_what_has_a_reason(out: Path) -> None:
    """Every rule in force, warnings too; a reason without a finding is stale."""
    lint = [paths.PYTHON.with_name("cfn-lint"), "--regions", "eu-central-1", "--format", "json", "--"]
    result = run([*lint, *sorted(out.glob("*.template.json"))], allowed=range(17), timeout=300)
    found = {(item["Rule"]["Id"], item["Filename"].rpartition("/")[2]) for item in json.loads(result.stdout)}
    assert {rule for rule, _ in found} == set(ACCEPTED_BY_LINT), found
    assert {file for _, file in found} == {f"slipway-{s}-network.template.json" for s in ("nonprod", "prod")}


def test_cfn_lint_does_find(out: Path, tmp_path: Path) -> None:
    """A wrong value in one of our templates is an error."""
    template = json.loads((out / "slipway-dev-data.template.json").read_text())
    template["Resources"]["Postgres"]["Properties"]["BackupRetentionPeriod"] = "a week"
    broken = tmp_path / "broken.template.json"
    broken.write_text(json.dumps(template))
    lint = [paths.PYTHON.with_name("cfn-lint"), "--regions", "eu-central-1", "--format", "json", "--"]
    result = run([*lint, broken], allowed=range(17), timeout=300)
    assert "E3012" in {item["Rule"]["Id"] for item in json.loads(result.stdout)}


def test_nag_finds_nothing_that_no_reason_was_written_for(out: Path) -> None:
    """AwsSolutions and CDK's own rules; warnings too."""
    assert synth.findings(out) == []


def test_every_reason_is_a_sentence_about_a_finding_that_exists(out: Path, unaccepted: Path) -> None:
    """When no reason counts, exactly what has a reason is found: none is stale, and none covers more."""
    accepted = synth.accepted(out)
    found = {(path.removesuffix("/Resource"), rule) for path, rule in synth.findings(unaccepted)}
    explained = {
        (path, rule)
        for path, rule in found
        if any(path == where or path.startswith(f"{where}/") for where, name in accepted if name == rule)
    }
    used = {
        (where, name)
        for where, name in accepted
        if any(rule == name and (path == where or path.startswith(f"{where}/")) for path, rule in found)
    }
    assert len(found) > 40
    assert explained == found
    assert used == set(accepted)
    assert [reason for reason in accepted.values() if len(reason.split()) < 4] == []


@pytest.mark.parametrize("word", ["AdministratorAccess", "PowerUserAccess", "BEGIN PRIVATE", "AKIA"])
def test_templates_hold_no_key_and_no_power(out: Path, word: str) -> None:
    """As words, wherever they might stand."""
    assert [file.name for file in out.glob("*.template.json") if word in file.read_text()] == []
