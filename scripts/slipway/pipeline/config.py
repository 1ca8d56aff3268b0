"""What the pipeline builds and how strict it is: `ci/pipeline.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import InvalidInput

FILE = Path("ci/pipeline.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Image(_Strict):
    """One image: its Dockerfile, what its dependency layers are made from, its repository in the registry."""

    dockerfile: Path
    dependencies: list[Path] = []
    repository: str = Field(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")


class Reuse(_Strict):
    """For how long passed tests stand for the next ones on the same files; `unread` are those that no test reads."""

    unread: list[str] = []
    days: int = Field(default=7, ge=1)


class Test(_Strict):
    """The command that tests the application, run by this Python; without `reuse` at every build."""

    arguments: list[str] = Field(min_length=1)
    reuse: Reuse | None = None


class Scan(_Strict):
    """What fails the scan; `unscored` and `unfixed` say what becomes of advisories without score or fix."""

    severity: Literal["low", "medium", "high", "critical"] = "high"
    unscored: Literal["fail", "report"] = "fail"
    unfixed: Literal["fail", "report"] = "report"
    max_age_days: int = Field(default=7, ge=1)
    refresh_hours: float = Field(default=12, ge=0)
    sample: Literal["allow", "refuse"] = "refuse"
    feed: str = Field(pattern=r"^https?://")
    ecosystems: list[str] = Field(min_length=1)


class Guard(_Strict):
    """What starts a build: a change below `paths`, unless every commit carries the bump's trailer."""

    paths: list[str] = Field(min_length=1)
    bump_trailer: str = "Source-Commit"


class Config(_Strict):
    """The whole file."""

    registry: str = Field(pattern=r"^[a-z0-9.-]+(:\d+)?$")
    source: str
    images: dict[str, Image] = Field(min_length=1)
    test: Test
    scan: Scan
    guard: Guard

    def name(self, image: str) -> str:
        """The image's name in Git, without tag: `registry/repository`."""
        return f"{self.registry}/{self.images[image].repository}"

    def select(self, names: tuple[str, ...]) -> list[str]:
        """The images asked for, all of them by default."""
        unknown = sorted(set(names) - set(self.images))
        if unknown:
            raise InvalidInput(f"no image {', '.join(unknown)}", fix=f"one of {', '.join(self.images)}")
        return list(names or self.images)


def load(file: Path = FILE) -> Config:
    """Read and check the file; the first mistake is reported with its place in the document."""
    try:
        return Config.model_validate(yaml.safe_load(file.read_text()))
    except FileNotFoundError as exc:
        raise InvalidInput(
            "there is no such file", path=file, fix="run the command in the root of the checkout"
        ) from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise InvalidInput(f"not YAML: {getattr(exc, 'problem', exc)}", path=file, line=line) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}", path=file) from exc
