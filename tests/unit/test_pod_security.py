"""Kubernetes' own examples for the Pod Security Standards get from our rule the verdict that Kubernetes gives them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from slipway import toolchain
from slipway.gate.overlay import Object, Overlay
from slipway.rules import pod_security

MINOR = ".".join(toolchain.version("k8s.io/kubernetes").split(".")[:2])


def examples(level: str, verdict: str) -> list[Path]:
    """The files of a level, as the pinned release ships them."""
    return sorted(toolchain.share("crosscheck", f"pod-security/{level}-{MINOR}/{verdict}").glob("*.yaml"))


def refused(file: Path) -> list[str]:
    """What the rule says of the Pod in a file."""
    (pod,) = [document for document in yaml.load_all(file.read_text(), yaml.CSafeLoader) if document]
    overlay = Overlay("overlays/prod/example", "prod", "example", [Object(pod, file.name, 1)], {})
    return [finding.message for finding in pod_security.RULE.check(overlay)]


def test_every_example_of_kubernetes_gets_the_same_verdict(capsys: pytest.CaptureFixture) -> None:
    """Restricted as it is; what is refused by baseline is refused by restricted too."""
    wanted = [(file, True) for file in examples("restricted", "pass")]
    wanted += [(file, False) for level in ("restricted", "baseline") for file in examples(level, "fail")]
    disagreed = [
        f"{file.parent.parent.name}/{file.name}" for file, passes in wanted if bool(refused(file)) == passes
    ]
    with capsys.disabled():
        print(f"\npod security {MINOR}: {len(wanted)} run, 0 skipped, {len(disagreed)} disagreed")
    assert disagreed == []
    assert len(wanted) > 100


def test_every_control_of_the_standard_has_an_example() -> None:
    """The examples are of all controls, so that none of ours goes untested."""
    controls = {file.stem.rstrip("0123456789") for file in examples("restricted", "fail")}
    assert controls == {
        "allowprivilegeescalation", "apparmorprofile", "capabilities_baseline", "capabilities_restricted",
        "hostnamespaces", "hostpathvolumes", "hostports", "hostprobesandhostlifecycle", "privileged", "procmount",
        "procmount_restricted", "restrictedvolumes", "runasnonroot", "runasuser", "seccompprofile_baseline",
        "seccompprofile_restricted", "selinuxoptions", "sysctls", "windowshostprocess",
    }  # fmt: skip
