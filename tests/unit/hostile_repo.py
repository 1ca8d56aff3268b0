"""A repository in which every overlay but one is hostile: `tests/fixtures/hostile/<mistake>` side by side.

A fixture says in a comment `# expect: <rule>…` what it must be refused with, and the file that has the comment is
where a finding should point. What is too large to be kept is made here.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures" / "hostile"
MISTAKES = sorted(folder.name for folder in FIXTURES.iterdir())
EXHAUSTING = ("bases-multiply", "many-values")
"""Those that end when time or memory is used up."""
_HEAD = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
_CONFIG_MAP = (
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\n  namespace: dev\ndata:\n  key: value\n"
)
_APPLICATION_SET = """\
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata:
  name: dev
  namespace: argocd
spec:
  goTemplate: true
  goTemplateOptions: [missingkey=error]
  generators:
  - git:
      repoURL: https://git.example/deploy.git
      revision: refs/heads/main
      directories:
      - path: overlays/dev/*
  template:
    metadata:
      name: dev-{{.path.basename}}
    spec:
      project: dev
      source:
        repoURL: https://git.example/deploy.git
        targetRevision: refs/heads/main
        path: '{{.path.path}}'
      destination:
        server: https://kubernetes.default.svc
        namespace: dev
"""


def build(root: Path, mistakes: list[str]) -> Path:
    """Write the repository with these mistakes and one overlay without any, `overlays/dev/innocent`."""
    for mistake in mistakes:
        for source in [
            path for path in (FIXTURES / mistake).rglob("*") if path.is_symlink() or path.is_file()
        ]:
            below = source.relative_to(FIXTURES / mistake).as_posix().replace("dev/hostile", f"dev/{mistake}")
            target = root / below
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_symlink():
                target.symlink_to(source.readlink())
            else:
                target.write_text(source.read_text().replace("../hostile", f"../{mistake}"))
        _make_large(mistake, root / "overlays" / "dev" / mistake)
    write(root / "overlays/dev/innocent/kustomization.yaml", f"{_HEAD}resources:\n- settings.yaml\n")
    write(root / "overlays/dev/innocent/settings.yaml", _CONFIG_MAP)
    write(root / "argocd/clusters/here/kustomization.yaml", f"{_HEAD}resources:\n- dev.yaml\n")
    write(root / "argocd/clusters/here/dev.yaml", _APPLICATION_SET)
    return root


def expected(mistake: str) -> set[str]:
    """The rules of which one must be named."""
    for file in (FIXTURES / mistake).rglob("*.yaml"):
        if not file.is_symlink() and (
            found := re.search(r"^# expect: (.*)$", file.read_text(), re.MULTILINE)
        ):
            return set(found[1].split())
    raise AssertionError(f"{mistake} does not say what it expects")


def write(file: Path, text: str) -> None:
    """A file with the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _make_large(mistake: str, folder: Path) -> None:
    if mistake == "large-file":
        with (folder / "large.yaml").open("wb") as file:
            os.truncate(file.fileno(), 100 << 20)
    if mistake == "nested-too-deeply":
        write(
            folder / "nested.yaml", "apiVersion: v1\nkind: X\ndata: " + "[" * 100_000 + "]" * 100_000 + "\n"
        )
    if mistake == "many-values":
        write(folder / "values.yaml", "apiVersion: v1\nkind: X\ndata: [" + "1," * (4_500_000) + "1]\n")
    if mistake == "bases-multiply":
        _multiply(folder, 40)


def _multiply(folder: Path, levels: int) -> None:
    for level in range(1, levels + 1):
        for side in ("left", "right"):
            below = (
                [f"../left{level + 1:02d}", f"../right{level + 1:02d}"] if level < levels else ["end.yaml"]
            )
            text = f"{_HEAD}namePrefix: {side[0]}\nresources:\n" + "".join(f"- {one}\n" for one in below)
            write(folder / f"{side}{level:02d}" / "kustomization.yaml", text)
            if level == levels:
                shutil.copy(FIXTURES / "exec-function/overlays/dev/hostile/config-map.yaml",
                            folder / f"{side}{level:02d}" / "end.yaml")  # fmt: skip
