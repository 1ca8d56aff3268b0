"""The templates as the tests read them: written offline, once for each state of their sources, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import synth
from slipway import paths
from slipway.proc import run

OFFLINE = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--map-root-user", "--net")
"""In a network namespace of its own, where not even loopback is up."""
SYNTHESIS = """
import pathlib, sys, synth
synth.synthesize(pathlib.Path(sys.argv[1]), accepting=sys.argv[2] == "accepted")
"""


def synthesized(kind: str) -> Path:
    """The folder of an assembly, made offline when the sources changed; it appears whole or not at all."""
    files = [*synth.HERE.rglob("*.py"), synth.HERE / "requirements.lock"]
    files.append(paths.CHECKOUT / "scripts/slipway/registry/ecr_lifecycle.py")
    files += (paths.CHECKOUT / "argocd/monitoring").rglob("*.yaml")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:20]
    home = paths.cache() / "cdk" / "assemblies" / f"{digest}-{kind}"
    with synth.alone(home):
        if not home.is_dir():
            synth.environment()
            partial = home.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            # Findings end a synthesis, after everything is written.
            allowed = (0,) if kind == "accepted" else (1,)
            command = [*OFFLINE, paths.PYTHON, "-c", SYNTHESIS, partial, kind]
            run(command, cwd=synth.HERE, allowed=allowed, timeout=600)
            partial.rename(home)
    return home
