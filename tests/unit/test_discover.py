"""What Argo CD would deploy, worked out from its own objects and the repository's files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from slipway import paths
from slipway.gate.discover import Discovery, discover, match, not_deployed, root_kustomizations
from slipway.gate.overlay import Object

FILES = [
    "README.md",
    "argocd/clusters/local/kustomization.yaml",
    "base/web/kustomization.yaml",
    "overlays/dev/environment.yaml",
    "overlays/dev/.hidden/kustomization.yaml",
    "overlays/dev/shop/kustomization.yaml",
    "overlays/dev/web/kustomization.yaml",
    "overlays/dev/web/patches/kustomization.yaml",
    "overlays/prod/web/kustomization.yaml",
    "overlays/prod/web/settings.json",
]
URL = "https://git.example/deploy.git"


def found(*specs: str, files: list[str] = FILES, read=lambda path: None) -> Discovery:
    """The discovery of Applications (with `source`) and ApplicationSets (with `generators`) given as YAML."""
    objects = []
    for number, text in enumerate(specs):
        spec = yaml.safe_load(text)
        kind = "ApplicationSet" if "generators" in spec else "Application"
        data = {"kind": kind, "metadata": {"name": f"set{number}", "namespace": "argocd"}, "spec": spec}
        objects.append(Object(data, "argocd/set.yaml", 7))
    return discover(objects, files, read)


def of_set(generators: str, path: str = "'{{.path.path}}'", **options) -> list[str]:
    """The folders that an ApplicationSet with these generators deploys."""
    spec = f"goTemplate: true\ngenerators: {generators}\ntemplate: {{spec: {{source: {{repoURL: {URL}, path: {path}}}}}}}"
    discovery = found(spec, **options)
    assert discovery.findings == []
    return sorted(discovery.deployments)


def directories(*patterns: str) -> str:
    """A git directories generator; a pattern with a minus in front excludes."""
    items = [f"{{path: '{p.lstrip('-')}', exclude: {str(p.startswith('-')).lower()}}}" for p in patterns]
    return f"[{{git: {{repoURL: {URL}, directories: [{', '.join(items)}]}}}}]"


def test_a_star_takes_the_folders_of_one_level() -> None:
    """Not their folders, not hidden ones, not files."""
    assert of_set(directories("overlays/dev/*")) == ["overlays/dev/shop", "overlays/dev/web"]


def test_an_excluded_folder_is_left_out_whatever_the_order() -> None:
    """As Argo CD does."""
    assert of_set(directories("-overlays/dev/shop", "overlays/*/*")) == [
        "overlays/dev/web",
        "overlays/prod/web",
    ]


def test_a_folder_may_be_named_exactly() -> None:
    """Without any pattern."""
    assert of_set(directories("overlays/prod/web")) == ["overlays/prod/web"]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("overlays/*", "overlays/dev", True),
        ("overlays/*", "overlays/dev/web", False),
        ("overlays/*/w?b", "overlays/dev/web", True),
        ("overlays/[dp]*/web", "overlays/prod/web", True),
        ("overlays/[^d]*/web", "overlays/dev/web", False),
        ("overlays/**", "overlays/dev/web", False),
        ("overlays.*", "overlays/dev", False),
    ],
)
def test_patterns_are_those_of_go(pattern: str, name: str, matches: bool) -> None:
    """`path.Match`, where two stars are as good as one."""
    assert match(pattern, name) is matches


def test_files_give_parameters() -> None:
    """The folder of the file, and what it says."""
    generator = f"[{{git: {{repoURL: {URL}, files: [{{path: 'overlays/*/web/settings.json'}}]}}}}]"
    assert of_set(generator) == ["overlays/prod/web"]
    said = of_set(generator, path="'overlays/{{.where}}/shop'", read=lambda path: b'{"where": "dev"}')
    assert said == ["overlays/dev/shop"]


def test_lists_and_matrices_give_every_combination() -> None:
    """Parameters of both."""
    lists = "[{matrix: {generators: [{list: {elements: [{env: dev}, {env: prod}]}}, {list: {elements: [{app: web}]}}]}}]"
    assert of_set(lists, path="'overlays/{{ .env }}/{{.app}}'") == ["overlays/dev/web", "overlays/prod/web"]


@pytest.mark.parametrize(
    "path",
    ["'{{path}}'", "'overlays/{{path[1]}}/{{path.basename}}'", "'overlays/{{index .path.segments 1}}/web'"],
)
def test_templates_of_both_kinds_are_filled(path: str) -> None:
    """Go templates and the older ones."""
    assert of_set(directories("overlays/prod/*"), path=path) == ["overlays/prod/web"]


def test_an_application_deploys_its_sources_in_this_repository() -> None:
    """One source or several; those of another repository are not here."""
    sets = f"generators: {directories('none/*')}\ntemplate: {{}}"
    one = f"source: {{repoURL: {URL}, path: ./overlays/dev/web/}}"
    several = (
        f"sources: [{{repoURL: {URL}, path: overlays/prod/web}}, {{repoURL: https://other, path: charts/x}}]"
    )
    assert sorted(found(sets, one, several).deployments) == ["overlays/dev/web", "overlays/prod/web"]


@pytest.mark.parametrize(
    ("generators", "path", "said"),
    [
        ("[{pullRequest: {github: {}}}]", "x", "the generator pullRequest"),
        ("[{clusters: {}}]", "x", "the generator clusters"),
        ("[{list: {elements: []}, selector: {}}]", "x", "a generator with a selector"),
        (directories("overlays/dev/*"), "'{{ .path.path | upper }}'", "the template"),
        (directories("overlays/dev/*"), "'{{.other}}'", "the template"),
    ],
)
def test_what_is_not_understood_is_a_finding(generators: str, path: str, said: str) -> None:
    """Nothing goes unchecked in silence."""
    spec = f"generators: {generators}\ntemplate: {{spec: {{source: {{repoURL: {URL}, path: {path}}}}}}}"
    (finding,) = found(spec).findings
    assert said in finding.message
    assert (finding.rule, finding.file, finding.line) == ("unclear-generator", "argocd/set.yaml", 7)


def test_a_folder_that_nothing_deploys_is_named() -> None:
    """Unless a deployed folder builds on it."""
    source = f"{{repoURL: {URL}, path: '{{{{.path.path}}}}'}}"
    discovery = found(
        f"generators: {directories('overlays/dev/*')}\ntemplate: {{spec: {{source: {source}}}}}"
    )
    kustomizations = [file for file in FILES if file.endswith("kustomization.yaml")]
    used = ["overlays/dev/web/patches/kustomization.yaml"]
    left = [finding.file for finding in not_deployed(discovery, kustomizations, used)]
    assert left == ["overlays/dev/.hidden/kustomization.yaml", "overlays/prod/web/kustomization.yaml"]


def test_the_shipped_repository_is_applied_by_its_clusters() -> None:
    """What they build on is not applied by itself, and the installation of Argo CD is not rendered."""
    files = [f.relative_to(paths.CHECKOUT).as_posix() for f in (paths.CHECKOUT / "argocd").rglob("*.yaml")]
    roots = root_kustomizations(sorted(files), lambda path: Path(paths.CHECKOUT / path).read_bytes())
    assert roots == ["argocd/clusters/eks", "argocd/clusters/local"]


def test_a_kustomization_that_cannot_be_read_is_still_rendered() -> None:
    """Rendering says what is wrong with it."""
    assert root_kustomizations(["argocd/x/kustomization.yaml"], lambda path: b"a: [") == ["argocd/x"]
