"""What the environment says, read once at the start."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`BOARD_*` variables; an empty one counts as unset."""

    model_config = SettingsConfigDict(env_prefix="BOARD_", env_ignore_empty=True, frozen=True)

    database_url: SecretStr = Field(default=SecretStr("sqlite:///board.sqlite3"))
    """SQLAlchemy URL; the default is a file in the working directory, which a container refuses to write."""

    events_token: SecretStr | None = None
    """What `POST /api/events` must present; without it every event is refused."""

    environment: str | None = None
    image: str | None = None
    """Full reference of the running container's image, with its digest."""

    commit: str | None = None
    version: str = "dev"
    log_level: str = "INFO"

    @field_validator("log_level")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()
