"""No password or token of the platform is anywhere but in its own file, and nothing else looks like a secret either."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import httpx
import pytest
from slipway.platform import config
from slipway.platform.forge import REPOSITORIES
from slipway.platform.preflight import process_commands
from slipway.platform.supervisor import Supervisor

from tests import secret_scan
from tests.unit.registry_lab import MANIFEST

from .conftest import Platform


@pytest.fixture(scope="module")
def values(platform: Platform) -> dict[str, str]:
    """Every one-word secret by name."""
    found = {f.name: f.read_text().strip() for f in platform.secrets.folder.iterdir()}
    words = {name: value for name, value in found.items() if re.fullmatch(r"[\w-]{16,}", value)}
    assert len(words) >= 10, "the platform's secrets were not found"
    return words


def names_in(text: str, values: dict[str, str]) -> list[str]:
    """Which secrets the text holds, by name: a failing test must not print them either."""
    return sorted(name for name, value in values.items() if value in text)


def test_no_secret_in_a_process_argument(values: dict[str, str]) -> None:
    """Arguments are readable by every user of the machine."""
    leaks = {
        command.split("\0")[0]: names_in(command, values)
        for command in process_commands().values()
        if names_in(command, values)
    }
    assert leaks == {}


def test_no_secret_in_a_log(platform: Platform, values: dict[str, str]) -> None:
    """Neither in those of the services nor in those of builds and Pods."""
    leaks = {str(f): names_in(f.read_text(errors="replace"), values) for f in logs(platform)}
    assert {file: names for file, names in leaks.items() if names} == {}


def logs(platform: Platform) -> list[Path]:
    """Every log of the platform: its services', the builds', and the Pods', Argo CD's among them."""
    folders = ("supervisor", "pipeline", "gate", "node/control", "alb", "monitoring")
    found = [f for folder in folders for f in (platform.state / folder).rglob("*log*") if f.is_file()]
    found += [*platform.state.glob("*.log")]
    pods = list((platform.state / "node/overlay/var-log/upper/pods").rglob("*.log"))
    assert len(found) > 5 and len(pods) > 10, "the logs were not found"
    assert any("argocd-server" in str(pod) for pod in pods)
    return [*found, *pods]


@pytest.mark.parametrize("repository", ["source", "deploy"])
def test_no_secret_in_git(
    platform: Platform, values: dict[str, str], repository: str, tmp_path: Path
) -> None:
    """In no file, message or address of any commit."""
    subprocess.run(
        ["git", "clone", "-q", "--bare", platform.remote(repository), tmp_path / "clone"], check=True
    )
    log = subprocess.run(
        ["git", "-C", tmp_path / "clone", "log", "--all", "-p", "--format=fuller"],
        capture_output=True,
        check=True,
    )
    assert names_in(log.stdout.decode(errors="replace"), values) == []


def test_secret_files_are_for_root_only(platform: Platform) -> None:
    """The files and every configuration that has to hold one."""
    holders = [f for f in platform.secrets.folder.iterdir() if f.suffix != ".pub"]
    holders += [platform.state / "forge" / "app.ini", platform.state / "kubeconfig"]
    open_ones = [str(f) for f in holders if f.stat().st_mode & 0o077]
    assert open_ones == []
    assert platform.secrets.folder.stat().st_mode & 0o077 == 0


# What looks like a secret, whoever's it is


def test_nothing_in_the_forge_looks_like_a_secret(platform: Platform, tmp_path: Path) -> None:
    """In no file, message or name of any commit of any branch of any repository."""
    found = []
    for repository in REPOSITORIES:
        clone = tmp_path / repository
        subprocess.run(["git", "clone", "-q", "--mirror", platform.remote(repository), clone], check=True)
        found += secret_scan.scan(secret_scan.history(clone))
    # What the checkout's own history explains is in what is published of it.
    entries = (*secret_scan.allowed("history"), *secret_scan.allowed("forge"))
    assert secret_scan.unexplained(found, entries) == []
    assert secret_scan.unused(found, secret_scan.allowed("forge")) == []


def test_nothing_in_an_image_looks_like_a_secret(platform: Platform) -> None:
    """In no configuration, and in no text file of a layer that is neither the base image's nor a package's."""
    lines, images = [], 0
    with httpx.Client(base_url=f"{config.REGISTRY_URL}/v2", timeout=60) as registry:
        base = base_layers(platform)
        seen = set(base)
        for name in ("board-backend", "board-frontend"):
            path = f"/{config.ORGANISATION}/{name}"
            for tag in registry.get(f"{path}/tags/list").raise_for_status().json()["tags"]:
                asked = registry.get(f"{path}/manifests/{tag}", headers={"Accept": MANIFEST})
                if asked.status_code != 200 or tag.startswith("sha256-"):
                    continue
                image, images = asked.json(), images + 1
                data = registry.get(f"{path}/blobs/{image['config']['digest']}").raise_for_status().content
                lines += secret_scan.config(f"{name}:{tag} config", data)
                for digest, diff in zip(
                    (one["digest"] for one in image["layers"]),
                    json.loads(data)["rootfs"]["diff_ids"],
                    strict=True,
                ):
                    if diff not in seen:
                        seen.add(diff)
                        lines += secret_scan.layer(name, blob(platform, digest), PACKAGES)
    assert images >= 2 and len(seen) >= len(base) + 4
    for own in (" app/board_backend/", " app/board_frontend/"):
        assert any(own in where for where, _ in lines), "the application's own files were not read"
    found = secret_scan.scan(lines)
    assert secret_scan.unexplained(found, secret_scan.allowed("images")) == []
    assert secret_scan.unused(found, secret_scan.allowed("images")) == []


PACKAGES = ("/site-packages/", "/venv/share/")
"""Where an image has what is not ours, each file of which the lock file's hashes vouch for."""


