"""Who may reach a remote repository: addresses, credentials, and what Git says when it is turned away."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from slipway.errors import InvalidInput, RemoteRefused, SlipwayError, Unreachable
from slipway.proc import redact

_AUTH = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
    r"|error: 40[13]\b|http 40[13]\b|access denied|unauthori[sz]ed|not authori[sz]ed",
    re.IGNORECASE,
)
_ABSENT = re.compile(
    r"does not appear to be a git repository|repository .*not (be )?found|does not exist", re.IGNORECASE
)
_CERTIFICATE = re.compile(
    r"certificate (problem|verif)|unable to get local issuer certificate", re.IGNORECASE
)
_LOCKED = re.compile(
    r"cannot lock ref|failed to (update|lock) ref|incorrect old value|unable to create .*\.lock|fetch first"
    r"|non-fast-forward|stale info|reference already exists|failed to report status|internal error|timed? ?out",
    re.IGNORECASE,
)
"""Only asked about when the tip did not move."""

_ASKPASS = """#!/bin/sh
case "$1" in
*"//$SLIPWAY_ASKPASS_HOST'"* | *"@$SLIPWAY_ASKPASS_HOST'"*) ;;
*) exit 1 ;;
esac
case "$1" in
Username*) printf '%s\\n' "$SLIPWAY_GIT_USERNAME" ;;
*) printf '%s\\n' "$SLIPWAY_GIT_PASSWORD" ;;
esac
"""
"""Answers only for the host of the remote, so that a redirect elsewhere gets nothing."""


def check_url(url: str) -> str:
    """`url` itself; raises `InvalidInput` when it carries a credential or is no address."""
    host = re.match(r"[a-z+]+://([^/]*)@", url, re.IGNORECASE)
    if host and (url.lower().startswith("http") or ":" in host[1]):
        raise InvalidInput(
            f"the address {redact(url)} carries a credential",
            fix="leave it out and set SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD, or use a credential helper",
        )
    if not url or url.startswith("-") or any(c in url for c in "\n\0"):
        raise InvalidInput(f"{url!r} is not a repository's address", fix="give an https, ssh or file URL")
    return url


def environment_credentials() -> tuple[str, str] | None:
    """User and password from SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD; None when neither is set."""
    username, password = (os.environ.get(f"SLIPWAY_GIT_{name}") for name in ("USERNAME", "PASSWORD"))
    if not username and not password:
        return None
    if not (username and password):
        missing = "SLIPWAY_GIT_PASSWORD" if username else "SLIPWAY_GIT_USERNAME"
        raise InvalidInput(f"{missing} is not set, but its counterpart is", fix=f"set {missing} as well")
    return username, password


@contextmanager
def command_env(credentials: tuple[str, str] | None, url: str) -> Iterator[dict[str, str]]:
    """The environment of Git commands that talk to `url`: plain English, no prompts, no hooks.

    The credentials stay in the environment; a temporary script hands them to Git, for this URL's host only.
    Without any, the user's own helpers and keys are used. Raises `InvalidInput` for a URL that carries some.
    """
    settings = {"core.hooksPath": os.devnull, "credential.useHttpPath": "false"}
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_TRACE_REDACT": "1", "LANGUAGE": "", "LC_ALL": "C"}
    with tempfile.TemporaryDirectory(prefix="slipway-askpass-") as folder:
        host = urlsplit(check_url(url)).netloc.rpartition("@")[2]
        if credentials:
            script = Path(folder) / "askpass"
            script.write_text(_ASKPASS)
            script.chmod(0o700)
            env |= {"GIT_ASKPASS": str(script), "SLIPWAY_ASKPASS_HOST": host}
            env |= dict(zip(("SLIPWAY_GIT_USERNAME", "SLIPWAY_GIT_PASSWORD"), credentials, strict=True))
            settings["credential.helper"] = ""
        first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        env["GIT_CONFIG_COUNT"] = str(first + len(settings))
        for number, (key, value) in enumerate(settings.items(), first):
            env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        yield env


def remote_text(stderr: str) -> str:
    """What the remote itself said."""
    lines = (
        line.removeprefix("remote:").strip() for line in stderr.splitlines() if line.startswith("remote:")
    )
    return "\n".join(line for line in lines if line)


def brackets(reason: str) -> str:
    """The part of a reason that Git puts in brackets."""
    found = re.search(r"\(.*\)", reason)
    return found[0] if found else ""


def is_denied(stderr: str) -> bool:
    """Whether Git says that the credentials, or their lack, are the reason."""
    return _AUTH.search(stderr) is not None


def is_passing(reason: str) -> bool:
    """Whether a ref was not updated for a reason that passes by itself, such as another writer's lock."""
    return _LOCKED.search(reason) is not None


def denied(shown: str, stderr: str, *, given: bool) -> RemoteRefused:
    """The error for missing or wrong credentials; it names the variables that hold them."""
    if given:
        what = "does not accept SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD"
        fix = "check the two, and the user's rights"
    else:
        what = "wants credentials"
        fix = "set SLIPWAY_GIT_USERNAME and SLIPWAY_GIT_PASSWORD, or a Git credential helper or SSH key"
    return RemoteRefused(f"{shown} {what}: {redact(_telling(stderr, _AUTH))}", fix=fix)


def explain(shown: str, branch: str, stderr: str, *, given: bool) -> SlipwayError | None:
    """The error that a failed fetch means for good; None when it may pass."""
    if "couldn't find remote ref" in stderr:
        return InvalidInput(f"{shown} has no branch {branch}", fix="give the right --branch")
    if "Host key verification failed" in stderr:
        fix = "check the host's key, then add it to known_hosts: `ssh-keyscan HOST`"
        return RemoteRefused(
            f"{shown} is a host that SSH does not know: Host key verification failed.", fix=fix
        )
    if _CERTIFICATE.search(stderr):
        fix = "for a private authority set GIT_SSL_CAINFO, or http.sslCAInfo, to its certificate"
        return Unreachable(
            f"{shown} has a certificate that is not trusted here: {redact(_telling(stderr, _CERTIFICATE))}",
            fix=fix,
        )
    if is_denied(stderr):
        return denied(shown, stderr, given=given)
    if _ABSENT.search(stderr):
        what = f"{shown} is not there, or not for this user: {redact(remote_text(stderr) or _telling(stderr, _ABSENT))}"
        return RemoteRefused(what, fix="check the address and the rights")
    return None


def _telling(stderr: str, pattern: re.Pattern) -> str:
    """The line that a pattern is in, else the last."""
    lines = stderr.strip().splitlines() or ["no answer"]
    return next((line for line in lines if pattern.search(line)), lines[-1])
