"""The pipeline's runner on the local platform: the webhook receiver that runs the Jenkinsfile on a push."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import httpx

from slipway import toolchain
from slipway.errors import Unreachable
from slipway.paths import CHECKOUT, PYTHON
from slipway.platform import config
from slipway.platform.forge import BOT, GATE, Forge
from slipway.platform.secrets import Secrets
from slipway.platform.supervisor import Program
from slipway.proc import run

BASE = f"http://{config.HOST}:{config.PIPELINE_PORT}"
URL = f"{BASE}/hook"
NAME = "pipeline"
GATE_URL = f"http://{config.HOST}:{config.GATE_PORT}/hook"
GATE_NAME = "gate"


def prepare(state: Path, forge: Forge, secrets: Secrets) -> None:
    """Write the receiver's settings and the credentials file that its builds may use."""
    folder = state / NAME
    folder.mkdir(parents=True, exist_ok=True)
    secrets.get("pipeline-webhook")
    settings = {
        "listen": f"{config.HOST}:{config.PIPELINE_PORT}",
        "state": str(folder),
        "clone_url": forge.remote("source"),
        "secret_file": str(secrets.path("pipeline-webhook")),
        "credentials": str(secrets.path("pipeline-credentials")),
        "environment": {
            **config.mirrors(),
            "PATH": f"{PYTHON.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "SLIPWAY_DEPLOY_REPO": forge.remote("deploy"),
            "SLIPWAY_PYTHON_IMAGE": f"oci-archive:{base_image(state)}",
        },
    }
    (folder / "receiver.yaml").write_text(json.dumps(settings, indent=2))


def prepare_gate(state: Path, forge: Forge, secrets: Secrets) -> None:
    """The same for the gate, which judges pull requests of the deploy repository."""
    folder = state / GATE_NAME
    folder.mkdir(parents=True, exist_ok=True)
    secrets.get("gate-webhook")
    store = {"deploy-gate": {"username": GATE, "password": secrets.get(f"forge-{GATE}")}}
    secrets.put("gate-credentials", json.dumps(store))
    settings = {
        "listen": f"{config.HOST}:{config.GATE_PORT}",
        "state": str(folder),
        "event": "pull_request",
        "jenkinsfile": "ci/Jenkinsfile.deploy",
        "repository": f"{config.ORGANISATION}/deploy",
        "clone_url": forge.remote("source"),
        "secret_file": str(secrets.path("gate-webhook")),
        "credentials": str(secrets.path("gate-credentials")),
        "environment": {
            "PATH": f"{PYTHON.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "SLIPWAY_DEPLOY_REPO": forge.remote("deploy"),
        },
    }
    (folder / "receiver.yaml").write_text(json.dumps(settings, indent=2))


def base_image(state: Path) -> Path:
    """Where the archive of the application's base image is found, through a link that `use_base` sets."""
    return state / NAME / "python-base.tar"


def use_base(state: Path, archive: Path) -> None:
    """Let builds start from this archive."""
    link = base_image(state)
    if not (link.is_symlink() and link.readlink() == archive):
        link.unlink(missing_ok=True)
        link.symlink_to(archive)


def credentials(secrets: Secrets) -> None:
    """What the pipeline may use, and nothing else: the bot's login, and the keys that sign images and commits."""
    key = signing_key(secrets)
    store = {
        "deploy-repo": {"username": BOT, "password": secrets.get(f"forge-{BOT}")},
        "cosign-key": {"file": str(key)},
        "cosign-password": {"secret": secrets.get("cosign-password")},
        "commit-key": {"file": str(commit_key(secrets))},
    }
    secrets.put("pipeline-credentials", json.dumps(store))


def signing_key(secrets: Secrets) -> Path:
    """The private key, made once; its public half lies beside it as `cosign.pub`."""
    key = secrets.path("cosign.key")
    if not key.is_file():
        env = {"COSIGN_PASSWORD": secrets.get("cosign-password")}
        run([toolchain.tool("cosign"), "generate-key-pair"], cwd=secrets.folder, env=env)
        key.chmod(0o600)
    return key


def commit_key(secrets: Secrets) -> Path:
    """The secret OpenPGP key, made once."""
    if not secrets.exists("commit-key"):
        from pysequoia import Tsk

        secrets.put("commit-key", str(Tsk.generate(user_id=f"{BOT} <{BOT}@slipway.invalid>")))
    return secrets.path("commit-key")


def programs(state: Path) -> list[Program]:
    """What the supervisor runs: the pipeline and the gate, started anew when their code has changed."""
    receiver = [PYTHON, "-m", "slipway.pipeline.receiver", "--config"]
    code = hashlib.sha256()
    for folder in ("pipeline", "git"):
        for file in sorted((CHECKOUT / "scripts" / "slipway" / folder).glob("*.py")):
            code.update(file.read_bytes())
    env = {"SLIPWAY_CODE": code.hexdigest()}
    return [Program(name, [*receiver, state / name / "receiver.yaml"], env) for name in (NAME, GATE_NAME)]


def builds() -> list[dict]:
    """Every build that the receiver keeps, newest first."""
    try:
        return httpx.get(f"{BASE}/builds", timeout=10).raise_for_status().json()
    except httpx.HTTPError as exc:
        raise Unreachable(f"the pipeline does not answer: {exc}", fix="see supervisor/pipeline.log") from exc


def build_of(commit: str) -> dict | None:
    """The newest build of a source commit."""
    return next((build for build in builds() if build["commit"] == commit), None)


def log_tail(number: int, lines: int = 15) -> str:
    """The end of a build's log."""
    return "\n".join(_log(number)[-lines:])


def why(build: dict, lines: int = 30) -> str:
    """Which stage failed a build, and the end of what it printed."""
    failed = [stage["name"] for stage in build["stages"] if stage["status"] not in ("SUCCESS", "SKIPPED")]
    if not failed:
        return build["error"] or log_tail(build["number"], lines)
    branch = f"[{failed[-1].rpartition(' / ')[2]}] "
    log = _log(build["number"])
    shown = [line for line in log if branch in line[:80]] or log
    return f"stage {failed[-1]}: {build['error']}\n" + "\n".join(shown[-lines:])


def _log(number: int) -> list[str]:
    return httpx.get(f"{BASE}/builds/{number}/log", timeout=10).text.splitlines()
