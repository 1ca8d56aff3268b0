"""The webhook receiver of the local platform: a push, or a pull request, runs a Jenkinsfile.

    python -m slipway.pipeline.receiver --config FILE

POST /hook (Gitea event, signed) queues a build; GET /builds, /builds/N, /builds/N/log, /builds/N/artifact/FILE,
/metrics and /healthz answer.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import click
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway import paths
from slipway.errors import CommandFailed, InvalidInput, MachineError, SlipwayError
from slipway.git.access import command_env
from slipway.pipeline import config as pipeline_config
from slipway.pipeline import metrics
from slipway.pipeline.builds import Build, Builds
from slipway.pipeline.push_event import Ignored, decide, decide_pull_request, genuine
from slipway.proc import redact, run

_ROUTES = "/builds, /builds/N, /builds/N/log, /builds/N/artifact/FILE, /metrics, /healthz"
_LARGEST = 25 << 20
_BUILD_SECONDS = 2 * 3600
_STOP_SECONDS = 1.0
_ENDED_ORDERLY = 128 + signal.SIGTERM
_STATUS = {"SUCCESS": "success", "ABORTED": "aborted"}


class Settings(BaseModel):
    """The receiver's configuration file (YAML); `environment` is what builds get besides its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: str = Field(pattern=r"^[0-9a-zA-Z.:-]+:\d+$")
    state: Path
    event: Literal["push", "pull_request"] = "push"
    """What is built: every push to the branch, or every pull request to it, by the Jenkinsfile of the source's branch."""
    jenkinsfile: str = "ci/Jenkinsfile"
    repository: str = "slipway/source"
    branch: str = "main"
    clone_url: str
    secret_file: Path
    credentials: Path | None = None
    environment: dict[str, str] = {}
    keep: int = Field(default=20, ge=1)
    harness: Path = paths.CHECKOUT / "ci" / "harness" / "harness"
    guard: pipeline_config.Guard | None = None

    def rules(self) -> pipeline_config.Guard:
        """What is worth building: as configured, else as `ci/pipeline.yaml` of this checkout says."""
        return self.guard or pipeline_config.load(paths.CHECKOUT / pipeline_config.FILE).guard

    def secret(self) -> str:
        """The webhook's secret; its file must be readable by its owner only."""
        if not self.secret_file.is_file():
            raise InvalidInput("the webhook's secret is missing", path=self.secret_file)
        if self.secret_file.stat().st_mode & 0o077:
            raise InvalidInput(
                "others may read it", path=self.secret_file, fix=f"chmod 600 {self.secret_file}"
            )
        secret = self.secret_file.read_text().strip()
        if not secret:
            raise InvalidInput("the webhook's secret is empty", path=self.secret_file)
        return secret


def load(file: Path) -> Settings:
    """Read the configuration file."""
    try:
        return Settings.model_validate(yaml.safe_load(file.read_text()))
    except FileNotFoundError as exc:
        raise InvalidInput("there is no such file", path=file) from exc
    except (yaml.YAMLError, ValidationError) as exc:
        detail = exc.errors()[0] if isinstance(exc, ValidationError) else {"loc": (), "msg": "not YAML"}
        raise InvalidInput(f"{'.'.join(map(str, detail['loc']))} {detail['msg']}".strip(), path=file) from exc


