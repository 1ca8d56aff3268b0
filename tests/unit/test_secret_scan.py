"""Nothing in this repository's history looks like a secret, and the scan that says so finds what is planted."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from slipway.paths import CHECKOUT
from slipway.platform.preflight import process_commands

from tests import secret_scan
from tests.cli.bump_lab import git
from tests.secret_scan import Allowed, Finding


def test_nothing_in_the_history_looks_like_a_secret() -> None:
    """In no file, message or name of any commit; and every exception is needed."""
    shallow = git("rev-parse", "--is-shallow-repository", cwd=CHECKOUT).strip()
    assert shallow == "false", "only a clone with the whole history can be looked at"
    found = secret_scan.scan(secret_scan.history(CHECKOUT))
    entries = secret_scan.allowed("history")
    assert secret_scan.unexplained(found, entries) == []
    assert secret_scan.unused(found, entries) == []


# The scan itself. No secret is written out below, or the history would hold it.


def _token() -> str:
    """A JWT, as Kubernetes and Argo CD issue them."""

    def part(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'slipway:apiKey'})}." + "c2lnbmF0dXJl" * 3


SECRETS = {
    "an AWS key id": "key: " + "AKIA" + "2E0A8F3B244C9986",
    "a private key": "-----BEGIN RSA" + " PRIVATE KEY-----",
    "a login in an address": "https://bot:" + "Xk29vQpt" + "@forge.example/slipway/deploy.git",
    "a token of Slack": "hook: " + "xoxb-" + "263594206564-" + "FGqddMF8t08v8N7Oq4i57vs1",
    "a token of GitHub": "use " + "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx",
    "a token of Argo CD": "auth " + _token(),
    "a password": "password" + " = " + '"Xk29vQptR4mB1cYz7"',
}
RANDOM = '"' + "8f14e45fceea167a5a36dedd4bea2543" + '"'


class Repository:
    """A repository with one innocent commit."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        git("init", "-q", "-b", "main", cwd=folder)
        self.commit("README.md", "innocent")

    def commit(self, path: str, text: str, message: str = "a change") -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        git("add", "-A", cwd=self.folder)
        git("commit", "-qm", message, cwd=self.folder)


