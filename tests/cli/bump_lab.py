"""A registry and Git servers on loopback, and a deploy repository to write to."""

from __future__ import annotations

import atexit
import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import parse_qs, urlsplit

import pytest
from slipway.cli import main

HOST = "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
BACKEND = f"{HOST}/slipway/board-backend"
FRONTEND = f"{HOST}/slipway/board-frontend"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

POLICY = "name: {env}\norder: 1\ndelivery: direct\n"
NOTHING = "sha256:" + "0" * 64


def sha(body: bytes) -> str:
    """The digest of some bytes."""
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Server:
    """An HTTP server in a thread; a context manager."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]):
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.http.lab = self
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


class Registry(Server):
    """A registry that answers only the media types it is asked for; `before` may answer a request instead."""

    def __init__(self):
        super().__init__(_RegistryHandler)
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.before: Callable | None = None

    @property
    def mirrors(self) -> str:
        """The value of SLIPWAY_REGISTRY_MIRRORS."""
        return f"{HOST}={self.url}"

    def push(self, image: str, tag: str, *, media_type: str = OCI, architectures=("amd64",), **config) -> str:
        """Store an image under a tag and return its digest; `config` is `created`, `revision` and other labels."""
        repository = image.partition("/")[2]
        created = config.pop("created", "2026-11-23T10:00:00Z")
        labels = {f"org.opencontainers.image.{key}": value for key, value in config.items()} | {"tag": tag}
        manifests = []
        for architecture in architectures:
            body = json.dumps({"architecture": architecture, "os": "linux", "created": created, "config": {"Labels": labels}}).encode()  # fmt: skip
            self.blobs[sha(body)] = body
            kind = {OCI_INDEX: OCI, DOCKER_LIST: DOCKER}.get(media_type, media_type)
            manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": sha(body), "size": len(body)}, "layers": []}  # fmt: skip
            raw = json.dumps(manifest).encode()
            self.manifests[repository, sha(raw)] = (kind, raw)
            manifests.append({"digest": sha(raw), "platform": {"os": "linux", "architecture": architecture}})
        if media_type in (OCI_INDEX, DOCKER_LIST):
            manifests.append({"digest": NOTHING, "platform": {"os": "unknown", "architecture": "unknown"}})
            raw = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).encode()
        self.manifests[repository, sha(raw)] = self.manifests[repository, tag] = (media_type, raw)
        return sha(raw)


class _RegistryHandler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_GET(self):
        lab: Registry = self.server.lab
        lab.requests.append((self.path, self.headers.get("Authorization")))
        if lab.before and lab.before(self):
            return
        repository, _, rest = urlsplit(self.path).path.removeprefix("/v2/").partition("/manifests/")
        if rest:
            media_type, body = lab.manifests.get((repository, rest), ("", b""))
            wanted = bool(media_type) and media_type in self.headers.get("Accept", "")
            self.answer(200 if wanted else 404, body if wanted else b"{}", media_type)
        else:
            digest = self.path.rpartition("/")[2]
            self.answer(
                200 if digest in lab.blobs else 404, lab.blobs.get(digest, b"{}"), "application/octet-stream"
            )

    def answer(
        self, status: int, body: bytes = b"{}", media_type: str = "application/json", **headers: str
    ) -> bool:
        """Send a whole answer; True, so that `before` can return it."""
        self.send_response(status)
        for name, value in {"Content-Type": media_type, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        if media_type in (OCI, OCI_INDEX, DOCKER, DOCKER_LIST) and "Docker_Content_Digest" not in headers:
            self.send_header("Docker-Content-Digest", sha(body))
        self.end_headers()
        self.wfile.write(body)
        return True

    def log_message(self, *_):
        return


def git(*arguments: str, cwd: Path | None = None, input: bytes | None = None) -> str:
    """Run git as a person would, with an identity of its own."""
    identity = {
        f"GIT_{who}_{what}": "person" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    done = subprocess.run(
        ["git", *arguments], cwd=cwd, env=os.environ | identity, input=input, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def kustomization(*entries: tuple[str, str, str]) -> str:
    """A kustomization with these images (name, tag, digest)."""
    lines = "".join(
        f'  - name: {n}  # {n[-8:]}\n    newTag: "{t}"\n    digest: "{d}"\n' for n, t, d in entries
    )
    return f"resources:\n  - ../../../base\nimages:\n{lines}"


_templates: dict[str, Path] = {}
"""Repositories that were made once and are copied from then on."""


@dataclass
class Deploy:
    """A bare deploy repository at `path`."""

    path: Path
    url: str = ""

    @classmethod
    def create(cls, path: Path, files: dict[str, str], *, filters: bool = True) -> Deploy:
        """Make it with one commit of these files; `filters` as Gitea and GitHub have them."""
        key = json.dumps([files, filters])
        if key not in _templates:
            template = cls(Path(tempfile.mkdtemp(prefix="bump-lab-")) / "repo.git")
            atexit.register(shutil.rmtree, template.path.parent, ignore_errors=True)
            git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(template.path))
            git("config", "uploadpack.allowFilter", str(filters), cwd=template.path)
            git("config", "http.receivepack", "true", cwd=template.path)
            template.commit("first", files)
            _templates[key] = template.path
        shutil.copytree(_templates[key], path)
        return cls(path, path.as_uri())

    def commit(self, message: str, files: dict[str, str | bytes]) -> str:
        """Write files on top of main, behind the tools' backs."""
        parts = [b"commit refs/heads/main\ncommitter p <p@p> 1700000000 +0000\n"]
        parts.append(b"data %d\n%s\n" % (len(message.encode()), message.encode()))
        if git("for-each-ref", "refs/heads/main", cwd=self.path):
            parts.append(b"from refs/heads/main^0\n")
        for name, body in files.items():
            body = body.encode() if isinstance(body, str) else body
            parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(body), body))
        git("fast-import", "--quiet", cwd=self.path, input=b"".join(parts))
        return self.tip

    def idle(self, count: int) -> None:
        """That many commits that change nothing."""
        one = "commit refs/heads/main\ncommitter p <p@p> 1700000000 +0000\ndata 1\nx\n"
        stream = one + "from refs/heads/main^0\n" + one * (count - 1)
        git("fast-import", "--quiet", cwd=self.path, input=stream.encode())

    @property
    def tip(self) -> str:
        """The commit that main is at."""
        return git("rev-parse", "main", cwd=self.path).strip()

    @property
    def count(self) -> int:
        """How many commits main has."""
        return int(git("rev-list", "--count", "main", cwd=self.path))

    def read(self, path: str, revision: str = "main") -> str:
        """A file's content."""
        return git("show", f"{revision}:{path}", cwd=self.path)

    def message(self, revision: str = "main") -> str:
        """A commit's message."""
        return git("log", "-1", "--format=%B", revision, cwd=self.path)

    def changed(self) -> list[str]:
        """The files that the newest commit changed."""
        return git("diff-tree", "-r", "--name-only", "--no-commit-id", "main", cwd=self.path).split()

    def hook(self, name: str, script: str) -> Path:
        """Install a server hook; it can count its runs by writing to the file returned."""
        log = self.path / f"{name}.log"
        path = self.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho run >> {log}\n{script}\n")
        path.chmod(0o755)
        return log


