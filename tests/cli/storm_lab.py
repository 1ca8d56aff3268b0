"""A real Gitea on loopback, proxies before it that lose what passes, and many writers at once."""

from __future__ import annotations

import base64
import getpass
import http.client
import json
import os
import random
import re
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from slipway import toolchain

from tests.cli.bump_lab import NOTHING, POLICY, Deploy, Registry, Server, git, kustomization

BOT = "slipway-bot"
_SETTINGS = """
APP_NAME = storm
RUN_USER = {user}
RUN_MODE = prod
WORK_PATH = {folder}
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true

[server]
PROTOCOL = {protocol}
CERT_FILE = {folder}/cert.pem
KEY_FILE = {folder}/key.pem
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
LOCAL_ROOT_URL = {url}/
STATIC_ROOT_PATH = {static}
APP_DATA_PATH = {folder}/data
START_SSH_SERVER = true
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = {ssh_port}
SSH_PORT = {ssh_port}
SSH_DOMAIN = 127.0.0.1
BUILTIN_SSH_SERVER_USER = git
SSH_SERVER_HOST_KEYS = {folder}/ssh/host
LFS_START_SERVER = false
OFFLINE_MODE = true

[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db

[repository]
ROOT = {folder}/repositories
DEFAULT_BRANCH = main

[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {secret}
PASSWORD_HASH_ALGO = pbkdf2$50000$50

[oauth2]
ENABLED = false

[service]
DISABLE_REGISTRATION = true

[actions]
ENABLED = false

[packages]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[log]
LEVEL = Warn
"""


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Gitea:
    """A Gitea with one user, the bot; a context manager that owns the process. `folder` is all it writes to."""

    def __init__(self, folder: Path, *, protocol: str = "http"):
        self.folder, self.port, self.ssh_port = folder, free_port(), free_port()
        self.url = f"{protocol}://127.0.0.1:{self.port}"
        self.binary, self.config = toolchain.tool("gitea"), folder / "app.ini"
        # Gitea writes to the user's git configuration, which the tests have put at /dev/null.
        plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.env = plain | {"HOME": str(folder), "GITEA_WORK_DIR": str(folder)}
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            _SETTINGS.format(
                user=getpass.getuser(),
                folder=folder,
                protocol=protocol,
                port=self.port,
                ssh_port=self.ssh_port,
                url=self.url,
                static=toolchain.share("forge", "gitea"),
                secret=os.urandom(24).hex(),
            )
        )

    def __enter__(self) -> Gitea:
        self._run("migrate")
        who = ["--username", BOT, "--email", f"{BOT}@slipway.invalid"]
        made = self._run("admin", "user", "create", *who, "--random-password", "--must-change-password=false")
        self.password = re.search(r"generated random password is '(.+)'", made)[1]
        self._log = (self.folder / "log").open("wb")
        command = [self.binary, "--config", self.config, "web"]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        until = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.1)
        return self

    def __exit__(self, *_) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._log.close()

    def _run(self, *arguments: str) -> str:
        command = [self.binary, "--config", self.config, *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _answers(self) -> bool:
        try:
            return self.api("GET", "/version") is not None
        except (URLError, ConnectionError):
            return False

    def api(self, method: str, path: str, **body):
        """Ask the API as the bot."""
        login = base64.b64encode(f"{BOT}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        request = Request(f"{self.url}/api/v1{path}", data, headers, method=method)
        with urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def merge(self, pulls: str, number: int, how: str = "merge") -> None:
        """Merge a pull request, once Gitea has worked out that it can; until then it answers 405."""
        until = time.monotonic() + 30
        while True:
            try:
                return self.api("POST", f"{pulls}/{number}/merge", Do=how)
            except HTTPError as exc:
                if exc.code != 405 or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def repository(self, name: str, files: Mapping[str, str]) -> Deploy:
        """A repository of the bot with one more commit, of these files, than Gitea makes."""
        self.api("POST", "/user/repos", name=name, auto_init=True, default_branch="main")
        path = self.folder / "repositories" / BOT / f"{name}.git"
        deploy = Deploy(path, f"{self.url}/{BOT}/{name}.git")
        deploy.commit("files", dict(files))
        return deploy

    @property
    def login(self) -> dict[str, str]:
        """The environment variables that hold the bot's credentials."""
        return {"SLIPWAY_GIT_USERNAME": BOT, "SLIPWAY_GIT_PASSWORD": self.password}


# Proxies


class RejectingProxy(Server):
    """Passes everything on to `target`, but every third push meets a fault: three kinds in turn.

    The push is answered with 500; the connection is closed before it is passed on; it is passed on and the answer is
    thrown away, so that its commit may have landed.
    """

    def __init__(self, target: str):
        super().__init__(_RejectingHandler)
        self.target = target.partition("://")[2]
        self.pushes, self.faults, self.lock = 0, [0, 0, 0], threading.Lock()

    def fault(self) -> int | None:
        """The kind of fault that the next push meets, if any."""
        with self.lock:
            self.pushes += 1
            if self.pushes % 3:
                return None
            kind = self.pushes // 3 % 3
            self.faults[kind] += 1
            return kind


class _RejectingHandler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_GET(self):
        lab: RejectingProxy = self.server.lab
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_push = self.command == "POST" and self.path.endswith("/git-receive-pack")
        fault = lab.fault() if is_push else None
        self.close_connection = fault is not None
        if fault == 0:
            self.send_error(500)
        elif fault != 1:
            self._pass_on(lab.target, body, drop=fault == 2)

    do_POST = do_GET

    def _pass_on(self, target: str, body: bytes, *, drop: bool) -> None:
        behind = http.client.HTTPConnection(target, timeout=300)
        try:
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):  # what came was cut short, so the forge hung up
            self.close_connection = True
            return
        finally:
            behind.close()
        if drop:
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        return


class CuttingProxy(socketserver.ThreadingTCPServer):
    """Passes bytes on to `target` and resets one connection in `every` after a random number of bytes."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, target: str, *, seed: int, every: int = 6):
        super().__init__(("127.0.0.1", 0), _CuttingHandler)
        self.target = (target.partition("://")[2].partition(":")[0], int(target.rpartition(":")[2]))
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.random, self.every, self.cuts, self.connections = random.Random(seed), every, 0, 0
        self.lock = threading.Lock()

    def __enter__(self) -> CuttingProxy:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_) -> None:
        return

    def budget(self) -> float:
        """How many bytes the next connection may carry, both ways together."""
        with self.lock:
            self.connections += 1
            return self.random.randrange(6000) if self.random.randrange(self.every) == 0 else float("inf")


class _CuttingHandler(socketserver.BaseRequestHandler):
    def handle(self):
        lab: CuttingProxy = self.server
        self.left = lab.budget()
        with socket.create_connection(lab.target, timeout=300) as behind:
            back = threading.Thread(target=self._pump, args=(behind, self.request), daemon=True)
            back.start()
            self._pump(self.request, behind)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                with self.server.lock:
                    cut = self.left < len(data)
                    data = data[: int(self.left)] if cut else data
                    self.left -= len(data)
                sink.sendall(data)
                if cut:
                    self._reset(source, sink)
                    return
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with suppress(OSError):
                end.shutdown(how)

    def _reset(self, *ends: socket.socket) -> None:
        self.server.cuts += 1
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)


# Writers


@dataclass
class End:
    """How a writer ended."""

    order: Sequence[str]
    code: int
    out: str
    err: str

    @property
    def commit(self) -> str | None:
        """The commit that the writer says it made."""
        return json.loads(self.out)["commit"] if self.code == 0 else None


def storm(
    orders: Iterable[Sequence[str]], repo: str, env: Mapping[str, str], timeout: float = 800
) -> list[End]:
    """Start one `slipway bump` for each of these argument lists, all at once, and wait for all of them."""
    orders = list(orders)
    command = [sys.executable, "-m", "slipway.cli", "bump", "--repo", repo, "--env", "dev", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    more = ["--timeout", str(int(timeout))]
    writers = [subprocess.Popen([*command, *more, *o], env=os.environ | env, **pipes) for o in orders]
    said = [writer.communicate() for writer in writers]
    return [End(o, w.returncode, *s) for o, w, s in zip(orders, writers, said, strict=True)]


APPS = 10


def fleet(host: str, count: int) -> tuple[list[str], dict[str, str]]:
    """That many image names, and a deploy repository in which ten applications share them."""
    images = [f"{host}/slipway/service-{n:03d}" for n in range(count)]
    files = {"overlays/dev/environment.yaml": POLICY.format(env="dev")}
    for app in range(APPS):
        entries = [(image, "v0", NOTHING) for image in images[app::APPS]]
        files[f"overlays/dev/app-{app}/kustomization.yaml"] = kustomization(*entries)
    return images, files


def app_of(image: str) -> str:
    """The application whose overlay has the image."""
    return f"app-{int(image.rpartition('-')[2]) % APPS}"


def is_straight(deploy: Deploy) -> bool:
    """Whether the branch has no merge and every commit of it is on one line, and nothing is broken."""
    git("fsck", "--strict", "--no-dangling", cwd=deploy.path)
    line = git("rev-list", "--first-parent", "main", cwd=deploy.path).split()
    return git("rev-list", "--merges", "main", cwd=deploy.path) == "" and len(line) == deploy.count


def written(deploy: Deploy) -> list[tuple[str, str]]:
    """Commit and image, oldest first, of every Image trailer on the branch."""
    shown = git(
        "log", "--reverse", "--format=%H%x00%(trailers:key=Image,valueonly)%x01", "main", cwd=deploy.path
    )
    commits = [part.strip().partition("\0") for part in shown.split("\1") if part.strip()]
    return [(sha, image) for sha, _, images in commits for image in images.split()]


def stock(registry: Registry, images: Iterable[str], tag: str = "v1") -> dict[str, str]:
    """Push every image under a tag; returns the digests."""
    return {image: registry.push(image, tag) for image in images}
