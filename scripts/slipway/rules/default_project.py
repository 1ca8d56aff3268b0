"""An Application in Argo CD's project `default`, or that project left open."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule
from slipway.rules._argocd import applications, spec


def check(repository: Repository) -> Iterator[Finding]:
    """Every Application that names the project or none, and the project when it allows anything."""
    for subject, application in applications(repository):
        if spec(application).get("project") in (None, "", "default"):
            yield RULE.on(subject, "it belongs to the project `default`")
    for project in repository.of_kind("AppProject"):
        if project.name == "default" and (
            project.spec.get("sourceRepos") or project.spec.get("destinations")
        ):
            yield RULE.on(
                project,
                "the project `default` allows something",
                "leave its sourceRepos and destinations empty",
            )


RULE = Rule(
    id="default-project",
    why="As Argo CD makes it, the project `default` may deploy anything from anywhere to everywhere.",
    fix="name the environment's own project",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/projects/#the-default-project",
    check=check,
    scope="repository",
)
