"""The render helper beside the tools that it stands for: the pinned kustomize and kubeconform."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from slipway import paths, toolchain
from slipway.errors import CommandFailed
from slipway.gate.overlay import KUSTOMIZATIONS
from slipway.gate.render import Rendered, Target, render, schemas

from tests.perf import big_repo
from tests.unit import hostile_repo

FEATURES = paths.CHECKOUT / "tests" / "fixtures" / "render"
SHIPPED = (
    "overlays/dev/board", "overlays/staging/board", "overlays/prod/board",
    "argocd/environments", "argocd/clusters/local", "argocd/clusters/eks",
)  # fmt: skip
QUICK = [mistake for mistake in hostile_repo.MISTAKES if mistake not in hostile_repo.EXHAUSTING]


def folders(root: Path) -> list[str]:
    """Every folder with a kustomization that is not a component."""
    files = [file for name in KUSTOMIZATIONS for file in root.rglob(name)]
    return sorted(
        f.parent.relative_to(root).as_posix() for f in files if "kind: Component" not in f.read_text()
    )


def by_path(root: Path, names: list[str], **options) -> dict[str, Rendered]:
    """What the helper makes of some folders."""
    return {one.target.path: one for one in render(root, [Target(name) for name in names], **options)}


def kustomize(folder: Path) -> str | None:
    """What the pinned kustomize prints; None when it refuses."""
    done = subprocess.run([toolchain.tool("kustomize"), "build", folder], capture_output=True, timeout=60)
    return None if done.returncode else done.stdout.decode()


def assert_equal(root: Path, names: list[str]) -> None:
    """Every folder rendered by one worker, one after the other, is what kustomize prints for each."""
    ours = by_path(root, names, workers=1, objects=False, check=False, yaml=True)
    with ThreadPoolExecutor(2) as pool:
        theirs = dict(zip(names, pool.map(lambda name: kustomize(root / name), names), strict=True))
    assert {n: ours[n].error.message if ours[n].error else ours[n].yaml for n in names} == theirs


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rendered]:
    """Every mistake that is found at once, with an overlay that has none, rendered by one worker."""
    root = hostile_repo.build(tmp_path_factory.mktemp("hostile"), QUICK)
    return by_path(root, [f"overlays/dev/{name}" for name in [*QUICK, "innocent"]], workers=1)


def test_every_shipped_overlay_is_rendered_as_kustomize_renders_it() -> None:
    """Byte for byte."""
    assert_equal(paths.CHECKOUT, list(SHIPPED))


def test_every_feature_is_rendered_as_kustomize_renders_it() -> None:
    """One process for all: what one overlay brings along, such as its own schema, is gone for the next."""
    names = folders(FEATURES)
    names.sort(key=lambda name: (name != "own-schema", name))
    assert len(names) > 15
    assert_equal(FEATURES, names)


def test_generated_overlays_are_rendered_as_kustomize_renders_them(tmp_path: Path) -> None:
    """Those that the measurements use."""
    root = big_repo.build(tmp_path / "deploy", apps=2)
    names = [name for name in folders(root) if name.startswith("overlays/")]
    assert len(names) == 9
    assert_equal(root, names)


@pytest.mark.parametrize("mistake", QUICK)
def test_a_hostile_overlay_ends_in_a_named_error(hostile: dict[str, Rendered], mistake: str) -> None:
    """With the file that is at fault."""
    error = hostile[f"overlays/dev/{mistake}"].error
    assert error is not None
    assert error.rule in hostile_repo.expected(mistake)
    assert mistake in error.file or error.file.startswith("base/")
    assert error.line >= 1


def test_a_hostile_overlay_stops_no_other(hostile: dict[str, Rendered]) -> None:
    """One worker has seen them all, and still renders."""
    innocent = hostile["overlays/dev/innocent"]
    assert innocent.error is None
    assert [one["verdict"] for one in innocent.objects] == ["valid"]


def test_nothing_outside_the_repository_is_in_any_answer(hostile: dict[str, Rendered]) -> None:
    """Neither the users of this machine nor a word of what a link leads to."""
    said = json.dumps([one.__dict__ | {"target": "", "error": str(one.error)} for one in hostile.values()])
    assert "root:x:0:0" not in said
    assert not any(path.startswith(("/", "..")) for one in hostile.values() for path in one.files)


@pytest.mark.parametrize("scheme", ["resource", "base", "patch", "schema"])
def test_no_connection_is_opened(tmp_path: Path, scheme: str) -> None:
    """A server that listens is not called."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.05)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.yaml"
        field = {
            "resource": f"resources: ['{url}']",
            "base": f"components: ['{url}//base?ref=main']",
            "patch": f"patches: [{{path: '{url}'}}]",
            "schema": f"openapi: {{path: '{url}'}}",
        }[scheme]
        hostile_repo.write(tmp_path / "o" / "kustomization.yaml", field + "\n")
        assert by_path(tmp_path, ["o"])["o"].error.rule == "remote-base"
        with pytest.raises(TimeoutError):
            listener.accept()


