"""What the README says of the stacks, the boxes, the placeholders and the cost is so."""

from __future__ import annotations

import re

import pytest
import synth
from aws_claims import CLAIMS
from aws_emulator import NOT_MADE
from aws_template import Assembly
from slipway import paths
from stages import STAGES

README = (synth.HERE / "README.md").read_text()


def rows(after: str) -> list[list[str]]:
    """The cells of the first table after a text, without its head."""
    lines = [line.strip() for line in README.split(after, 1)[1].splitlines()]
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    table = lines[first : lines.index("", first)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_stack_is_in_the_table(assembly: Assembly) -> None:
    """By its name, once."""
    named = [name for row in rows("## What each stack makes") for name in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(named) == sorted(assembly.templates)


def test_every_box_is_where_the_table_says() -> None:
    """Files and folders exist."""
    places = [place for row in rows("## Every box of the architecture, and where it lives") for place in
              re.findall(r"`([^`]+)`", row[2])]  # fmt: skip
    assert len(places) > 20
    missing = [p for p in places if not any((root / p).exists() for root in (paths.CHECKOUT, synth.HERE))]
    assert missing == []


def test_links_lead_to_files() -> None:
    """Those beside it."""
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 10
    assert [link for link in links if not (synth.HERE / link).is_file()] == []


@pytest.mark.parametrize("column", [1, 2])
def test_the_costs_add_up(column: int) -> None:
    """And fit into the budget that the stage sets."""
    *items, total = [int(row[column].strip("*")) for row in rows("### What it costs")]
    assert sum(items) == total
    assert total <= STAGES[column - 1].budget.monthly


def test_the_costs_assume_what_the_stages_say() -> None:
    """Nodes, gateways, endpoints and databases as they would be made."""
    assumed = {row[0]: row[3] for row in rows("### What it costs")}
    nonprod, prod = STAGES
    small, large = (stage.cluster.node_groups[0] for stage in STAGES)
    nodes = f"{small.minimum} × {small.instance_types[0]}; {large.minimum} × {large.instance_types[0]}; no arm64 node"
    assert assumed["nodes"] == nodes
    assert assumed["NAT gateways"] == f"{nonprod.network.nat_gateways}; {prod.network.nat_gateways}"
    services = f"{len(nonprod.network.endpoints)} and {len(prod.network.endpoints)} services in 3 zones"
    assert assumed["interface endpoints"] == services
    databases = [e.database for stage in STAGES for e in stage.environments]
    text = f"2 × {databases[0].instance_class}; {databases[2].instance_class} in two zones"
    assert assumed["RDS"] == f"{text} with {databases[2].allocated_gib} GB"


def test_every_placeholder_is_where_the_table_says() -> None:
    """What an adopter looks for is found in each file of ours that is named for it."""
    checked = 0
    for placeholder, where, _ in rows("Change what is a placeholder"):
        files = [file for part in re.findall(r"`(stages/[^`]+)`", where) for file in synth.HERE.glob(part)]
        # Where no stage says it, the component or the file that the table names does.
        files = files or [
            file
            for part in re.findall(r"`((?:argocd|base)/[^`]+)`", where)
            for file in paths.CHECKOUT.glob(part if part.endswith(".yaml") else f"{part}/*.yaml")
        ]
        text = "".join(file.read_text() for file in files)
        for value in re.findall(r"`([^`]+)`", placeholder):
            assert value in text, value
            checked += 1
    assert checked >= 10


def test_service_accounts_that_get_rights_are_named(assembly: Assembly) -> None:
    """Each association outside the environments is in the list of step 7."""
    step = re.sub(
        r"argocd/argocd-\{([^}]+)\}",
        lambda m: " ".join(f"argocd/argocd-{n}" for n in m[1].split(",")),
        README,
    )
    for association in assembly.all("AWS::EKS::PodIdentityAssociation"):
        if association["ServiceAccount"] != "board-backend":
            assert f"{association['Namespace']}/{association['ServiceAccount']}" in step


def test_outputs_that_the_guide_reads_are_there(assembly: Assembly) -> None:
    """NAT addresses and the backend's group."""
    outputs = {name: set(template.get("Outputs", {})) for name, template in assembly.templates.items()}
    assert len([o for o in outputs["slipway-prod-network"] if o.startswith("NatAddress")]) == 3
    for environment in ("dev", "staging", "prod"):
        assert "BackendGroupId" in outputs[f"slipway-{environment}-data"]


def test_what_is_said_to_be_unshown_is() -> None:
    """What the last section names is what moto lacks; and the files of tests exist."""
    for word in ("EKS", "RotationSchedule", "CertificateManager", "Budgets", "APS"):
        assert any(word in kind for kind in NOT_MADE)
    assert len(CLAIMS) > 50
    for file in re.findall(r"`((?:tests/aws/)?\w+\.py)`", README):
        assert (paths.CHECKOUT / "tests/aws" / file.removeprefix("tests/aws/")).is_file(), file