def in_a_file_deleted_since(folder: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In a commit that the next one took back."""
    repository = Repository(folder / "r")
    repository.commit("tests/unit/x.py", f"one\n{secret}\n")
    git("rm", "-q", "tests/unit/x.py", cwd=repository.folder)
    git("commit", "-qm", "gone", cwd=repository.folder)
    return secret_scan.history(repository.folder)


def in_a_merge_of_another_branch(folder: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In a file that only the merge itself made, on a branch that is not checked out."""
    repository = Repository(folder / "r")
    git("checkout", "-qb", "side", cwd=repository.folder)
    repository.commit("side", "x")
    git("checkout", "-qb", "other", "main", cwd=repository.folder)
    git("merge", "-q", "--no-ff", "--no-commit", "side", cwd=repository.folder)
    repository.commit("merged", secret)
    git("checkout", "-q", "main", cwd=repository.folder)
    return secret_scan.history(repository.folder)


def in_a_commit_message(folder: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In what somebody wrote about a commit."""
    repository = Repository(folder / "r")
    repository.commit("a", "b", f"Try this\n\n{secret}")
    return secret_scan.history(repository.folder)


def in_a_tag(folder: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In the message of a tag."""
    repository = Repository(folder / "r")
    git("tag", "-a", "v1", "-m", secret, cwd=repository.folder)
    return secret_scan.history(repository.folder)


def in_a_layer(folder: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In a file of an image, compressed."""
    (folder / "settings.py").write_text(f"# settings\n{secret}\n")
    with tarfile.open(folder / "layer.tar.gz", "w:gz") as archive:
        archive.add(folder / "settings.py", "app/settings.py")
    return secret_scan.layer("image", folder / "layer.tar.gz", ("/site-packages/",))


def in_an_image_s_environment(_: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In the configuration of an image."""
    document = {"config": {"Env": ["PATH=/bin", f"SETTING={secret}"]}, "history": []}
    return secret_scan.config("image", json.dumps(document).encode())


def in_an_image_s_history(_: Path, secret: str) -> Iterable[tuple[str, str]]:
    """In the command that made a layer."""
    document = {"config": {}, "history": [{"created_by": f"RUN true\n{secret}"}]}
    return secret_scan.config("image", json.dumps(document).encode())


def in_a_log(_: Path, secret: str) -> Iterable[tuple[str, str]]:
    """Far into a long line, and among bytes that are no text in any encoding."""
    return secret_scan.text_lines("log", b"\xff first\n" + b"x" * 12_345 + f" {secret}\n".encode())


PLACES = (
    in_a_file_deleted_since,
    in_a_merge_of_another_branch,
    in_a_commit_message,
    in_a_tag,
    in_a_layer,
    in_an_image_s_environment,
    in_an_image_s_history,
    in_a_log,
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_planted_secret_is_found(
    tmp_path: Path, place: Callable[[Path, str], Iterable[tuple[str, str]]], secret: str
) -> None:
    """Whatever it is and wherever it lies; no exception is about it, and the same place without it is clean."""
    found = secret_scan.scan(place(tmp_path, secret), entropy=False)
    entries = [entry for part in PARTS for entry in secret_scan.allowed(part)]
    assert secret_scan.unexplained(found, entries), found
    (tmp_path / "clean").mkdir()
    assert secret_scan.scan(place(tmp_path / "clean", "innocent")) == []


PARTS = ("history", "forge", "images", "logs", "processes")


@pytest.mark.parametrize("place", PLACES[:-1], ids=lambda place: place.__name__)
def test_what_looks_random_is_found(tmp_path: Path, place: Callable) -> None:
    """In history and images, where digests are few; in logs every line has one."""
    assert secret_scan.scan(place(tmp_path, f"key: {RANDOM}"))


@pytest.mark.parametrize("options", [("{}",), ("--url={}",), ("--name", "{}")], ids=" ".join)
def test_a_planted_argument_is_found(options: tuple[str, ...]) -> None:
    """In a process that runs, alone, behind an equals sign, and behind an option."""
    value = SECRETS["a token of GitHub"].split()[1]
    command = [
        sys.executable,
        "-c",
        "print(flush=True); input()",
        *(option.format(value) for option in options),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        # Before it runs, the kernel may not have its arguments yet.
        assert process.stdout.readline() == b"\n"
        found = secret_scan.scan(secret_scan.arguments([process_commands()[process.pid]]))
    finally:
        process.communicate(b"\n")
    assert "GitHubTokenDetector" in {one.detector for one in found}


WORD = "Xk29vQpt" + "R4mB1cYz7"
"""Of no known form."""


@pytest.mark.parametrize("options", [["--password", WORD], [f"--password={WORD}"], [f"DB_PASSWORD={WORD}"]])
def test_a_password_behind_its_name_is_found(options: list[str]) -> None:
    """Where only the name of the option says what the word is."""
    words = ["server", "--listen", "0.0.0.0"]
    command = "\0".join([*words, *options]) + "\0"
    found = secret_scan.scan(secret_scan.arguments([command]), entropy=False)
    assert {(one.detector, one.value) for one in found} == {("KeywordDetector", WORD)}
    assert secret_scan.scan(secret_scan.arguments(["\0".join(words) + "\0"])) == []


def test_a_password_in_an_image_s_environment_is_found() -> None:
    """`NAME=value`, as images keep it."""
    document = {"config": {"Env": ["PATH=/bin", f"DB_PASSWORD={WORD}"]}}
    found = secret_scan.scan(secret_scan.config("image", json.dumps(document).encode()), entropy=False)
    assert {(one.detector, one.value) for one in found} == {("KeywordDetector", WORD)}


def test_a_failure_does_not_print_the_secret() -> None:
    """It says what, where, and enough to find it."""
    [text] = secret_scan.unexplained([Finding("AWSKeyDetector", "a/b.py", "A" * 20)], [])
    assert "AWSKeyDetector in a/b.py" in text and "A" * 4 not in text


def test_an_exception_is_about_its_detector_its_paths_and_the_whole_value() -> None:
    """And one that is about nothing is told."""
    entry = Allowed("KeywordDetector", ("tests/*",), "test|x{3}", "made up")
    covered = [Finding("KeywordDetector", "tests/unit/a.py", value) for value in ("test", "xxx")]
    assert secret_scan.unexplained(covered, [entry]) == []
    others = [
        Finding("BasicAuthDetector", "tests/unit/a.py", "test"),
        Finding("KeywordDetector", "scripts/a.py", "test"),
        Finding("KeywordDetector", "tests/unit/a.py", "test-and-more"),
    ]
    assert len(secret_scan.unexplained(others, [entry])) == 3
    assert secret_scan.unused(covered, [entry]) == [] and secret_scan.unused(others, [entry]) == ["made up"]


def test_an_image_s_packages_are_left_out_and_nothing_else(tmp_path: Path) -> None:
    """By the part of their path."""
    for name in ("app.py", "package.py"):
        (tmp_path / name).write_text(SECRETS["a private key"])
    with tarfile.open(tmp_path / "layer.tar", "w") as archive:
        archive.add(tmp_path / "app.py", "app/app.py")
        archive.add(tmp_path / "package.py", "opt/venv/lib/python3.11/site-packages/a/package.py")
    found = secret_scan.scan(secret_scan.layer("image", tmp_path / "layer.tar", ("/site-packages/",)))
    assert {one.where for one in found} == {"image app/app.py"}