def test_verdicts_are_those_of_kubeconform() -> None:
    """And what the objects' names say."""
    (ours,) = render(FEATURES, [Target("verdicts")], yaml=True)
    location = f"{schemas()}/{{{{ .Group }}}}/{{{{ .ResourceKind }}}}_{{{{ .ResourceAPIVersion }}}}.json"
    argv = [
        toolchain.tool("kubeconform"),
        "-strict",
        "-output",
        "json",
        "-verbose",
        "-schema-location",
        location,
    ]
    done = subprocess.run(argv, input=ours.yaml, capture_output=True, text=True, timeout=60)
    verdict = {"statusValid": "valid", "statusInvalid": "invalid", "statusError": "unknown"}
    theirs = {one["name"]: verdict[one["status"]] for one in json.loads(done.stdout)["resources"]}
    verdicts = {one["data"]["metadata"]["name"]: one["verdict"] for one in ours.objects}
    assert verdicts == theirs
    assert verdicts == {name: name.partition("-")[0] for name in verdicts}


def test_a_problem_is_named_with_its_place_in_the_source() -> None:
    """The innermost field, and the line where it stands."""
    (rendered,) = render(FEATURES, [Target("verdicts")])
    problems = {
        one["data"]["metadata"]["name"]: [
            (p["path"], p["message"], p["line"]) for p in one.get("problems", ())
        ]
        for one in rendered.objects
    }
    assert problems["invalid-text-for-number"] == [("spec/replicas", "got string, want null or integer", 31)]
    assert problems["invalid-unknown-field"] == [("spec", "additional properties 'replica' not allowed", 22)]
    assert problems["invalid-without-selector"] == [
        ("spec", "missing property 'selector'", 38),
        ("spec/template/spec/containers/0/securityContext",
         "additional properties 'readOnlyRootFileSystem' not allowed", 45),
    ]  # fmt: skip


def test_every_object_knows_the_document_that_brought_it_in() -> None:
    """Renamed by a prefix, made by a generator, from a base."""
    (rendered,) = render(FEATURES, [Target("generated-names")])
    places = {one["data"]["kind"]: (one["file"], one["line"]) for one in rendered.objects}
    assert places == {
        "ConfigMap": ("generated-names/kustomization.yaml", 9),
        "Secret": ("generated-names/kustomization.yaml", 13),
        "Service": ("base/service.yaml", 1),
        "Deployment": ("base/deployment.yaml", 1),
    }


def test_everything_that_was_reached_is_told_with_its_id() -> None:
    """Files, links on the way, and what was looked for in vain."""
    (rendered,) = render(FEATURES, [Target("linked")])
    names = ["base/deployment.yaml", "base/kustomization.yaml", "base/service.yaml", "linked-base"]
    assert sorted(rendered.files) == [*names, "linked/kustomization.yaml"]
    argv = ["git", "hash-object", *(FEATURES / name for name in names[:3])]
    ids = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert [rendered.files[name] for name in names[:3]] == ids
    assert "base/kustomization.yml" in rendered.absent


