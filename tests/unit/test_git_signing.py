"""Commits that the commands write are signed as Git signs them: GnuPG verifies them by Git's own command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pysequoia import Tsk
from slipway.errors import InvalidInput
from slipway.git.checkout import Checkout
from slipway.git.signing import KEY, UNLOCK, signed
from slipway.git.store import Author, Store

PLAIN = b"tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b.c> 1 +0000\ncommitter a <a@b.c> 1 +0000\n\nhi\n"
AUTHOR = Author()


@pytest.fixture(scope="module")
def key() -> Tsk:
    """A key as `slipway up` makes it for the pipeline."""
    return Tsk.generate(user_id=str(AUTHOR))


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A secret key with the password `open sesame`, made by GnuPG."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    env = {**os.environ, "GNUPGHOME": str(home)}
    gpg = ["gpg", "--quiet", "--batch", "--pinentry-mode=loopback", "--passphrase-fd=0"]
    for asked in (
        ["--quick-generate-key", "a <a@b.c>", "ed25519", "sign", "never"],
        ["--armor", "--export-secret-keys"],
    ):
        argv = [*gpg, *asked]
        done = subprocess.run(argv, env=env, input="open sesame", capture_output=True, text=True, check=True)
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=env, check=True)
    return done.stdout


@pytest.fixture
def keyring(tmp_path: Path, key: Tsk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the secret key, and GnuPG knows the public half."""
    secret, public, home = tmp_path / "secret.asc", tmp_path / "public.asc", tmp_path / "gnupg"
    secret.write_text(str(key))
    public.write_text(str(key.extract_certificate()))
    home.mkdir(mode=0o700)
    monkeypatch.setenv(KEY, str(secret))
    monkeypatch.setenv("GNUPGHOME", str(home))
    subprocess.run(["gpg", "--quiet", "--batch", "--import", public], check=True)


def git(folder: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Git in a repository."""
    argv = ["git", "-C", folder, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, **options)


def repository(folder: Path) -> tuple[str, str]:
    """A bare repository with one commit: its tree and its id."""
    subprocess.run(["git", "init", "--quiet", "--bare", folder], check=True)
    tree = git(folder, "mktree", input="", check=True).stdout.strip()
    made = Checkout(folder)
    first = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", input=PLAIN.decode(), check=True)
    assert made.tree_of(first.stdout.strip()) == tree
    return tree, first.stdout.strip()


def verified(folder: Path, commit: str) -> str:
    """What GnuPG says of a commit, G for good or U for good by a key that nobody vouched for; N without a signature."""
    return git(folder, "log", "-1", "--format=%G?", commit, check=True).stdout.strip()


@pytest.mark.usefixtures("keyring")
def test_a_commit_of_the_writing_commands_is_signed(tmp_path: Path) -> None:
    """bump, promote, rollback, release and freeze write by this; text that is not ASCII, and a long message, too."""
    folder = tmp_path / "store"
    with Store(folder, "", {}) as store:
        tree, first = store.write("tree", b""), store.write("commit", PLAIN)
        commit = store.write_commit(tree, first, "dev: schöne Grüße\n\n" + "word " * 1000, AUTHOR)
    assert verified(folder, commit) == "U"
    assert git(folder, "fsck", "--strict", "--no-dangling").returncode == 0
    assert git(folder, "show", "-s", "--format=%s", commit).stdout == "dev: schöne Grüße\n"
    tampered = git(folder, "cat-file", "commit", commit).stdout.replace("schöne", "andere")
    other = git(folder, "hash-object", "-t", "commit", "-w", "--stdin", input=tampered).stdout.strip()
    assert verified(folder, other) == "B"


@pytest.mark.usefixtures("keyring")
def test_a_publication_s_commit_is_signed(tmp_path: Path) -> None:
    """The same commit but for its signature."""
    folder = tmp_path / "checkout"
    _, first = repository(folder)
    commit = Checkout(folder).sign(first)
    assert (verified(folder, first), verified(folder, commit)) == ("N", "U")
    fields = "--format=%T %P %an %ae %at %ct %B"
    assert git(folder, "show", "-s", fields, commit).stdout == git(folder, "show", "-s", fields, first).stdout


def test_without_a_key_nothing_changes(tmp_path: Path) -> None:
    """So that the same content is the same commit, as it was before."""
    folder = tmp_path / "checkout"
    _, first = repository(folder)
    assert signed(PLAIN, {}) == PLAIN
    assert Checkout(folder).sign(first) == first


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "No data"),
        ("no key at all", "cannot sign"),
        ("public", "No suitable signing subkey"),
        ("locked", "secret key material is encrypted"),
    ],
)
def test_a_key_that_cannot_sign_is_refused(
    tmp_path: Path, key: Tsk, locked: str, content: str | None, words: str
) -> None:
    """Rather than writing what Argo CD will not take; in one line, with what to do."""
    file = tmp_path / "key"
    text = {"public": str(key.extract_certificate()), "locked": locked}.get(content or "", content)
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidInput, match=words) as refused:
        signed(PLAIN, {KEY: str(file)})
    assert str(file) in refused.value.message and "\n" not in refused.value.message and refused.value.fix


def test_a_key_with_a_password_signs_with_it(tmp_path: Path, locked: str) -> None:
    """The password comes from the environment, too, and is in no argument."""
    file = tmp_path / "key"
    file.write_text(locked)
    assert b"\ngpgsig -----BEGIN PGP SIGNATURE-----\n" in signed(
        PLAIN, {KEY: str(file), UNLOCK: "open sesame"}
    )
    with pytest.raises(InvalidInput, match="cannot sign"):
        signed(PLAIN, {KEY: str(file), UNLOCK: "another"})
