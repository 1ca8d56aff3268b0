"""Monitoring on AWS: the same rules, a topic for every receiver, and nobody else who may publish."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml
from aws_template import Assembly
from slipway import paths, toolchain
from slipway.proc import run

SOURCE = paths.CHECKOUT / "argocd" / "monitoring"
STAGES = ("nonprod", "prod")


@pytest.fixture(params=STAGES)
def stack(request: pytest.FixtureRequest) -> str:
    """The stack of a stage."""
    return f"slipway-{request.param}-monitoring"


def definition(assembly: Assembly, stack: str) -> dict:
    """Alertmanager's configuration as the managed service is given it."""
    text = assembly.one(stack, "Workspace")["AlertManagerDefinition"]
    return yaml.safe_load(yaml.safe_load(text)["alertmanager_config"])


def test_the_rules_are_those_that_promtool_tests(assembly: Assembly, stack: str) -> None:
    """Byte for byte, with the sources of EKS and without those of the local platform."""
    kind = "AWS::APS::RuleGroupsNamespace"
    made = {r["Name"]: r["Data"] for r in assembly.all(kind) if r.stack == stack}
    files = [*(SOURCE / "rules").glob("*.yaml"), *(SOURCE / "eks").glob("*.yaml")]
    wanted = {f"{f.parent.name}-{f.stem}": f.read_text() for f in files if f.name != "scrape.yaml"}
    assert made == wanted and len(made) == 7


def test_every_receiver_has_a_topic_of_this_account(assembly: Assembly, stack: str) -> None:
    """Alertmanager sends to what the stack makes, and people hear of the end, too."""
    account = assembly.account(stack)
    topics = {r["TopicName"] for r in assembly.all("AWS::SNS::Topic") if r.stack == stack}
    receivers = definition(assembly, stack)["receivers"]
    assert {r["name"] for r in receivers} == {"people", "on-call", "dead-man"}
    for receiver in receivers:
        (to,) = receiver["sns_configs"]
        *_, service, region, owner, name = to["topic_arn"].split(":")
        assert (service, region, owner) == ("sns", to["sigv4"]["region"], account)
        assert name in topics and to["send_resolved"]


def test_routes_and_inhibitions_are_the_local_ones(assembly: Assembly, stack: str) -> None:
    """Only receivers differ."""
    ours = yaml.safe_load((SOURCE / "alertmanager.yaml").read_text())
    theirs = definition(assembly, stack)
    for part in ("route", "inhibit_rules"):
        assert theirs[part] == ours[part]


def test_alertmanager_accepts_the_definition(assembly: Assembly, stack: str, tmp_path: Path) -> None:
    """The real one reads it and gets ready; it sends nothing, since nothing fires."""
    file = tmp_path / "alertmanager.yaml"
    file.write_text(yaml.safe_dump(definition(assembly, stack)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    process = subprocess.Popen(
        [
            toolchain.tool("alertmanager"),
            f"--config.file={file}",
            f"--storage.path={tmp_path}/data",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(100):
            if process.poll() is not None:
                pytest.fail(process.stderr.read())
            try:
                if httpx.get(f"http://{address}/-/ready").is_success:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        assert httpx.get(f"http://{address}/-/ready").is_success
    finally:
        process.terminate()
        process.wait(10)


def test_only_this_workspace_publishes_and_only_encrypted(assembly: Assembly, stack: str) -> None:
    """A topic that others may write to is a false alarm at night."""
    policies = [r for r in assembly.all("AWS::SNS::TopicPolicy") if r.stack == stack]
    assert len(policies) == 3
    for policy in policies:
        statements = policy["PolicyDocument"]["Statement"]
        allowed = [one for one in statements if one["Effect"] == "Allow"]
        assert [one["Principal"] for one in allowed] == [{"Service": "aps.amazonaws.com"}]
        condition = allowed[0]["Condition"]
        assert condition["StringEquals"] == {"aws:SourceAccount": assembly.account(stack)}
        assert assembly.names(policy, condition["ArnEquals"]["aws:SourceArn"]) == [f"{stack}/Workspace.Arn"]
        denied = [one for one in statements if one["Effect"] == "Deny"]
        assert denied[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert all(r.get("KmsMasterKeyId") for r in assembly.all("AWS::SNS::Topic") if r.stack == stack)


def test_the_collector_scrapes_this_cluster_by_a_configuration_that_prometheus_reads(
    assembly: Assembly, stack: str, tmp_path: Path
) -> None:
    """From the subnets that NetworkPolicies admit, in the cluster's own group; promtool checks what it is given."""
    scraper = assembly.one(stack, "Scraper")
    blob = base64.b64decode(scraper["ScrapeConfiguration"]["ConfigurationBlob"])
    (tmp_path / "scrape.yaml").write_bytes(blob)
    run([toolchain.tool("promtool"), "check", "config", "--syntax-only", tmp_path / "scrape.yaml"])
    source = scraper["Source"]["EksConfiguration"]
    assert len(source["SecurityGroupIds"]) == 1
    subnets = [name for value in source["SubnetIds"] for name in assembly.names(scraper, value)]
    network = stack.replace("monitoring", "network")
    assert subnets == [f"{network}/Public{zone}" for zone in "ABC"], subnets
    assert scraper["Destination"]["AmpConfiguration"]["WorkspaceArn"] == {"Fn::GetAtt": ["Workspace", "Arn"]}
