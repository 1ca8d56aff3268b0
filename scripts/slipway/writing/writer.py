"""Who writes: the name by which one automation is told from another. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

from slipway.errors import InvalidInput
from slipway.proc import redact

_KNOWN = (
    ("JOB_URL",),  # Jenkins, which counts builds per job
    ("JENKINS_URL", "JOB_NAME"),
    ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY"),
    ("CI_PROJECT_URL",),  # GitLab
)


def writer_name(given: str | None, env: Mapping[str, str]) -> str | None:
    """The name that was given, else the address of the CI job that this runs in, else None: a person.

    Raises `InvalidInput` for a name that a commit's trailer cannot carry.
    """
    if given is not None:
        if not re.fullmatch(r"\S{1,200}", given):
            raise InvalidInput(
                f"{given!r} is no name of a writer", fix="give one word, such as a job's address"
            )
        return redact(given)
    for names in _KNOWN:
        if all(env.get(name) for name in names):
            address = "/".join(env[name].strip().rstrip("/") for name in names)
            return re.sub(r"\s", "%20", redact(address))[:200]
    return None
