"""The two halves, published and kept in step, against real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from slipway.errors import EditRefused, InvalidInput
from slipway.git.checkout import Checkout
from slipway.pair import publish

OVERLAY = "overlays/dev/board/kustomization.yaml"
TEMPLATE = "namespace: dev\nresources:\n- ../../../base/board\nimages:\n- name: app\n  newTag: unreleased\n"


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody."""
    who = ("-c", "user.name=t", "-c", "user.email=t@slipway.invalid")
    return subprocess.run(
        ["git", "-C", folder, *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


class Template:
    """This repository in small, and the remotes of its halves."""

    def __init__(self, folder: Path):
        self.folder = folder / "template"
        self.deploy, self.source = folder / "deploy.git", folder / "source.git"
        for remote in (self.deploy, self.source):
            subprocess.run(["git", "init", "-q", "--bare", "-b", "main", remote], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", self.folder], check=True)
        self.commit(
            {
                OVERLAY: TEMPLATE,
                "base/board/a.yaml": "a: 1\n",
                "apps/board/app.py": "x = 1\n",
                "README.md": "r",
            }
        )
        self.commit({"scripts/pair/deploy/README.md": "deploy half\n", "argocd/a.yaml": "a: 1\n"})

    def commit(self, files: dict[str, str]) -> str:
        """Write files and commit them."""
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "change")
        return git(self.folder, "rev-parse", "HEAD").strip()

    def publish(self, half: str):
        """Publish one half."""
        return publish(Checkout(self.folder), half, str(getattr(self, half)))

    def edit(self, remote: Path, scratch: Path, old: str, new: str) -> None:
        """Somebody changes the overlay in the remote."""
        subprocess.run(["git", "clone", "-q", remote, scratch], check=True)
        file = scratch / OVERLAY
        file.write_text(file.read_text().replace(old, new))
        git(scratch, "commit", "-qam", "by somebody")
        git(scratch, "push", "-q")


@pytest.fixture
def template(tmp_path: Path) -> Template:
    """A template that was never published."""
    return Template(tmp_path)


def test_each_half_has_its_own_files_and_nothing_of_the_other(template: Template) -> None:
    """The deploy half gets its own README in the place of this one."""
    template.publish("deploy")
    template.publish("source")
    assert git(template.deploy, "ls-tree", "--name-only", "main").split() == [
        "README.md",
        "argocd",
        "base",
        "overlays",
    ]
    assert git(template.deploy, "show", "main:README.md") == "deploy half\n"
    assert git(template.source, "ls-tree", "--name-only", "main").split() == ["README.md", "apps", "scripts"]


def test_the_same_commit_published_to_two_places_is_the_same_commit(
    template: Template, tmp_path: Path
) -> None:
    """Its time is the template's, so that images built from it are the same bytes on every platform."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", tmp_path / "elsewhere.git"], check=True)
    time = git(template.folder, "show", "-s", "--format=%ct", "HEAD")
    commit = template.publish("source").commit
    assert publish(Checkout(template.folder), "source", str(tmp_path / "elsewhere.git")).commit == commit
    assert git(template.source, "show", "-s", "--format=%ct", "main") == time


def test_a_second_publication_of_the_same_commit_is_a_no_op(template: Template) -> None:
    """Nothing to publish is a success and says so."""
    first = template.publish("deploy")
    again = template.publish("deploy")
    assert (again.changed, again.commit) == (False, first.commit)


def test_a_change_of_the_other_half_publishes_nothing(template: Template) -> None:
    """A source commit leaves the deploy repository alone."""
    first = template.publish("deploy")
    template.commit({"apps/board/app.py": "x = 2\n"})
    assert template.publish("deploy").commit == first.commit


def test_what_a_bump_wrote_survives_the_next_publication(template: Template, tmp_path: Path) -> None:
    """A new template never takes a deployment back."""
    template.publish("deploy")
    template.edit(template.deploy, tmp_path / "bump", "unreleased", "v1")
    template.commit(
        {OVERLAY: TEMPLATE.replace("namespace: dev", "namespace: development"), "base/board/b.yaml": "b: 1\n"}
    )
    published = template.publish("deploy")
    text = git(template.deploy, "show", f"main:{OVERLAY}")
    assert "newTag: v1" in text and "namespace: development" in text
    assert git(template.deploy, "rev-list", "--count", "main").strip() == "3"
    assert git(template.deploy, "rev-list", "--merges", "--count", "main").strip() == "0"
    assert template.publish("deploy").commit == published.commit


def test_lines_changed_on_both_sides_are_refused_and_nothing_is_pushed(
    template: Template, tmp_path: Path
) -> None:
    """A conflict is for people; the paths are named."""
    template.publish("deploy")
    template.edit(template.deploy, tmp_path / "theirs", "namespace: dev", "namespace: theirs")
    before = git(template.deploy, "rev-parse", "main")
    template.commit({OVERLAY: TEMPLATE.replace("namespace: dev", "namespace: ours")})
    with pytest.raises(EditRefused, match=OVERLAY):
        template.publish("deploy")
    assert git(template.deploy, "rev-parse", "main") == before


def test_a_repository_that_was_not_published_from_here_is_refused(template: Template, tmp_path: Path) -> None:
    """Nobody's history is merged with ours by accident."""
    other = tmp_path / "other"
    subprocess.run(["git", "init", "-q", "-b", "main", other], check=True)
    (other / "f").write_text("x")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "unrelated")
    git(other, "push", "-q", str(template.deploy), "main")
    with pytest.raises(InvalidInput, match="was not published from this one"):
        template.publish("deploy")


def test_publishing_leaves_index_and_work_tree_alone(template: Template) -> None:
    """A developer with half-done work can publish."""
    (template.folder / "apps/board/app.py").write_text("half done\n")
    (template.folder / "new").write_text("x")
    before = git(template.folder, "status", "--porcelain")
    template.publish("source")
    assert git(template.folder, "status", "--porcelain") == before
    assert git(template.source, "show", "main:apps/board/app.py") == "x = 1\n"
