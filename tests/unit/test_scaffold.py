"""The parts of `slipway new`: names, lock files, additions to files, writing all or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from slipway import paths
from slipway.errors import EditRefused, InvalidInput
from slipway.scaffold import edits, lock
from slipway.scaffold.names import check_name, check_owner, module_of
from slipway.scaffold.plan import Plan, fill
from slipway.scaffold.write import write

PIPELINE = (paths.CHECKOUT / "ci" / "pipeline.yaml").read_text()

LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via -r apps/board/requirements.in
beta-core==2.0 \\
    --hash=sha256:bb
    # via
    #   -r apps/board/requirements.in
    #   alpha
    #   other
gamma==3.0 \\
    --hash=sha256:cc
    # via beta-core
other==4.0 \\
    --hash=sha256:dd
    # via slipway (pyproject.toml)
"""


@pytest.mark.parametrize("name", ["a", "hello", "hello-2", "a" * 40])
def test_a_name_that_is_a_folder_a_service_and_a_path_is_taken(name: str) -> None:
    """Letters first, then digits and hyphens too."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Hello", "9lives", "-hello", "hello-", "hel_lo", "hel.lo", "hel/lo", "..", "hello\n", "ä", "a" * 41],
)
def test_any_other_name_is_refused_with_what_it_may_be(name: str) -> None:
    """A Service's name begins with a letter, and 40 characters leave room for the environment's."""
    with pytest.raises(InvalidInput) as refused:
        check_name(name)
    assert "at most 40 of a-z 0-9 -" in refused.value.fix


@pytest.mark.parametrize("name", ["api", "metrics", "static", "components"])
def test_a_reserved_name_is_refused_with_what_it_is(name: str) -> None:
    """Paths of the application at /, and folders of the deploy repository."""
    with pytest.raises(InvalidInput, match=f"{name} is reserved: it is a "):
        check_name(name)


@pytest.mark.parametrize("owner", ["@ada", "@slipway/greeters", "ada@example.com"])
def test_an_owner_is_what_a_forge_knows(owner: str) -> None:
    """A user, a team or a mail address."""
    assert check_owner(owner) == owner


@pytest.mark.parametrize("owner", ["ada", "@", "@a b", "@a\n* @mallory", "@a/b/c", "#a@b.c"])
def test_an_owner_that_would_become_another_line_is_refused(owner: str) -> None:
    """CODEOWNERS has no quoting."""
    with pytest.raises(InvalidInput):
        check_owner(owner)


def test_a_package_is_never_called_like_a_library() -> None:
    """An application called json must not hide the module of that name."""
    assert module_of("json") == "json_app"
    assert module_of("hello-2") == "hello_2_app"


def test_a_lock_holds_what_is_needed_and_who_needs_it() -> None:
    """With the hashes of the larger one; what others brought is left out, as a reason and as a requirement."""
    assert lock.subset(LOCK, "Alpha\n", "apps/hello/requirements.in") == (
        "alpha==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:ab\n"
        "    # via\n    #   -c requirements.lock\n    #   -r apps/hello/requirements.in\n"
        "beta-core==2.0 \\\n    --hash=sha256:bb\n    # via\n    #   -c requirements.lock\n    #   alpha\n"
        "gamma==3.0 \\\n    --hash=sha256:cc\n    # via\n    #   -c requirements.lock\n    #   beta-core\n"
    )


def test_a_requirement_that_is_not_locked_is_refused_by_name() -> None:
    """No version is made up."""
    with pytest.raises(EditRefused, match="no version of delta is locked"):
        lock.subset(LOCK, "alpha\ndelta\n", "apps/hello/requirements.in")


def test_the_boards_own_lock_comes_out_of_the_larger_one_as_it_is() -> None:
    """What is derived here is what `make lock` resolves: requirements, hashes, order and comments."""
    folder = paths.CHECKOUT / "apps" / "board" / "frontend"
    file = "apps/board/frontend/requirements.in"
    derived = lock.subset(
        (paths.CHECKOUT / "requirements.lock").read_text(), (folder / "requirements.in").read_text(), file
    )
    assert lock.parse(derived).keys() >= lock.parse((folder / "requirements.lock").read_text()).keys()
    for name, pin in lock.parse((folder / "requirements.lock").read_text()).items():
        assert lock.parse(derived)[name].lines == pin.lines


def test_an_image_is_added_behind_the_others_and_every_other_byte_stays() -> None:
    """Comments, order and blank lines are people's."""
    text = edits.add_image(PIPELINE, "hello", "slipway/hello", ["apps/hello/requirements.lock"])
    entry = (
        "  hello:\n    dockerfile: images/hello/Dockerfile\n"
        "    dependencies: [apps/hello/requirements.lock]\n    repository: slipway/hello\n"
    )
    assert text.count(entry) == 1 and text.replace(entry, "") == PIPELINE
    assert list(yaml.safe_load(text)["images"])[-1] == "hello"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("images:\n    a:\n        repository: x", "images:\n    a:\n        repository: x\n    b:\n        dockerfile: images/b/Dockerfile\n        repository: y\n"),
        ("images:\r\n  a:\r\n    repository: x\r\ntest: 1\r\n", "images:\r\n  a:\r\n    repository: x\r\n  b:\r\n    dockerfile: images/b/Dockerfile\r\n    repository: y\r\ntest: 1\r\n"),
        ("images:\n  a: {repository: x}\n\n# of the tests\ntest: 1\n", "images:\n  a: {repository: x}\n  b:\n    dockerfile: images/b/Dockerfile\n    repository: y\n\n# of the tests\ntest: 1\n"),
        ("images:\n  a:\n    dependencies:\n    - one\n    - two\n", "images:\n  a:\n    dependencies:\n    - one\n    - two\n  b:\n    dockerfile: images/b/Dockerfile\n    repository: y\n"),
    ],
    ids=["four-spaces-no-newline", "carriage-returns", "flow-and-comment-after", "list-last"],
)  # fmt: skip
def test_an_image_is_written_as_its_neighbours_are(before: str, after: str) -> None:
    """Indentation and line ends are the file's own."""
    assert edits.add_image(before, "b", "y", []) == after


