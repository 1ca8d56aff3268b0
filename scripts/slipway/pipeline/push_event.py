"""What a webhook asks for: a build of a commit or of a pull request, or nothing, with the reason. No I/O."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from slipway.errors import InvalidInput
from slipway.pipeline.commit import is_bump, touches
from slipway.pipeline.config import Guard

_NOTHING = "0" * 40


@dataclass(frozen=True)
class Wanted:
    """A commit to build; `since` is where the branch was before, None if it is new, `change` its pull request."""

    commit: str
    since: str | None
    message: str
    change: int | None = None


@dataclass(frozen=True)
class Ignored:
    """Why a push builds nothing."""

    reason: str


def genuine(body: bytes, signature: str | None, secret: str) -> bool:
    """Whether `signature` (hexadecimal) is the HMAC-SHA256 of the body; compared in constant time."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), (signature or "").encode())


def decide(payload: dict, repository: str, branch: str, guard: Guard) -> Wanted | Ignored:
    """What to do about a push; builds when in doubt, for instance when the forge lists not all commits."""
    try:
        name, ref = payload["repository"]["full_name"], payload["ref"]
        before, after = payload["before"], payload["after"]
        commits = payload.get("commits") or []
        total = payload.get("total_commits", len(commits))
        messages = [commit["message"] for commit in commits]
    except (KeyError, TypeError, AttributeError) as exc:
        raise InvalidInput(f"not a push event: {exc} is missing") from exc
    if name != repository:
        return Ignored(f"{name} is not {repository}")
    if ref != f"refs/heads/{branch}":
        return Ignored(f"{ref} is not branch {branch}")
    if after == _NOTHING:
        return Ignored("the branch was deleted")
    complete = bool(commits) and total == len(commits)
    if complete and all(is_bump(message, guard.bump_trailer) for message in messages):
        return Ignored("only bumps")
    files = [_files(commit) for commit in commits]
    if complete and all(files) and not any(touches(list(f or []), guard.paths) for f in files):
        return Ignored("no source path was touched")
    head = payload.get("head_commit") or (commits[0] if commits else {})
    message = (head.get("message") or "").splitlines()
    return Wanted(after, None if before == _NOTHING else before, message[0] if message else "")


_ACTIONS = ("opened", "reopened", "synchronized", "synchronize", "edited", "label_updated", "label_cleared", "labeled", "unlabeled")  # fmt: skip
"""What may change the gate's answer, as Gitea and GitHub call it."""


def decide_pull_request(payload: dict, repository: str, branch: str) -> Wanted | Ignored:
    """What to do about a pull request's event: it is judged again after every push, label and change of its base."""
    try:
        name, action = payload["repository"]["full_name"], payload["action"]
        number, title = payload["number"], payload["pull_request"]["title"]
        head, base = payload["pull_request"]["head"]["sha"], payload["pull_request"]["base"]["ref"]
        state = payload["pull_request"]["state"]
    except (KeyError, TypeError) as exc:
        raise InvalidInput(f"not a pull request event: {exc} is missing") from exc
    if name != repository:
        return Ignored(f"{name} is not {repository}")
    if base != branch:
        return Ignored(f"{base} is not branch {branch}")
    if action not in _ACTIONS or state != "open":
        return Ignored(f"{action} of a pull request that is {state}")
    return Wanted(head, None, f"#{number}: {title}", int(number))


def _files(commit: dict) -> list[str] | None:
    """The files a commit touched, None if the forge does not say."""
    lists = [commit.get(key) for key in ("added", "removed", "modified")]
    return None if all(part is None for part in lists) else [f for part in lists for f in part or []]
