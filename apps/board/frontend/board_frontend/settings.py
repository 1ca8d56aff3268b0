"""What the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


class SettingsError(Exception):
    """A variable holds what it cannot hold."""


@dataclass(frozen=True)
class Settings:
    """`BOARD_*` variables; an empty one counts as unset."""

    api_url: str = "http://127.0.0.1:8000"
    refresh_seconds: float = 2.0
    """How often an open page asks for news."""
    timeout_seconds: float = 3.0
    """How long it waits for an answer."""
    read_token: str = field(default="", repr=False)
    """What the backend asks of those who read; empty when it asks for nothing."""
    environments: tuple[str, ...] = ()
    """Order of the columns where the backend knows none; environments not named here follow by name."""
    version: str = "dev"
    commit: str = ""
    image: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """Raises `SettingsError` naming the variable that is wrong."""

        def seconds(name: str, default: float) -> float:
            value = env.get(name) or default
            try:
                number = float(value)
            except ValueError as exc:
                raise SettingsError(f"{name} is not a number of seconds: {value!r}") from exc
            if not 0.1 <= number <= 3600:
                raise SettingsError(f"{name} is not between 0.1 and 3600 seconds: {value!r}")
            return number

        api_url = (env.get("BOARD_API_URL") or cls.api_url).rstrip("/")
        if not api_url.startswith(("http://", "https://")):
            raise SettingsError("BOARD_API_URL does not start with http:// or https://")
        token = env.get("BOARD_READ_TOKEN", "").strip()
        if not (token.isascii() and token.isprintable()):
            raise SettingsError("BOARD_READ_TOKEN holds characters that no HTTP header can carry")
        names = (name.strip() for name in env.get("BOARD_ENVIRONMENTS", "").split(","))
        return cls(
            api_url=api_url,
            refresh_seconds=seconds("BOARD_REFRESH_SECONDS", cls.refresh_seconds),
            timeout_seconds=seconds("BOARD_TIMEOUT_SECONDS", cls.timeout_seconds),
            read_token=token,
            environments=tuple(name for name in names if name),
            version=env.get("BOARD_VERSION") or cls.version,
            commit=env.get("BOARD_COMMIT", ""),
            image=env.get("BOARD_IMAGE", ""),
        )
