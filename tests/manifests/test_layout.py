"""The files of the deploy half: named alike, all in use, one place for every fact."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from rendering import ENVIRONMENTS, load
from slipway import paths

FOLDERS = ("base", "overlays", "argocd")
FILES = sorted(
    file
    for folder in FOLDERS
    for file in (paths.CHECKOUT / folder).rglob("*")
    if file.is_file() and file.name != "README.md" and not file.name.endswith(".schema.json")
    # What is Python there is looked after by tests/aws.
    if not file.is_relative_to(paths.CHECKOUT / "argocd/clusters/aws")
)
MONITORING = paths.CHECKOUT / "argocd" / "monitoring"
"""Rules and dashboards are read by Prometheus and Grafana; `test_alert_rules.py` says how."""
KUSTOMIZATIONS = [file for file in FILES if file.name == "kustomization.yaml"]

POLICY = {
    "name": str,
    "order": int,
    "from": (str, type(None)),
    "delivery": str,
    "approvals": int,
    "soak": str,
    "freezes": list,
    "holds": list,
    "pruneBudget": str,
    "architectures": list,
    "signature": dict,
    "retention": dict,
    "writers": list,
}


def relative(file: Path) -> str:
    """The path as a test's name shows it."""
    return str(file.relative_to(paths.CHECKOUT))


def references(file: Path) -> set[Path]:
    """The files that a kustomization reads, folders by their kustomization."""
    document = load(file)
    entries = [e for key in ("resources", "components", "transformers") for e in document.get(key, [])]
    entries += [
        e["path"] for key in ("patches", "replacements") for e in document.get(key, []) if "path" in e
    ]
    found = {(file.parent / entry).resolve() for entry in entries if "://" not in entry}
    return {target / "kustomization.yaml" if target.is_dir() else target for target in found}


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_files_are_kebab_case_yaml(file):
    """One suffix and one way of writing names; a dashboard has the suffix that Grafana asks for."""
    suffix = "json" if file.parent == MONITORING / "dashboards" else "yaml"
    assert re.fullmatch(rf"[a-z0-9]+(-[a-z0-9]+)*\.{suffix}", file.name)


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_no_line_ends_in_a_space(file):
    """Diffs show changes, not spaces; every file ends with one newline."""
    text = file.read_text()
    assert not re.search(r"[ \t]$", text, re.MULTILINE)
    assert text.endswith("\n") and not text.endswith("\n\n")


def metadata(node: object) -> Iterator[dict]:
    """Every `metadata` at any depth."""
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "metadata")
        node = list(node.values())
    for child in node if isinstance(node, list) else []:
        yield from metadata(child)


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_annotations_and_labels_are_written_as_text(file):
    """Kustomize quotes a bare 5 or true, other readers of the same file refuse it; so it is quoted here."""
    for found in metadata(list(yaml.safe_load_all(file.read_text()))):
        values = [*found.get("annotations", {}).values(), *found.get("labels", {}).values()]
        assert [value for value in values if not isinstance(value, str)] == []


def test_every_file_is_in_use():
    """No manifest lies about that nothing renders."""
    used = {target for file in KUSTOMIZATIONS for target in references(file)}
    roots = set(paths.CHECKOUT.glob("overlays/*/*/kustomization.yaml"))
    roots |= {paths.CHECKOUT / "overlays" / name / "environment.yaml" for name in ENVIRONMENTS}
    roots |= {
        paths.CHECKOUT / "argocd" / f / c / "kustomization.yaml"
        for f in ("install", "clusters")
        for c in ("local", "eks")
    }
    roots |= set(paths.CHECKOUT.glob("base/*/clusters/eks/kustomization.yaml"))
    roots |= {file for file in FILES if file.is_relative_to(MONITORING)}
    assert [relative(file) for file in FILES if file not in used | roots] == []


def test_every_reference_leads_to_a_file():
    """A renamed file is renamed wherever it is read."""
    missing = {relative(t) for file in KUSTOMIZATIONS for t in references(file) if not t.is_file()}
    assert missing == set()


def test_base_knows_no_environment():
    """An environment's name appears in its overlay and in what Argo CD and the boards are told, never in base."""
    words = re.compile(rf"\b({'|'.join(ENVIRONMENTS)}|production)\b")
    found = {
        relative(file): match.group()
        for file in FILES
        if file.is_relative_to(paths.CHECKOUT / "base")
        and (match := words.search(re.sub(r"#.*", "", file.read_text())))
    }
    assert found == {}


def test_base_has_no_tags():
    """Which build runs is the overlay's to say; the one exception is the platform's own PostgreSQL."""
    base = [file for file in FILES if file.is_relative_to(paths.CHECKOUT / "base")]
    images = [i for file in base for i in re.findall(r"^\s*image: (\S+)$", file.read_text(), re.MULTILINE)]
    tagged = [image for image in images if ":" in image]
    assert len(images) > len(tagged)
    assert tagged == ["111122223333.dkr.ecr.eu-central-1.amazonaws.com/slipway/postgres:15"]


def test_remote_resources_are_pinned():
    """A manifest from elsewhere names a release, so that it changes with a commit only."""
    remote = [e for file in KUSTOMIZATIONS for e in load(file).get("resources", []) if "://" in e]
    assert remote
    for entry in remote:
        assert re.search(r"\?ref=v\d+\.\d+\.\d+$", entry), entry


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_states_its_whole_policy(name):
    """No key is left to a default, and none is misspelt."""
    policy = load(paths.CHECKOUT / "overlays" / name / "environment.yaml")
    assert list(policy) == list(POLICY)
    for key, kind in POLICY.items():
        assert isinstance(policy[key], kind), key
    assert policy["name"] == name
    assert policy["delivery"] in ("direct", "pull-request")
    assert re.fullmatch(r"\d+[smhd]", policy["soak"])
    assert re.fullmatch(r"\d+%", policy["pruneBudget"])
    assert policy["signature"] == {"required": True, "key": "cosign.pub"}


def test_environments_form_one_chain():
    """Each environment is fed by the one before it, the first by the pipeline, the last by pull request."""
    policies = [load(paths.CHECKOUT / "overlays" / name / "environment.yaml") for name in ENVIRONMENTS]
    chain = sorted(policies, key=lambda policy: policy["order"])
    assert [policy["order"] for policy in chain] == [1, 2, 3]
    assert chain[0]["from"] is None
    assert all(later["from"] == earlier["name"] for earlier, later in pairwise(chain))
    assert chain[-1]["delivery"] == "pull-request" and chain[-1]["approvals"] >= 1


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_overlay_is_written_the_way_bump_edits_it(name):
    """Tag and digest are quoted in every entry, so that no YAML dialect reads a number."""
    text = (paths.CHECKOUT / "overlays" / name / "board" / "kustomization.yaml").read_text()
    entries = yaml.safe_load(text)["images"]
    assert len(entries) == 2
    assert len(re.findall(r'^  newTag: "[^"]+"$', text, re.MULTILINE)) == len(entries)
    assert len(re.findall(r'^  digest: "sha256:[0-9a-f]{64}"$', text, re.MULTILINE)) == len(entries)