def base_layers(platform: Platform) -> list[str]:
    """The layers of the image that builds start from, by their uncompressed digest."""
    with tarfile.open(platform.state / "pipeline" / "python-base.tar") as archive:

        def read(name: str) -> dict:
            return json.loads(archive.extractfile(name).read())

        def of(digest: str) -> dict:
            return read(f"blobs/{digest.replace(':', '/')}")

        manifest = of(read("index.json")["manifests"][0]["digest"])
        return of(manifest["config"]["digest"])["rootfs"]["diff_ids"]


def blob(platform: Platform, digest: str) -> Path:
    """Where the registry keeps a blob."""
    hexadecimal = digest.partition(":")[2]
    folder = platform.state / "registry" / "data" / "docker" / "registry" / "v2" / "blobs" / "sha256"
    return folder / hexadecimal[:2] / hexadecimal / "data"


def test_nothing_in_a_log_looks_like_a_secret(platform: Platform) -> None:
    """Of everything that ran since the platform came up."""
    lines = (
        line
        for file in logs(platform)
        for line in secret_scan.text_lines(str(file.relative_to(platform.state)), file.read_bytes())
    )
    found = secret_scan.scan(lines, entropy=False)
    assert secret_scan.unexplained(found, secret_scan.allowed("logs")) == []


def test_no_process_is_given_something_that_looks_like_a_secret(platform: Platform) -> None:
    """By its arguments, which everybody on the machine reads, whoever's process it is of the platform's."""
    commands = process_commands().values()
    for inside in ("kube-apiserver", "argocd-server", "postgres", "gitea"):
        assert any(inside in command for command in commands), f"the processes do not include {inside}"
    found = secret_scan.scan(secret_scan.arguments(commands), entropy=False)
    assert secret_scan.unexplained(found, secret_scan.allowed("processes")) == []


def test_services_get_no_secret_in_their_environment(platform: Platform, values: dict[str, str]) -> None:
    """They read files that only root reads, which no child of theirs inherits."""
    processes = Supervisor(platform.state / "supervisor").processes()
    running = {one["name"]: one["pid"] for one in processes if one["pid"]}
    assert {"registry", "forge", "pipeline", "gate", "aws", "alb"} <= set(running)
    texts = {name: Path(f"/proc/{pid}/environ").read_text(errors="replace") for name, pid in running.items()}
    leaks = {name: names_in(text, values) for name, text in texts.items()}
    assert {name: names for name, names in leaks.items() if names} == {}
    lines = [
        found
        for name, text in texts.items()
        for line in text.split("\0")
        for found in secret_scan.setting(name, line)
    ]
    found = secret_scan.scan(lines, entropy=False)
    assert secret_scan.unexplained(found, secret_scan.allowed("processes")) == []
