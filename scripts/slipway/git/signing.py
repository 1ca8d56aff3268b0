"""Commits are signed with an OpenPGP key where the environment names one, so that Argo CD can tell who wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from pysequoia import PySigner

KEY = "SLIPWAY_COMMIT_KEY"
"""The variable with the file of the secret key, binary or armored."""
UNLOCK = "SLIPWAY_COMMIT_KEY_PASSWORD"
"""The variable with its password, if it has one."""


def signed(commit: bytes, env: Mapping[str, str]) -> bytes:
    """A commit object with its signature in the header, as Git writes it; as it is where `env` names no key.

    Raises `InvalidInput` for a key that cannot sign: a commit that should be signed is never written without.
    """
    file = env.get(KEY)
    if not file:
        return commit
    from pysequoia import SignatureMode, sign

    signature = sign(_signer(Path(file), env.get(UNLOCK)), commit, mode=SignatureMode.DETACHED)
    head, _, message = commit.partition(b"\n\n")
    header = b"gpgsig " + signature.strip().replace(b"\n", b"\n ")
    return b"\n".join([head, header, b"", message])


def _signer(file: Path, password: str | None) -> PySigner:
    from pysequoia import Tsk

    try:
        return Tsk.from_bytes(file.read_bytes()).signer(password)
    except OSError as exc:
        raise InvalidInput(f"{KEY}: {file}: {exc.strerror}", fix="name the file of the secret key") from exc
    except RuntimeError as exc:  # with a stack of its own behind the first line, on some machines
        raise InvalidInput(
            f"{KEY}: {file} cannot sign: {str(exc).partition(chr(10))[0]}",
            fix=f"export it by `gpg --export-secret-keys KEY`; a password goes into {UNLOCK}",
        ) from exc
