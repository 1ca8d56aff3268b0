"""An ApplicationSet whose template goes on when a value is missing."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._facts import listed


def check(repository: Repository) -> Iterator[Finding]:
    """Every ApplicationSet that does not fail then."""
    for subject in repository.of_kind("ApplicationSet"):
        if subject.spec.get("goTemplate") is not True:
            yield RULE.on(subject, "its template is filled in without checks")
        elif "missingkey=error" not in listed(subject.spec.get("goTemplateOptions")):
            yield RULE.on(subject, "a missing value becomes the text `<no value>`")


RULE = Rule(
    id="applicationset-template",
    why="An Application named or placed by a missing value deploys to where nobody looks.",
    fix="set goTemplate: true and goTemplateOptions: [missingkey=error]",
    link="https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/GoTemplate/",
    check=check,
    scope="repository",
)
