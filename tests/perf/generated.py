"""Deploy repositories of any size, generated: four files in each overlay, and a history of bumps."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import IO

from tests.cli.bump_lab import HOST, POLICY, Deploy, git

ENVIRONMENTS = ("dev", "staging", "prod")


def app_name(number: int) -> str:
    """The name of an application; each has one overlay in every environment."""
    return f"app-{number:05}"


def generate(path: Path, url: str, *, overlays: int, bumps: int) -> Deploy:
    """A bare repository with that many overlays and, after its first commit, that many bumps; packed as by `git gc`."""
    git("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(path))
    git("config", "uploadpack.allowFilter", "true", cwd=path)
    git("config", "http.receivepack", "true", cwd=path)
    with subprocess.Popen(["git", "fast-import", "--quiet"], cwd=path, stdin=subprocess.PIPE) as importer:
        _history(importer.stdin, overlays, bumps)
        importer.stdin.close()
    assert importer.returncode == 0
    git("repack", "-a", "-d", "--quiet", "--write-bitmap-index", cwd=path)
    return Deploy(path, url)


def _history(stream: IO[bytes], overlays: int, bumps: int) -> None:
    places = [(env, app_name(n)) for n in range(overlays // len(ENVIRONMENTS)) for env in ENVIRONMENTS]
    files = {f"overlays/{env}/environment.yaml": POLICY.format(env=env) for env in ENVIRONMENTS}
    files["base/app/kustomization.yaml"] = "resources: []\n"
    for env, app in places:
        overlay = f"overlays/{env}/{app}"
        files[f"{overlay}/kustomization.yaml"] = _kustomization(env, app, 0)
        files[f"{overlay}/settings.env"] = f"ENVIRONMENT={env}\nNAME={app}\nLOG_LEVEL=info\n"
        files[f"{overlay}/replicas.yaml"] = f"- op: replace\n  path: /spec/replicas\n  value: {len(env)}\n"
        files[f"{overlay}/ingress.yaml"] = (
            f"- op: add\n  path: /spec/rules/0/host\n  value: {app}.{env}.example\n"
        )
    _commit(stream, "all", files)
    for number in range(bumps):
        env, app = places[number % len(places)]
        path = f"overlays/{env}/{app}/kustomization.yaml"
        _commit(stream, f"{env}: {app} {number}", {path: _kustomization(env, app, number + 1)})


def _commit(stream: IO[bytes], message: str, files: dict[str, str]) -> None:
    head = f"commit refs/heads/main\ncommitter b <b@b> 1700000000 +0000\ndata {len(message)}\n{message}\n"
    body = (f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items())
    stream.write(f"{head}{''.join(body)}\n".encode())


def _kustomization(env: str, app: str, number: int) -> str:
    digest = hashlib.sha256(f"{app} {number}".encode()).hexdigest()
    return (
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: {app}-{env}\n"
        f"resources:\n  - ../../../base/app\npatches:\n  - path: replicas.yaml\n  - path: ingress.yaml\n"
        f'images:\n  - name: {HOST}/slipway/{app}\n    newTag: "{number}"\n    digest: "sha256:{digest}"\n'
    )
