"""What an application may be called."""

from __future__ import annotations

import re

from slipway.errors import InvalidInput

LONGEST = 40
_LABEL = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_OWNER = re.compile(r"@[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?|[^\s@#]+@[^\s@#]+\.[^\s@#]+")

RESERVED = {
    **dict.fromkeys(
        ("api", "docs", "healthz", "metrics", "readyz", "version"), "a path that every application has"
    ),
    **dict.fromkeys(
        ("app", "auth", "component", "media", "oauth2callback", "static", "vendor"),
        "a path of Streamlit, which is served at /",
    ),
    **dict.fromkeys(
        ("common", "components", "namespace", "transformers"), "a folder of the deploy repository"
    ),
}
"""Names that are no application's, and what they are."""


def check_name(name: str) -> str:
    """`name` itself; raises `InvalidInput` when it cannot be a folder, a Service, an image and a path at once."""
    fix = f"use at most {LONGEST} of a-z 0-9 -, with a letter first and no hyphen last, such as hello"
    if not _LABEL.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name for an application", fix=fix)
    if len(name) > LONGEST:
        raise InvalidInput(f"{name!r} is {len(name)} characters long", fix=fix)
    if name in RESERVED:
        raise InvalidInput(f"{name} is reserved: it is {RESERVED[name]}", fix="choose another name")
    return name


def check_owner(owner: str) -> str:
    """`owner` itself; raises `InvalidInput` when CODEOWNERS could not name it."""
    if not _OWNER.fullmatch(owner):
        raise InvalidInput(f"{owner!r} is no owner", fix="write @user, @organisation/team or a mail address")
    return owner


def module_of(name: str) -> str:
    """The Python package of an application; the suffix keeps it apart from every library of the same name."""
    return f"{name.replace('-', '_')}_app"
