"""SSH and HTTPS remotes: how they are reached, and what is said when they are not."""

import json
import os
from pathlib import Path

import pytest
from slipway.errors import RemoteRefused, Unreachable
from slipway.git.remote import Proposal, RemoteRepo

from tests.cli.bump_lab import Deploy, GitServer
from tests.unit.tls_lab import secure

PATH = "overlays/dev/board/kustomization.yaml"
FILES = {PATH: "images: []\n", "overlays/dev/other/kustomization.yaml": "images: []\n"}
SECRET = "s3cret-pass"


@pytest.fixture
def deploy(tmp_path):
    return Deploy.create(tmp_path / "deploy.git", FILES)


def fake_ssh(tmp_path: Path, monkeypatch, script: str) -> Path:
    """Stand in for ssh: `script` gets the command to run there as $command; returns a log of the arguments."""
    log, path = tmp_path / "ssh.log", tmp_path / "ssh"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {log}\nfor command; do :; done\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(path))
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    return log


@pytest.mark.parametrize("form", ["ssh://git@deploy.example:2222{}", "git@deploy.example:{}"])
def test_ssh_remote_is_read_and_written(deploy, tmp_path, monkeypatch, form):
    """Both forms of an SSH address work, with as little fetched as over HTTP."""
    deploy.commit("more", {f"overlays/dev/app-{n}/kustomization.yaml": f"n: {n}\n" for n in range(100)})
    log = fake_ssh(tmp_path, monkeypatch, 'exec sh -c "$command"')
    with RemoteRepo(form.format(deploy.path)) as repo:
        landed = repo.update(lambda tip: Proposal({PATH: tip.read([PATH])[PATH] + b"# mine\n"}, "mine"))
        counted = repo.store.git("count-objects", "-v").stdout
    assert deploy.tip == landed.commit and deploy.read(PATH) == "images: []\n# mine\n"
    assert (
        sum(int(line.split()[1]) for line in counted.splitlines() if line.startswith(("count", "in-pack")))
        < 20
    )
    assert "git@deploy.example" in log.read_text() and "git-receive-pack" in log.read_text()


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("git@deploy.example: Permission denied (publickey).", "SSH key"),
        ("Host key verification failed.", "known_hosts"),
    ],
)
def test_C22_ssh_refusal_is_told_at_once(tmp_path, monkeypatch, says, told):
    """A missing key or an unknown host is named after one try, with what to do."""
    log = fake_ssh(tmp_path, monkeypatch, f"echo '{says}' >&2; exit 255")
    with RemoteRepo("git@deploy.example:deploy.git") as repo, pytest.raises(RemoteRefused) as caught:
        repo.tip()
    assert told in caught.value.fix and says.partition(":")[2].strip() in caught.value.message
    assert len(log.read_text().splitlines()) == 1


@pytest.fixture
def https(tmp_path, deploy, monkeypatch):
    """The repository over HTTPS with a certificate that only `authority.pem` vouches for, for one user."""
    lab = GitServer(tmp_path, ("bot", SECRET))
    secure(lab, tmp_path)
    monkeypatch.setenv("SLIPWAY_GIT_USERNAME", "bot")
    monkeypatch.setenv("SLIPWAY_GIT_PASSWORD", SECRET)
    with lab:
        yield f"{lab.url}/deploy.git"


def test_https_with_a_private_authority(https, deploy, tmp_path, monkeypatch):
    """Git's own setting for a private authority is enough to read and write."""
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "authority.pem"))
    with RemoteRepo(https) as repo:
        landed = repo.update(lambda tip: Proposal({PATH: b"images: [1]\n"}, "mine"))
    assert deploy.tip == landed.commit


def test_https_with_an_unknown_authority_is_told_at_once(https):
    """A certificate that nobody here vouches for is not tried again, and the setting to use is named."""
    with RemoteRepo(https) as repo, pytest.raises(Unreachable, match="certificate") as caught:
        repo.tip()
    assert "GIT_SSL_CAINFO" in caught.value.fix and caught.value.exit_code == 6


def test_B9_password_is_in_no_argument_file_or_trace(https, deploy, tmp_path, monkeypatch):
    """No process that Git starts has the password in its arguments; no file of ours and no trace of Git's has it."""
    trace, seen = tmp_path / "trace", tmp_path / "curl"
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("GIT_TRACE2_EVENT", str(trace))
    for name in ("GIT_TRACE", "GIT_TRACE_CURL", "GIT_TRACE_PACKET"):
        monkeypatch.setenv(name, str(seen))
    with RemoteRepo(https) as repo:
        repo.update(lambda tip: Proposal({PATH: b"images: [1]\n"}, "mine"))
        files = [path.read_bytes() for path in repo.store.folder.parent.rglob("*") if path.is_file()]
    started = [event["argv"] for event in map(json.loads, trace.read_text().splitlines()) if "argv" in event]
    assert any("remote-https" in word for argv in started for word in argv)
    assert not any(SECRET in word for argv in started for word in argv)
    assert "Authorization: Basic <redacted>" in seen.read_text()
    assert not any(SECRET.encode() in data for data in [*files, trace.read_bytes(), seen.read_bytes()])
    assert deploy.count == 2 and SECRET in os.environ["SLIPWAY_GIT_PASSWORD"]
