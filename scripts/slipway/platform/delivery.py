"""The first delivery: the pipeline's bump to dev, then the same digests to the other environments by review."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from slipway.errors import PipelineFailed, Unreachable
from slipway.kustomization.edit import set_images
from slipway.kustomization.images import Entry, read_images
from slipway.platform import config, pipeline
from slipway.platform.forge import PUBLISHER, Forge
from slipway.platform.secrets import Secrets
from slipway.registry.references import NewRef

UNRELEASED = "unreleased"
"""The tag that an overlay carries until something was delivered to it."""

Advance = Callable[[str], None]
_PATIENCE = 10.0
"""Seconds after which a push is announced again: its webhook may have met a pipeline that was down."""


def overlay(environment: str) -> str:
    """The file whose images are what runs in the environment."""
    return f"overlays/{environment}/{config.APPLICATION}/kustomization.yaml"


def hand_over_key(forge: Forge, secrets: Secrets) -> bool:
    """Put the platform's public signing key where every environment's policy expects it; True when it was not there."""
    key = secrets.path("cosign.pub").read_bytes()
    files = [f"overlays/{environment}/cosign.pub" for environment in config.ENVIRONMENTS]
    with forge.client() as api:
        missing = [file for file in files if api.get(f"{_repository()}/contents/{file}").status_code == 404]
    if missing:
        content = base64.b64encode(key).decode()
        body = {
            "branch": "main",
            "message": "Verify images with the platform's own signing key",
            "files": [{"operation": "create", "path": file, "content": content} for file in missing],
        }
        login = (PUBLISHER, secrets.get(f"forge-{PUBLISHER}"))
        with httpx.Client(base_url=f"{forge.url}/api/v1", auth=login, timeout=30) as publisher:
            _done(publisher.post(f"{_repository()}/contents", json=body))
    return bool(missing)


_FAILED = ("failed", "aborted")


def wait_for_build(forge: Forge, commit: str, advance: Advance, seconds: float = 900) -> None:
    """Wait until the pipeline has built the source commit, which an earlier failure does not keep it from.

    Raises `PipelineFailed` with what the failed stage printed.
    """
    deadline, asked = time.monotonic() + seconds, time.monotonic()
    past = pipeline.build_of(commit)
    failed = past["number"] if past and past["status"] in _FAILED else 0
    if failed:
        forge.redeliver("source")
    while time.monotonic() < deadline:
        build = pipeline.build_of(commit)
        build = build if build and build["number"] > failed else None
        if build and build["status"] == "superseded":
            build = pipeline.builds()[0]  # a newer push, which contains this commit
        if build and build["status"] == "success":
            return
        if build and build["status"] in _FAILED:
            raise PipelineFailed(
                f"build {build['number']} of {commit[:12]} {build['status']}: {pipeline.why(build)}",
                fix=f"the whole log: {pipeline.BASE}/builds/{build['number']}/log",
            )
        if not build and time.monotonic() > asked + _PATIENCE:
            asked = time.monotonic()
            forge.redeliver("source")
        advance((build or {}).get("stage") or "waiting")
        time.sleep(0.5)
    raise Unreachable(
        f"the pipeline did not finish {commit[:12]} within {seconds:.0f} s", fix="see `slipway status`"
    )


def unreleased(forge: Forge) -> list[str]:
    """The environments that never had a delivery."""
    with forge.client() as api:
        return [e for e in config.ENVIRONMENTS if any(image.tag == UNRELEASED for image in _images(api, e))]


def spread(forge: Forge, secrets: Secrets) -> bool:
    """Give every environment that never had a delivery what dev runs, by a pull request that the operator merges."""
    with forge.client() as api:
        waiting = unreleased(forge)
        if not waiting:
            return False
        if "dev" in waiting:
            raise PipelineFailed(
                "the pipeline passed, and dev still has no image", fix="see the log of its last build"
            )
        dev = {image.name: NewRef(tag=image.tag, digest=image.digest) for image in _images(api, "dev")}
        branch = "first-delivery"
        api.delete(f"{_repository()}/branches/{branch}")
        for environment in waiting:
            data, sha = _read(api, "main", overlay(environment))
            edited = set_images(data, dev, path=overlay(environment)).data
            body = {
                "content": base64.b64encode(edited).decode(),
                "sha": sha,
                "message": f"{environment}: first delivery, the digests that run in dev",
            }
            first = environment == waiting[0]
            body |= {"branch": "main", "new_branch": branch} if first else {"branch": branch}
            _done(api.put(f"{_repository()}/contents/{overlay(environment)}", json=body))
        pull = {"title": f"First delivery to {', '.join(waiting)}", "head": branch, "base": "main"}
        number = _done(api.post(f"{_repository()}/pulls", json=pull)).json()["number"]
    login = ("operator", secrets.get("forge-operator"))
    with httpx.Client(base_url=f"{forge.url}/api/v1", auth=login, timeout=30) as operator:
        _merge(operator, number)
    return True


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True
)
def _merge(operator: httpx.Client, number: int) -> None:
    """Merge once the forge has worked out that it can; until then it answers 405."""
    body = {"Do": "rebase", "delete_branch_after_merge": True}
    _done(operator.post(f"{_repository()}/pulls/{number}/merge", json=body))


@retry(
    retry=retry_if_exception_type(Unreachable), stop=stop_after_delay(600), wait=wait_fixed(0.5), reraise=True
)
def _served(url: str, advance: Advance) -> None:
    try:
        answer = httpx.get(url, timeout=5)
    except httpx.HTTPError as exc:
        advance(str(exc))
        raise Unreachable(
            f"{url} is not served yet: {exc}", fix="`slipway status` shows what is missing"
        ) from exc
    if answer.status_code != 200:
        advance(f"{url}: {answer.status_code}")
        raise Unreachable(f"{url} answers {answer.status_code}", fix="`slipway status` shows what is missing")


def wait_served(advance: Advance) -> None:
    """Wait until every environment answers through its load balancer, page and API."""
    for port in config.BALANCER_PORTS.values():
        for path in ("/version", "/_stcore/health"):
            _served(f"http://127.0.0.1:{port}{path}", advance)


def _images(api: httpx.Client, environment: str) -> list[Entry]:
    return read_images(_read(api, "main", overlay(environment))[0], path=overlay(environment))


def _repository() -> str:
    return f"/repos/{config.ORGANISATION}/deploy"


def _read(api: httpx.Client, ref: str, path: str) -> tuple[bytes, str]:
    answer = _done(api.get(f"{_repository()}/contents/{path}", params={"ref": ref})).json()
    return base64.b64decode(answer["content"]), answer["sha"]


def _done(response: httpx.Response) -> httpx.Response:
    if response.is_error:
        raise Unreachable(f"the forge answered {response.status_code}: {response.text[:300]}")
    return response