class Pipeline:
    """Runs a build: fetches its commit and hands it to the harness."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.mirror = settings.state / "source.git"

    def __call__(self, build: Build, home: Path) -> tuple[str, str | None]:
        """Status and error of the build, which leaves its log, result and artifacts in `home`."""
        self._fetch()
        settings = self.settings
        credentials = ["--credentials", settings.credentials] if settings.credentials else []
        commit, more = build.commit, {"BUILD_URL": f"http://{settings.listen}/builds/{build.number}/"}
        if build.change is not None:
            commit = run(["git", "-C", self.mirror, "rev-parse", settings.branch]).stdout.strip()
            more["CHANGE_ID"] = str(build.change)
        command = [
            settings.harness,
            *("--script", settings.jenkinsfile),
            *("--repo", self.mirror),
            *("--commit", commit),
            *("--branch", settings.branch),
            *("--build-dir", home),
            *("--number", str(build.number)),
            *("--job", settings.repository),
            *("--parent", str(os.getpid())),
            *credentials,
        ]
        more |= {"SLIPWAY_SINCE": build.since} if build.since else {}
        done = run(command, env=settings.environment | more, timeout=_BUILD_SECONDS, check=False)
        if done.returncode < 0 or done.returncode == _ENDED_ORDERLY:
            # A stop reaches the harness too, perhaps first; a build that it ends is one for the next start.
            time.sleep(_STOP_SECONDS)
        result = home / "result.json"
        if not result.is_file():
            return "failed", redact(
                done.stderr.strip()[-2000:]
            ) or f"the harness ended with {done.returncode}"
        outcome = json.loads(result.read_text())
        return _STATUS.get(outcome["status"], "failed"), outcome.get("error")

    def _fetch(self) -> None:
        """Bring the local mirror of the branch up to date; one that was cut short while it was written is made anew."""
        try:
            self._update()
        except CommandFailed:
            shutil.rmtree(self.mirror)
            self._update()

    def _update(self) -> None:
        run(["git", "init", "--quiet", "--bare", self.mirror])
        url = self.settings.clone_url
        branch = f"+refs/heads/{self.settings.branch}:refs/heads/{self.settings.branch}"
        with command_env(None, url) as env:
            run(["git", "-C", self.mirror, "fetch", "--quiet", "--no-tags", url, branch], env=env)


class Server(ThreadingHTTPServer):
    """The HTTP side; knows the settings and the builds."""

    daemon_threads = True

    def __init__(self, settings: Settings):
        host, _, port = settings.listen.rpartition(":")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.settings = settings
        self.secret = settings.secret()
        self.rules = settings.rules()
        try:
            super().__init__((host.strip("[]"), int(port)), Handler)
        except OSError as exc:
            raise MachineError(f"cannot listen on {settings.listen}: {exc.strerror}") from exc
        # Only now: taking over another receiver's builds while it still runs would end them.
        self.builds = Builds(settings.state / "builds", Pipeline(settings), settings.keep)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = 30

    def do_POST(self) -> None:
        """A push event."""
        size = int(self.headers.get("Content-Length") or 0)
        if size > _LARGEST:
            return self._json(413, {"error": f"more than {_LARGEST} bytes"})
        body = self.rfile.read(size)
        if self.path not in ("/hook", "/"):
            return self._json(404, {"error": "POST /hook"})
        if not genuine(body, self.headers.get("X-Gitea-Signature"), self.server.secret):
            return self._json(401, {"error": "X-Gitea-Signature does not match"})
        settings = self.server.settings
        if self.headers.get("X-Gitea-Event") != settings.event:
            return self._json(200, {"ignored": f"not a {settings.event.replace('_', ' ')}"})
        try:
            where = (json.loads(body), settings.repository, settings.branch)
            is_push = settings.event == "push"
            wanted = decide(*where, self.server.rules) if is_push else decide_pull_request(*where)
        except (ValueError, InvalidInput) as exc:
            return self._json(400, {"error": str(exc)})
        if isinstance(wanted, Ignored):
            return self._json(200, {"ignored": wanted.reason})
        build = self.server.builds.submit(wanted)
        self._json(202, {"number": build.number, "status": build.status})

    def do_GET(self) -> None:
        """Builds, one build, its log."""
        parts = self.path.partition("?")[0].strip("/").split("/")
        builds = self.server.builds
        try:
            if parts == ["healthz"]:
                self._json(200, {"status": "ok"})
            elif parts == ["metrics"]:
                self._send(200, metrics.CONTENT_TYPE, metrics.exposition(builds.all()))
            elif parts == ["builds"]:
                self._json(200, [builds.shown(build) for build in builds.all()])
            elif parts[0] == "builds" and len(parts) == 2:
                self._json(200, builds.shown(builds.get(int(parts[1]))))
            elif parts[0] == "builds" and parts[2:] == ["log"]:
                log = builds.home(int(parts[1])) / "log"
                self._send(200, "text/plain; charset=utf-8", log.read_bytes() if log.is_file() else b"")
            elif parts[0] == "builds" and parts[2:3] == ["artifact"] and len(parts) > 3:
                self._artifact(builds.home(int(parts[1])) / "archive", Path(*parts[3:]))
            else:
                self._json(404, {"error": f"GET {_ROUTES}"})
        except (ValueError, FileNotFoundError):
            self._json(404, {"error": "no such build"})

    def _artifact(self, archive: Path, name: Path) -> None:
        """A file that the build archived; what came from a pull request runs nothing but its own page's script."""
        file = (archive / name).resolve()
        if not file.is_relative_to(archive.resolve()) or not file.is_file():
            raise FileNotFoundError(name)
        kind = {".html": "text/html", ".json": "application/json", ".sarif": "application/json"}.get(
            file.suffix
        )
        self._send(200, f"{kind or 'text/plain'}; charset=utf-8", file.read_bytes())

    def _json(self, status: int, data: object) -> None:
        self._send(status, "application/json", json.dumps(data).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@click.command()
@click.option("--config", "file", type=click.Path(path_type=Path), required=True, help="Settings (YAML).")
def main(file: Path) -> None:
    """Receive pushes and run the pipeline until stopped.

    Example: python -m slipway.pipeline.receiver --config /var/lib/slipway/pipeline/receiver.yaml
    """
    try:
        settings = load(file)
        server = Server(settings)
    except SlipwayError as exc:
        click.echo(f"receiver: {exc.render()}", err=True)
        sys.exit(exc.exit_code)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.Thread(target=server.builds.work, daemon=True).start()
    click.echo(f"listening on {settings.listen}, builds in {settings.state / 'builds'}")
    server.serve_forever()


if __name__ == "__main__":
    main()
