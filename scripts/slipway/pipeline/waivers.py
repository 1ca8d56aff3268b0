"""Findings that are accepted for a while: `ci/waivers.yaml`, each with a reason and a day on which it ends."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import InvalidInput

FILE = Path("ci/waivers.yaml")


class Waiver(BaseModel):
    """One accepted advisory (id or alias), in one package or in all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=5)
    package: str | None = None
    reason: str = Field(min_length=10)
    expires: date

    def covers(self, ids: set[str], package: str, today: date) -> bool:
        """Whether it still holds and is about this finding."""
        return self.id in ids and self.package in (None, package) and today <= self.expires


def load(file: Path = FILE) -> list[Waiver]:
    """Read the file; none means none."""
    if not file.exists():
        return []
    try:
        entries = (yaml.safe_load(file.read_text()) or {}).get("waivers") or []
        return [Waiver.model_validate(entry) for entry in entries]
    except yaml.YAMLError as exc:
        raise InvalidInput("not YAML", path=file) from exc
    except (AttributeError, TypeError) as exc:
        raise InvalidInput("waivers: must be a list", path=file) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidInput(
            f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}",
            path=file,
            fix="a waiver has id, reason (10 letters at least), expires (a date) and, if wanted, package",
        ) from exc
