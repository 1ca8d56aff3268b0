"""The pinned tools: keys, versions, lookup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from slipway import paths, toolchain
from slipway.errors import ToolError


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tool modules that a test may change."""
    copy = tmp_path / "tools"
    shutil.copytree(paths.TOOL_MODULES, copy)
    monkeypatch.setattr(paths, "TOOL_MODULES", copy)
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    toolchain.key.cache_clear()
    yield copy
    toolchain.key.cache_clear()


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "tools.toml", "pause/main.go"])
def test_a_changed_input_gives_another_key(modules: Path, file: str) -> None:
    """What a group is built from is all in its key."""
    before = toolchain.key("cluster")
    (modules / "cluster" / file).write_text((modules / "cluster" / file).read_text() + "\n// changed\n")
    toolchain.key.cache_clear()
    assert toolchain.key("cluster") != before
    assert toolchain.key("forge") == toolchain.key("forge")


def test_another_toolchain_gives_another_key(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools of one Go release are not taken for those of another."""
    before = toolchain.key("cluster")
    toolchain.key.cache_clear()
    monkeypatch.setattr(toolchain, "go_version", lambda: "1.0.0")
    assert toolchain.key("cluster") != before


def test_stamps_come_from_go_mod() -> None:
    """A version is written once, in go.mod."""
    versions = toolchain.module_versions("require (\n\texample.com/a/v2 v2.13.4 // indirect\n)\n")
    assert versions == {"example.com/a/v2": "v2.13.4"}
    text = "${example.com/a/v2} ${example.com/a/v2:bare} ${example.com/a/v2:major}.${example.com/a/v2:minor}"
    assert toolchain.stamp(text, versions) == "v2.13.4 2.13.4 2.13"


@pytest.mark.parametrize("group", toolchain.GROUPS)
def test_every_stamp_and_shared_file_names_a_pinned_module(group: str) -> None:
    """A module renamed in go.mod is noticed before an hour of building."""
    versions = toolchain.module_versions((paths.TOOL_MODULES / group / "go.mod").read_text())
    settings = toolchain.settings(group)
    for template in settings.get("stamps", {}).values():
        assert toolchain.stamp(template, versions)
    for source in settings.get("share", {}).values():
        *elsewhere, module, _ = source.split(":")
        folder = paths.TOOL_MODULES / (elsewhere or [group])[0]
        assert module in toolchain.module_versions((folder / "go.mod").read_text())


@pytest.mark.parametrize("group", toolchain.GROUPS)
def test_every_generated_file_is_made_from_pinned_modules(group: str) -> None:
    """By a program of the group itself."""
    for program, *sources in toolchain.settings(group).get("generate", {}).values():
        assert (paths.TOOL_MODULES / group / program).is_dir()
        for source in sources:
            folder, module, path = source.split(":")
            assert module in toolchain.module_versions((paths.TOOL_MODULES / folder / "go.mod").read_text())
            assert path


def test_a_newer_module_gives_another_key_to_what_is_generated_from_it(modules: Path) -> None:
    """The schemas are those of the cluster's Kubernetes."""
    before = toolchain.key("render")
    go_mod = modules / "cluster" / "go.mod"
    version = toolchain.module_versions(go_mod.read_text())["k8s.io/kubernetes"]
    go_mod.write_text(go_mod.read_text().replace(f"k8s.io/kubernetes {version}", "k8s.io/kubernetes v1.99.0"))
    toolchain.key.cache_clear()
    assert toolchain.key("render") != before


def test_A26_the_renderer_is_made_of_the_modules_that_kustomize_is_made_of() -> None:
    """The same bytes need the same YAML library, too."""
    cluster, render = (
        toolchain.module_versions((paths.TOOL_MODULES / group / "go.mod").read_text())
        for group in ("cluster", "render")
    )
    shared = set(cluster) & set(render) - {"github.com/davecgh/go-spew"}  # used by tests only
    assert len(shared) > 20
    assert {module: render[module] for module in shared} == {module: cluster[module] for module in shared}
    stamp = toolchain.settings("render")["stamps"]["sigs.k8s.io/kustomize/api/provenance.version"]
    assert toolchain.stamp(stamp, render) == cluster["sigs.k8s.io/kustomize/kustomize/v5"]


def test_kustomize_is_the_version_that_argo_cd_bundles(modules: Path) -> None:
    """A26: one kustomize everywhere; the module that Argo CD's own go.mod pins decides."""
    go_mod = (modules / "cluster" / "go.mod").read_text()
    versions = toolchain.module_versions(go_mod)
    assert versions["sigs.k8s.io/kustomize/kustomize/v5"] == "v5.8.1"
    assert versions["sigs.k8s.io/kustomize/api"] == "v0.21.1"


def test_a_tool_that_is_not_built_is_named_with_the_fix(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No fallback to whatever lies on the PATH."""
    monkeypatch.delenv("SLIPWAY_TOOLS_PATH", raising=False)
    with pytest.raises(ToolError, match="kustomize is not built") as error:
        toolchain.tool("kustomize")
    assert "slipway tools build" in str(error.value.fix)
