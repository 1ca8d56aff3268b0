"""What the stages promise to each other and to whoever pays."""

from __future__ import annotations

from aws_claim import claim
from aws_claims_cluster import launches


def _imports(value):
    if isinstance(value, dict):
        if "Fn::ImportValue" in value:
            yield value["Fn::ImportValue"]
        value = list(value.values())
    for item in value if isinstance(value, list) else []:
        yield from _imports(item)


@claim
def environments_share_no_data(assembly):
    for name, template in assembly.templates.items():
        for imported in _imports(template):
            if imported.split(":")[0].endswith("-data"):
                yield f"{name} reads {imported}"


@claim
def accounts_share_no_resource(assembly):
    for name, template in assembly.templates.items():
        for imported in _imports(template):
            if assembly.account(imported.split(":")[0]) != assembly.account(name):
                yield f"{name} reads {imported}"


@claim
def somebody_hears_of_costs(assembly):
    accounts = {stack["account"] for stack in assembly.stacks}
    for budget in assembly.all("AWS::Budgets::Budget"):
        if any(n["Subscribers"] for n in budget.get("NotificationsWithSubscribers", [])):
            accounts.discard(assembly.account(budget.stack))
    yield from accounts


COSTLY = ("DBInstance", "NatGateway", "VPCEndpoint", "Cluster", "Repository", "Secret", "Key")


@claim
def what_costs_says_whose_it_is(assembly):
    for resource in assembly.all():
        tags = resource.tags
        if resource.kind.rpartition("::")[2] in COSTLY and not {"project", "stage", "owner"} <= set(tags):
            yield resource
    for template, data in launches(assembly):
        for specification in data["TagSpecifications"]:
            if not {"project", "stage"} <= {tag["Key"] for tag in specification["Tags"]}:
                yield template


@claim
def certificates_are_proven_by_dns(assembly):
    for certificate in assembly.all("AWS::CertificateManager::Certificate"):
        zones = [o.get("HostedZoneId") for o in certificate.get("DomainValidationOptions", [])]
        if certificate.get("ValidationMethod") != "DNS" or not all(zones) or not zones:
            yield certificate
