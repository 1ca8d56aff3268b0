"""The running platform, as a user and an operator see it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser
from slipway import paths
from slipway.errors import SlipwayError
from slipway.kubectl import Cluster
from slipway.platform import argocd, config, groundwork, pipeline
from slipway.platform.secrets import Secrets

from .pages import chromium

SLIPWAY = Path(sys.prefix) / "bin" / "slipway"
ENDED = ("success", "failed", "aborted", "superseded")
"""What the pipeline says of a build that is over."""
REFRESH = "argocd.argoproj.io/refresh"
"""Asks Argo CD to compare an Application with Git, and is gone once it has: `normal`, or `hard` to render anew."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs the platform."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.platform)


def eventually(condition: Callable[[], object], seconds: float, what: str, every: float = 0.5):
    """What `condition` returns once it is true; fails with the last answer or error after `seconds`."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            last = condition()
        except (httpx.HTTPError, KeyError, ValueError, SlipwayError) as exc:
            last = exc
        if last and not isinstance(last, Exception):
            return last
        time.sleep(every)
    pytest.fail(f"{what}: not within {seconds:.0f} s; last seen: {last!r}")


class Platform:
    """Addresses, logins and the few things that several tests do."""

    def __init__(self, state: Path):
        self.state = state
        self.secrets = Secrets(state)
        self.cluster = Cluster(state / "kubeconfig")
        self.urls = {
            name.removeprefix("slipway-"): f"http://127.0.0.1:{port}"
            for name, port in config.BALANCER_PORTS.items()
        }

    @property
    def read_token(self) -> str:
        """What the board's API asks of its readers."""
        return self.secrets.get(groundwork.BOARD_READ)

    def board(self, environment: str = "prod") -> httpx.Client:
        """The board's API through the load balancer, as a reader."""
        login = {"Authorization": f"Bearer {self.read_token}"}
        return httpx.Client(base_url=f"{self.urls[environment]}/api", headers=login, timeout=15)

    def api(self, user: str) -> httpx.Client:
        """The forge's API as one of its users."""
        login = (user, self.secrets.get(f"forge-{user}"))
        return httpx.Client(base_url=f"{config.FORGE_URL}/api/v1", auth=login, timeout=30)

    def remote(self, repository: str) -> str:
        """The clone address."""
        return f"{config.FORGE_URL}/{config.ORGANISATION}/{repository}.git"

    def read(self, repository: str, path: str, ref: str = "main") -> tuple[str, str]:
        """Text and blob id of a file in the forge."""
        with self.api("developer") as api:
            answer = api.get(self._contents(repository, path), params={"ref": ref}).raise_for_status().json()
        return base64.b64decode(answer["content"]).decode(), answer["sha"]

    def write(
        self, user: str, repository: str, path: str, text: str, message: str, **where: str
    ) -> httpx.Response:
        """Create or change a file in the forge as `user`; `new_branch` puts the commit on a branch of its own."""
        body = {
            "content": base64.b64encode(text.encode()).decode(),
            "message": message,
            "branch": "main",
            **where,
        }
        with self.api(user) as api:
            found = api.get(self._contents(repository, path), params={"ref": body["branch"]})
            if found.status_code == 200:
                return api.put(self._contents(repository, path), json={**body, "sha": found.json()["sha"]})
            return api.post(self._contents(repository, path), json=body)

    @staticmethod
    def _contents(repository: str, path: str) -> str:
        return f"/repos/{config.ORGANISATION}/{repository}/contents/{path}"

    def push_a_change(self, message: str) -> str:
        """Push a small commit to the source repository, as a developer does; returns its id."""
        text = f"{message}\n"
        answer = self.write("developer", "source", f"apps/board/notes/{time.time_ns()}.md", text, message)
        return answer.raise_for_status().json()["commit"]["sha"]

    @staticmethod
    def branch(name: str) -> str:
        """A name for a branch that no earlier run has used."""
        return f"{name}-{time.time_ns()}"

    def pull_request(self, branch: str, title: str) -> int:
        """Open a pull request on the deploy repository as the developer; returns its number."""
        with self.api("developer") as api:
            body = {"title": title, "head": branch, "base": "main"}
            path = f"/repos/{config.ORGANISATION}/deploy/pulls"
            return api.post(path, json=body).raise_for_status().json()["number"]

    def merge(self, number: int) -> None:
        """Merge a pull request as the operator, once the gate has passed it and the forge says that it can be."""
        path = f"/repos/{config.ORGANISATION}/deploy/pulls/{number}/merge"
        with self.api("operator") as api:
            eventually(
                lambda: api.post(path, json={"Do": "rebase"}).status_code == 200,
                180,
                f"pull request {number} merges: {config.FORGE_URL}/{config.ORGANISATION}/deploy/pulls/{number}",
            )

    def version(self, environment: str) -> dict:
        """What the environment's load balancer answers at /version."""
        return httpx.get(f"{self.urls[environment]}/version", timeout=5).raise_for_status().json()

    def wait_ended(self, commit: str, seconds: float = 420) -> dict:
        """The build of a commit, once the pipeline is done with it."""

        def done() -> dict | None:
            build = pipeline.build_of(commit)
            return build if build and build["status"] in ENDED else None

        return eventually(done, seconds, f"the pipeline builds {commit[:12]}")

    def wait_built(self, commit: str) -> None:
        """Wait until the pipeline is done with a commit; fails with the end of its log if the build fails."""
        build = self.wait_ended(commit)
        assert build["status"] == "success", pipeline.log_tail(build["number"], 40)

    def quiet(self) -> None:
        """Wait until no build is under way and dev runs what Git says: an earlier test's push is over."""

        def over() -> bool:
            return all(build["status"] in ENDED for build in pipeline.builds())

        eventually(over, 420, "no build is under way")
        self.compared("dev-board")
        self.settled("dev-board")

    def compared(self, name: str) -> None:
        """Have Argo CD compare an Application with Git now: what was just pushed is no longer called settled."""
        one = ("--namespace", "argocd", "application", name)
        self.cluster.kubectl("annotate", "--overwrite", *one, f"{REFRESH}=normal")
        eventually(
            lambda: REFRESH not in self.application(name)["metadata"].get("annotations", {}),
            90,
            f"{name} is compared with Git",
        )

    def wait_live(self, environment: str, commit: str, seconds: float = 240) -> dict:
        """Wait until the environment answers with the commit, ten times in a row."""

        def live() -> dict | None:
            answers = [self.version(environment) for _ in range(10)]
            return answers[0] if all(answer["commit"] == commit for answer in answers) else None

        return eventually(live, seconds, f"{environment} serves {commit[:12]}")

    def wait_drained(self, environment: str, seconds: float = 180) -> None:
        """Wait until the board is healthy and the Pods of its last version have gone: the end of a rollout."""
        self.settled(f"{environment}-board")

        def drained() -> bool:
            pods = self.cluster.get("--namespace", environment, "pods")["items"]
            return not any(pod["metadata"].get("deletionTimestamp") for pod in pods)

        eventually(drained, seconds, f"the old Pods have drained in {environment}")

    def live(self, what: str, *more: str) -> tuple[int, list[dict]]:
        """What `slipway live` says of a commit or an image: its exit code and verdicts."""
        env = {
            **os.environ,
            "SLIPWAY_DEPLOY_REPO": self.remote("deploy"),
            "ARGOCD_SERVER": argocd.URL,
            "ARGOCD_AUTH_TOKEN": self.secrets.get(argocd.TOKEN),
        }
        done = slipway("live", what, "--json", *more, env=env)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["verdicts"]

    def pods(self, namespace: str, name: str = "") -> list[dict]:
        """The Pods of a namespace, or of one application in it; those on their way out are left aside."""
        of_one = [f"--selector=app.kubernetes.io/name={name}"] if name else []
        listed = self.cluster.get("--namespace", namespace, "pods", *of_one)["items"]
        return [pod for pod in listed if not pod["metadata"].get("deletionTimestamp")]

    def application(self, name: str) -> dict:
        """An Argo CD Application."""
        return self.cluster.get("--namespace", "argocd", "application", name)

    def settled(self, name: str, seconds: float = 240) -> dict:
        """Wait until an Application is synced and healthy."""

        def good() -> dict | None:
            found = self.application(name)
            state = found.get("status", {})
            health, sync = state.get("health", {}).get("status"), state.get("sync", {}).get("status")
            return found if (health, sync) == ("Healthy", "Synced") else None

        return eventually(good, seconds, f"{name} is synced and healthy")


@pytest.fixture(scope="session")
def platform() -> Platform:
    """The platform at this checkout's commit; a platform that cannot be had is a failure, never a skip."""
    done = slipway("up", timeout=3600)
    assert done.returncode == 0, done.stderr
    return Platform(paths.state())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a file's tests; each visit has a profile of its own."""
    with chromium() as one:
        yield one


def slipway(*arguments: str, timeout: float = 900, **options) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    return subprocess.run([SLIPWAY, *arguments], capture_output=True, text=True, timeout=timeout, **options)


def prometheus(path: str, **parameters: str) -> dict:
    """What Prometheus' API answers."""
    answer = httpx.get(f"{config.PROMETHEUS_URL}/api/v1/{path}", params=parameters, timeout=10)
    return answer.raise_for_status().json()["data"]


def measured(expression: str) -> list[dict]:
    """The series of a PromQL expression now."""
    return prometheus("query", query=expression)["result"]