@pytest.mark.parametrize("text", ["images: {}\n", "images: {a: {repository: x}}\n", "test: 1\n", "- a\n", ""])
def test_a_pipeline_that_is_no_block_is_left_to_people(text: str) -> None:
    """It is refused, not guessed at."""
    with pytest.raises(EditRefused, match="`images` is no block"):
        edits.add_image(text, "b", "y", [])


def test_an_owner_comes_last_so_that_it_counts() -> None:
    """Of all lines that match, the last one decides."""
    assert edits.add_owner("* @all", ["/apps/b/", "/images/b/"], "@b") == (
        "* @all\n/apps/b/    @b\n/images/b/  @b\n"
    )


def test_a_template_with_a_name_that_has_no_value_is_an_error() -> None:
    """Nothing is written with a hole in it."""
    assert fill("a <<name>> b << c", {"name": "x"}) == "a x b << c"
    with pytest.raises(KeyError):
        fill("<<nobody>>", {})


def files(root: Path) -> dict[str, bytes | None]:
    """Everything below a folder, folders too."""
    return {p.relative_to(root).as_posix(): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


def plan(**created: str) -> Plan:
    """A plan that creates some files and changes one."""
    return Plan("b", "container", "r/b", ("source",), created, {"kept.txt": "new\n"})


def test_a_plan_is_written_whole(tmp_path: Path) -> None:
    """Folders are made, a changed file keeps its mode."""
    kept = tmp_path / "kept.txt"
    kept.write_text("old\n")
    kept.chmod(0o640)
    write(plan(**{"one/two/a.txt": "a\r\n"}), tmp_path)
    assert files(tmp_path) == {"kept.txt": b"new\n", "one": None, "one/two": None, "one/two/a.txt": b"a\r\n"}
    assert kept.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "last", ["wall/b.txt", "there.txt"], ids=["no folder can be made", "a file is there"]
)
def test_a_plan_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path, last: str) -> None:
    """What was made before is taken back, folders too; what was there stays."""
    for name in ("kept.txt", "wall", "there.txt"):
        (tmp_path / name).write_text("old\n")
    before = files(tmp_path)
    with pytest.raises(EditRefused, match="nothing was written"):
        write(plan(**{"one/two/a.txt": "a", last: "b"}), tmp_path)
    assert files(tmp_path) == before


def test_a_change_that_fails_takes_the_created_files_back(tmp_path: Path) -> None:
    """The files to change come last; one whose folder is missing stops everything."""
    before = files(tmp_path)
    changed = Plan("b", "container", "r/b", ("source",), {"a.txt": "a"}, {"new.txt": "x", "no/kept.txt": "y"})
    with pytest.raises(EditRefused, match="nothing was written"):
        write(changed, tmp_path)
    assert files(tmp_path) == before
