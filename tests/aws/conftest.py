"""The templates, synthesised once for each state of their sources and kept in the cache; the emulator, per account."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway import paths

for folder in (paths.CHECKOUT / "argocd/clusters/aws", Path(__file__).parent):
    sys.path.insert(0, str(folder))

from aws_emulator import Emulator  # noqa: E402
from aws_synthesis import synthesized  # noqa: E402
from aws_template import Assembly  # noqa: E402

ACCOUNTS = ("111122223333", "444455556666")


@pytest.fixture(scope="session")
def out() -> Path:
    """The assembly as it is deployed."""
    return synthesized("accepted")


@pytest.fixture(scope="session")
def unaccepted() -> Path:
    """The assembly of a synthesis in which no reason counts."""
    return synthesized("all-findings")


@pytest.fixture(scope="session")
def assembly(out: Path) -> Assembly:
    return Assembly.read(out)


@pytest.fixture(scope="session")
def clouds(assembly: Assembly, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Emulator]]:
    """The emulator of each account, with all of its stacks."""
    logs = tmp_path_factory.mktemp("aws")
    made = {account: Emulator(account, logs / f"{account}.log") for account in ACCOUNTS}
    try:
        for emulator in made.values():
            emulator.deploy(assembly)
        yield made
    finally:
        for emulator in made.values():
            emulator.stop()
