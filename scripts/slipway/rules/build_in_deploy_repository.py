"""Trap B10: a pipeline of the deploy repository that builds images, or bumps."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipway.gate.findings import Finding
from slipway.gate.overlay import Repository
from slipway.rules import Rule

_BUILDS = re.compile(
    r"^(?!\s*(?://|\*|#)).*?(slipway (?:ci (?:build|push)|bump)|(?:docker|buildah|podman) (?:build|push)|/kaniko/executor)",
    re.MULTILINE,
)


def check(repository: Repository) -> Iterator[Finding]:
    """Every build step in a Jenkinsfile, unless the sources of the images lie in the same repository."""
    paths = repository.paths
    if any(path.rpartition("/")[2] == "Dockerfile" for path in paths):
        return
    for path in paths:
        if path.rpartition("/")[2].startswith("Jenkinsfile"):
            text = (repository.read(path) or b"").decode("utf-8", "replace")
            for found in _BUILDS.finditer(text):
                message = f"`{found[1]}` runs on every commit of the deploy repository"
                yield RULE.at(path, text.count("\n", 0, found.start(1)) + 1, message)


RULE = Rule(
    id="build-in-deploy-repository",
    why="A bump is a commit here: a pipeline that builds or bumps on commits here starts itself again, for ever.",
    fix="build in the source repository; here run `slipway check` and `slipway gate` only",
    link="https://argo-cd.readthedocs.io/en/stable/user-guide/best_practices/#separating-config-vs-source-code-repositories",
    check=check,
    scope="repository",
)
