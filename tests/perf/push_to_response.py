"""How long from a push to the deploy repository to the first response of the new version.

Measured with Argo CD's webhook and, in the same run, with the webhook off, where Argo CD polls. Each round writes
the other of two images that the registry holds into dev's overlay, as `slipway bump` does, and polls /version.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from slipway import paths
from slipway.errors import Unreachable
from slipway.kustomization.edit import set_images
from slipway.kustomization.images import read_images
from slipway.platform import config
from slipway.registry.references import NewRef

from tests.platform.conftest import Platform, eventually

ROUNDS = 5
LONGEST = 600.0
OVERLAY = "overlays/dev/board/kustomization.yaml"
BACKEND = f"{config.ECR_HOST}/slipway/board-backend"


def measure(rounds: int = ROUNDS) -> dict[str, object]:
    """Seconds of each round, with and without the webhook, and the ratio of the medians."""
    platform = Platform(paths.state())
    images = two_versions(platform)
    with_webhook = [one_round(platform, images) for _ in range(rounds)]
    with webhook_off(platform):
        polling = [one_round(platform, images) for _ in range(rounds)]
    median, median_polling = statistics.median(with_webhook), statistics.median(polling)
    return {
        "what": "deploy push to first response of the new version",
        "webhook_seconds": with_webhook,
        "polling_seconds": polling,
        "median_webhook": median,
        "median_polling": median_polling,
        "ratio": round(median_polling / median, 1),
    }


def two_versions(platform: Platform) -> list[NewRef]:
    """The image that dev runs, and another one that the registry holds."""
    running = next(e for e in read_images(platform.read("deploy", OVERLAY)[0].encode()) if e.name == BACKEND)
    url = f"{config.REGISTRY_URL}/v2/slipway/board-backend"
    tags = [
        t
        for t in httpx.get(f"{url}/tags/list").json()["tags"]
        if not t.startswith("sha256-") and t != running.tag
    ]
    if not tags:
        raise Unreachable(
            "the registry holds one version only", fix="push a commit to the source repository first"
        )
    accept = (
        "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    )
    head = httpx.head(f"{url}/manifests/{max(tags)}", headers={"Accept": accept}).raise_for_status()
    other = NewRef(tag=max(tags), digest=head.headers["Docker-Content-Digest"])
    return [NewRef(tag=running.tag, digest=running.digest), other]


def one_round(platform: Platform, images: list[NewRef]) -> float:
    """Write the image that Git does not name now, and wait for its first response; seconds."""
    text = platform.read("deploy", OVERLAY)[0].encode()
    named = next(entry.digest for entry in read_images(text) if entry.name == BACKEND)
    target = next(image for image in images if image.digest != named)
    eventually(lambda: answered(platform, 50) == {named}, LONGEST, "only what Git names answers")
    platform.settled("dev-board", seconds=LONGEST)
    edited = set_images(text, {BACKEND: target}).data.decode()
    platform.write(
        "slipway-bot", "deploy", OVERLAY, edited, f"dev: board-backend {target.tag}"
    ).raise_for_status()
    started = time.monotonic()
    while time.monotonic() - started < LONGEST:
        if answered(platform, 1) == {target.digest}:
            return round(time.monotonic() - started, 2)
        time.sleep(0.05)
    raise Unreachable(f"{target.tag} did not come within {LONGEST:.0f} s")


def answered(platform: Platform, times: int) -> set[str]:
    """The digests that dev's load balancer answers with, asked so many times."""
    with httpx.Client(timeout=5) as client:
        return {client.get(f"{platform.urls['dev']}/version").json()["digest"] for _ in range(times)}


@contextmanager
def webhook_off(platform: Platform) -> Iterator[None]:
    """Argo CD hears nothing of pushes inside the block."""
    path = f"/repos/{config.ORGANISATION}/deploy/hooks"
    headers = {"Authorization": f"token {platform.secrets.get('forge-token')}"}
    with httpx.Client(base_url=f"{config.FORGE_URL}/api/v1", headers=headers) as api:
        hooks = [hook["id"] for hook in api.get(path).json()]
        for hook in hooks:
            api.patch(f"{path}/{hook}", json={"active": False}).raise_for_status()
        try:
            yield
        finally:
            for hook in hooks:
                api.patch(f"{path}/{hook}", json={"active": True}).raise_for_status()
