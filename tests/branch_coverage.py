"""Branch coverage of the modules that edit files and write to Git: `python -m tests.branch_coverage`.

Prints a table, and every branch that no test takes with the reason that `uncovered_branches.yaml` gives. Fails when a
branch has no reason there, and when the file names one that is taken or gone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "scripts" / "slipway"
LISTED = Path(__file__).with_name("uncovered_branches.yaml")
EDIT = (
    "registry/references",
    "yaml_tree",
    "kustomization/images",
    "kustomization/edit",
    "policy/edit",
)
GIT = (
    *(f"git/{name}" for name in ("remote", "access", "fetch", "history", "store")),
    *(f"writing/{name}" for name in ("lineage", "order", "bump", "change")),
)
TESTS = (
    *(
        f"tests/unit/test_{name}.py"
        for name in (
            *("references", "yaml_tree", "images_edit", "images_edit_properties", "policy_edit"),
            *("git", "git_transport", "git_history", "lineage", "change", "past", "policy", "writer"),
        )
    ),
    *(
        f"tests/cli/test_{name}.py"
        for name in ("bump", "set_image", "promote", "rollback", "release", "freeze")
    ),
)
_SETTINGS = """[run]
branch = true
parallel = true
patch = subprocess
disable_warnings = no-data-collected
data_file = {folder}/data
include =
    {files}
[report]
exclude_also =
    if TYPE_CHECKING:
"""


class Branch(NamedTuple):
    """One way out of a line, known by the text of both ends, so that it stays the same when lines move."""

    module: str
    function: str
    line: str
    to: str


def main() -> int:
    """Run the tests, print what they leave out; the code is 1 when that is not what is listed, 2 when they fail."""
    with tempfile.TemporaryDirectory(prefix="slipway-coverage-") as folder:
        failed, report = _measure(Path(folder))
    found = {branch: line for branch, line in _missing(report)}
    listed = {Branch(*(entry[key] for key in Branch._fields)): entry["reason"] for entry in _listed()}
    print(_table(report))
    for branch, line in sorted(found.items(), key=lambda item: (item[0].module, item[1])):
        reason = listed.get(branch, "NO REASON GIVEN")
        print(f"{branch.module}.py:{line} {branch.function}: `{branch.line}` → `{branch.to}`: {reason}")
    for branch in listed.keys() - found.keys():
        print(f"{LISTED.name} names a branch that is taken or gone: {branch}")
    return 2 if failed else int(listed.keys() != found.keys())


def _measure(folder: Path) -> tuple[bool, dict]:
    """Whether a test failed, and the report of coverage.py."""
    settings = folder / "settings"
    files = "\n    ".join(str(SOURCES / f"{name}.py") for name in (*EDIT, *GIT))
    settings.write_text(_SETTINGS.format(folder=folder, files=files))
    tests = [test for test in TESTS if (ROOT / test).exists()]
    pytest = ["pytest", *tests, "--quiet", "--numprocesses", "2", "-p", "no:cacheprovider"]
    coverage = [sys.executable, "-m", "coverage"]
    ran = subprocess.run([*coverage, "run", "--rcfile", settings, "-m", *pytest], cwd=ROOT)
    quiet = {"cwd": ROOT, "check": True, "stdout": subprocess.DEVNULL}
    subprocess.run([*coverage, "combine", "--rcfile", settings], **quiet)
    subprocess.run([*coverage, "json", "--rcfile", settings, "-o", folder / "report"], **quiet)
    return ran.returncode != 0, json.loads((folder / "report").read_text())


def _missing(report: dict) -> Iterator[tuple[Branch, int]]:
    for path, data in report["files"].items():
        text = (ROOT / path).read_text().splitlines()
        for function, part in data["functions"].items():
            for start, end in part["missing_branches"]:
                to = text[end - 1].strip() if end > 0 else "the end"
                yield Branch(_module(path), function or "module", text[start - 1].strip(), to), start


def _module(path: str) -> str:
    return str((ROOT / path).relative_to(SOURCES).with_suffix(""))


def _listed() -> list[dict[str, str]]:
    return yaml.safe_load(LISTED.read_text()) or [] if LISTED.exists() else []


def _table(report: dict) -> str:
    lines = [f"{'module':<20} {'branches':>9} {'taken':>7} {'part':>8}"]
    for path, data in sorted(report["files"].items()):
        lines.append(_row(_module(path), data["summary"]))
    return "\n".join([*lines, _row("all", report["totals"])])


def _row(name: str, summary: dict) -> str:
    every, taken = summary["num_branches"], summary["covered_branches"]
    return f"{name:<20} {every:>9} {taken:>7} {100 * taken / every if every else 100:>7.1f} %"


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
