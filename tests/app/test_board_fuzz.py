"""Whatever is asked or sent in accordance with the API's own description, and against it: no answer is a 5xx."""

from __future__ import annotations

import pytest
import schemathesis
from board_testing import READ_TOKEN, TOKEN, Backend, an_event, until
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from tests.cli.dora_lab import story

EXAMPLES = 40


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, migrated_sqlite, ending):
    """A backend with repositories and deployments, so that there is something to go wrong with."""
    folder = tmp_path_factory.mktemp("fuzz")
    repos = story(folder)
    (folder / "board.sqlite3").write_bytes(migrated_sqlite.read_bytes())
    where = {f"{name}_repo": str(repo.path) for name, repo in repos.items()}
    backend = Backend(f"sqlite:///{folder}/board.sqlite3", events_per_minute=100_000, **where)
    for minute, commit in enumerate(("1111111", "2222222", "1111111")):
        backend.stored(minute=minute, commit=commit)
    until(lambda: len(backend.places()) == 2, what="the log is read")
    yield backend
    backend.stop()
    ending.append(backend)


CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
]


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
def test_no_request_is_answered_with_an_error_of_the_server(fuzzed, mode):
    """As described, and against it; each answer is one that the description promises, with its type and fields."""
    document = schemathesis.openapi.from_url(f"{fuzzed.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    asked = sum(ask(operation, mode) for operation in operations)
    assert len(operations) == 12 and asked > 5 * EXAMPLES


def ask(operation, mode: GenerationMode) -> int:
    """Call an operation with generated requests and judge each answer; how many there were."""
    token, asked = TOKEN if operation.method == "post" else READ_TOKEN, []

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case):
        asked.append(case)
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=CHECKS)

    try:
        each()
    except Unsatisfiable:
        assert not operation.query and not operation.body, "only what takes nothing cannot be asked wrongly"
    return len(asked)


def test_the_board_is_well_after_all_that(fuzzed):
    """It still takes events and shows them."""
    assert fuzzed.send(an_event(minute=59, commit="9999999")).is_success
    assert "9999999" in {place["commit"] for place in fuzzed.places()}
