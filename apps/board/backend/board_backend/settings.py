"""What the environment says, read once at the start."""

from __future__ import annotations

import tempfile
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`BOARD_*` variables; an empty one counts as unset."""

    model_config = SettingsConfigDict(env_prefix="BOARD_", env_ignore_empty=True, frozen=True)

    database_url: SecretStr = Field(default=SecretStr("sqlite:///board.sqlite3"))
    """SQLAlchemy URL; the default is a file in the working directory, which a container refuses to write."""

    events_token: SecretStr | None = None
    """What `POST /api/events` must present; without it every event is refused."""

    read_token: SecretStr | None = None
    sign_on_header: str | None = None
    """The header in which a single sign-on proxy names who is logged in."""

    sign_on_from: str = ""
    """The proxy's networks, separated by commas; from anywhere else the header is not believed."""

    open: bool = False
    """Whether anybody may read."""

    reads_per_minute: int = Field(default=6_000, ge=1)
    events_per_minute: int = Field(default=60_000, ge=1)

    deploy_repo: str | None = None
    source_repo: str | None = None
    events_repo: str | None = None
    git_branch: str = "main"
    git_username: str | None = None
    git_password: SecretStr | None = None
    git_url: str | None = None
    """Where people see the repositories, if not where they are fetched from."""

    argocd_server: str | None = None
    argocd_token: SecretStr | None = None
    argocd_url: str | None = None
    """Where people see Argo CD."""

    poll_seconds: float = Field(default=10, gt=0)
    data_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()) / "board")
    """Where the copies of the repositories are kept; they are made again when it is empty."""

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

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        for one, other in (
            ("sign_on_header", "sign_on_from"),
            ("git_username", "git_password"),
        ):
            if bool(getattr(self, one)) != bool(getattr(self, other)):
                raise ValueError(
                    f"BOARD_{one.upper()} and BOARD_{other.upper()} are set together or not at all"
                )
        self.sign_on_networks  # noqa: B018  (a wrong network is told at the start)
        return self

    @cached_property
    def sign_on_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The parsed networks of `sign_on_from`."""
        return tuple(ip_network(part.strip()) for part in self.sign_on_from.split(",") if part.strip())

    @property
    def git_credentials(self) -> tuple[str, str] | None:
        """User and password, None when the repositories are read without."""
        if self.git_username and self.git_password:
            return self.git_username, self.git_password.get_secret_value()
        return None

    @property
    def reads_argocd(self) -> bool:
        """Whether Argo CD can be asked."""
        return bool(self.argocd_server and self.argocd_token)
