"""The image registry (CNCF distribution) that stands in for ECR: no image is deleted, and no tag moves."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import toolchain
from slipway.errors import Unreachable
from slipway.platform import config
from slipway.platform.supervisor import Program
from slipway.registry.ecr_lifecycle import KEEP

MOVABLE = (KEEP, "sha256-")
"""How tags begin that name a digest themselves: what retention protects with, and where cosign keeps signatures."""


def prepare(state: Path) -> None:
    """Write the registry's configuration (YAML, of which JSON is a part)."""
    folder = state / "registry"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    where = f"{config.HOST}:{config.REGISTRY_PORT}"
    (folder / "config.yaml").write_text(json.dumps(settings(folder / "data", where), indent=2))


def settings(data: Path, where: str) -> dict:
    """The configuration of a registry that keeps its content in `data` and listens at `where`."""
    immutable = {"name": "immutable", "options": {"movable": list(MOVABLE)}}
    return {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "middleware": {"repository": [immutable]},
        "http": {"addr": where},
    }


def program(state: Path) -> Program:
    """What the supervisor runs."""
    command = [toolchain.tool("immutable-registry"), "serve", state / "registry" / "config.yaml"]
    return Program("registry", command)


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True
)
def wait() -> None:
    """Wait until the registry answers."""
    try:
        httpx.get(f"{config.REGISTRY_URL}/v2/", timeout=5).raise_for_status()
    except httpx.HTTPError as exc:
        raise Unreachable("the registry does not answer", fix="see supervisor/registry.log") from exc
