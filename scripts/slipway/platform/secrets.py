"""Passwords and tokens of the local platform: made once, kept in files that only root reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class Secrets:
    """The files in `state/secrets`, one secret each."""

    def __init__(self, state: Path):
        self.folder = state / "secrets"

    def path(self, name: str) -> Path:
        """Where the secret lies, whether it exists yet or not."""
        return self.folder / name

    def get(self, name: str) -> str:
        """The secret, made if it does not exist."""
        if not self.path(name).is_file():
            self.put(name, secrets.token_urlsafe(24))
        return self.path(name).read_text().strip()

    def put(self, name: str, value: str) -> None:
        """Write a secret that something else made; never readable by others, not even for a moment."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self.path(name + ".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value + "\n")
        partial.rename(self.path(name))

    def exists(self, name: str) -> bool:
        """Whether the secret was made."""
        return self.path(name).is_file()