def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path: Path) -> None:
    """In a resource, where the schema sees only one of the two."""
    hostile_repo.write(tmp_path / "o" / "kustomization.yaml", "resources: [a.yaml]\n")
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: 'one'\n  other: x\n  key: 'two'\n"
    hostile_repo.write(tmp_path / "o" / "a.yaml", text)
    assert by_path(tmp_path, ["o"])["o"].duplicates == [{"file": "o/a.yaml", "line": 8, "key": "key"}]


def test_a_missing_file_is_put_down_to_the_line_that_names_it(tmp_path: Path) -> None:
    """Not to the overlay as a whole."""
    hostile_repo.write(tmp_path / "base" / "kustomization.yaml", "resources:\n- there.yaml\n- missing.yaml\n")
    text = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: a\n"
    hostile_repo.write(tmp_path / "base" / "there.yaml", text)
    hostile_repo.write(tmp_path / "o" / "kustomization.yaml", "resources:\n- ../base\n")
    error = by_path(tmp_path, ["o"])["o"].error
    assert (error.rule, error.file, error.line) == ("render-failed", "base/kustomization.yaml", 3)
    assert str(tmp_path) not in error.message


def test_A24_two_kustomizations_in_one_folder_are_refused(tmp_path: Path) -> None:
    """As kustomize does."""
    for name in ("kustomization.yaml", "Kustomization"):
        hostile_repo.write(tmp_path / "o" / name, "namespace: x\n")
    assert "multiple kustomization files" in by_path(tmp_path, ["o"])["o"].error.message


def test_a_commit_is_rendered_from_git_objects_alone(tmp_path: Path) -> None:
    """No checkout: the work tree says something else by then."""
    root = big_repo.build(tmp_path / "deploy", apps=1)
    (root / "base" / "linked").symlink_to("app-00000")
    overlay = root / "overlays" / "dev" / "app-00000" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("base/app-00000", "base/linked"))
    git = ["git", "-C", root, "-c", "user.name=a", "-c", "user.email=a@example"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "one"], check=True)
    commit = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (before,) = render(root, [Target("overlays/dev/app-00000")], yaml=True)
    overlay.write_text("resources: [gone.yaml]\n")
    (after,) = render(root, [Target("overlays/dev/app-00000", commit)], yaml=True)
    assert after.error is None
    assert (after.yaml, after.files, after.absent) == (before.yaml, before.files, before.absent)
    assert after.objects == before.objects


def test_a_commit_that_is_not_here_is_an_error(tmp_path: Path) -> None:
    """Not an empty rendering."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    with pytest.raises(CommandFailed, match="git has no commit"):
        list(render(tmp_path, [Target("overlays/dev/a", "0" * 40)]))


def test_every_kind_that_is_used_has_a_schema() -> None:
    """Of the cluster's own version, and of every controller whose objects are in the repository."""
    there = {file.relative_to(schemas()).as_posix() for file in schemas().rglob("*.json")}
    assert len(there) > 100
    for wanted in (
        "apps/deployment_v1.json", "v1/service_v1.json", "networking.k8s.io/ingress_v1.json",
        "policy/poddisruptionbudget_v1.json", "batch/cronjob_v1.json", "autoscaling/horizontalpodautoscaler_v2.json",
        "argoproj.io/application_v1alpha1.json", "argoproj.io/applicationset_v1alpha1.json",
        "argoproj.io/appproject_v1alpha1.json", "elbv2.k8s.aws/targetgroupbinding_v1beta1.json",
        "external-secrets.io/externalsecret_v1.json", "external-secrets.io/secretstore_v1.json",
        "vpcresources.k8s.aws/securitygrouppolicy_v1beta1.json",
    ):  # fmt: skip
        assert wanted in there


class _AsJson(yaml.CSafeLoader):
    """YAML as kubectl and Argo CD read it: dates are texts."""

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def test_the_objects_are_what_the_rendered_yaml_says() -> None:
    """Rules look at the same values that the cluster gets."""
    for one in render(FEATURES, [Target(name) for name in folders(FEATURES)], yaml=True):
        assert one.error is None, one.target
        documents = list(yaml.load_all(one.yaml, _AsJson))
        assert [item["data"] for item in one.objects] == documents, one.target
