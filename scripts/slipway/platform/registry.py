"""The image registry (CNCF distribution) that stands in for ECR."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway import toolchain
from slipway.errors import Unreachable
from slipway.platform import config
from slipway.platform.supervisor import Program


def prepare(state: Path) -> None:
    """Write the registry's configuration (YAML, of which JSON is a part)."""
    folder = state / "registry"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    settings = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"{config.HOST}:{config.REGISTRY_PORT}"},
    }
    (folder / "config.yaml").write_text(json.dumps(settings, indent=2))


def program(state: Path) -> Program:
    """What the supervisor runs."""
    return Program("registry", [toolchain.tool("registry"), "serve", state / "registry" / "config.yaml"])


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_delay(30), wait=wait_fixed(0.2), reraise=True
)
def wait() -> None:
    """Wait until the registry answers."""
    try:
        httpx.get(f"{config.REGISTRY_URL}/v2/", timeout=5).raise_for_status()
    except httpx.HTTPError as exc:
        raise Unreachable("the registry does not answer", fix="see supervisor/registry.log") from exc