class GitServer(Server):
    """Serves bare repositories below `root` over smart HTTP; with `login`, only to that user."""

    def __init__(self, root: Path, login: tuple[str, str] | None = None):
        super().__init__(_GitHandler)
        self.root, self.login = root, login
        self.seen: list[str | None] = []


class _GitHandler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_GET(self):
        lab: GitServer = self.server.lab
        given = self.headers.get("Authorization")
        lab.seen.append(given)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        if lab.login and given != "Basic " + base64.b64encode(":".join(lab.login).encode()).decode():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(lab.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "REMOTE_USER": "user", "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(["git", "http-backend"], env=env, **pipes) as backend:
            backend.stdin.write(body)
            backend.stdin.close()
            self._pass_on(backend.stdout)

    do_POST = do_GET

    def _pass_on(self, out: IO[bytes]) -> None:
        """Send what the backend answers as it comes."""
        head = iter(lambda: out.readline().decode().strip(), "")
        headers = [line.partition(": ")[::2] for line in head]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while data := out.read1(1 << 16):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        return (self.rfile.read(size), self.rfile.readline())[0]

    def log_message(self, *_):
        return


def query(path: str) -> dict[str, list[str]]:
    """The query of a request's path."""
    return parse_qs(urlsplit(path).query)


def failing_fetch(tmp_path: Path, monkeypatch, which: str, stderr: str) -> Path:
    """Put a `git` before the real one whose fetches with a number like the pattern fail; returns the log of fetches."""
    log, real = tmp_path / "fetches", subprocess.check_output(["git", "--exec-path"], text=True).strip()
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ncase " $* " in *" fetch "*) echo fetch >> {log}\n'
        f'  case $(wc -l < {log}) in {which}) echo "{stderr}" >&2; exit 128 ;; esac ;; esac\nexec {real}/git "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


def invoke(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    """Run the command line inside this process, which saves loading everything for each run."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            main(list(arguments))
        except SystemExit as exc:
            code = exc.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def slipway(*arguments: str, **env: str) -> subprocess.CompletedProcess:
    """Run the command line as its own process."""
    return start(*arguments, **env).communicate_all()


class _Process(subprocess.Popen):
    def communicate_all(self) -> subprocess.CompletedProcess:
        """Wait for the end, with what was printed."""
        out, err = self.communicate(timeout=120)
        return subprocess.CompletedProcess(self.args, self.returncode, out, err)


def start(*arguments: str, **env: str) -> _Process:
    """The same without waiting."""
    command = [sys.executable, "-m", "slipway.cli", *arguments]
    return _Process(command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
