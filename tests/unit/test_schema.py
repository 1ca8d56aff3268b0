"""The JSON Schema that editors read says what the policy's own reader says."""

import json

import jsonschema
import pytest
import yaml
from slipway import paths
from slipway.errors import PolicyRefused
from slipway.policy import schema
from slipway.policy.environment import parse_policy

ENVIRONMENTS = sorted(paths.CHECKOUT.glob("overlays/*/environment.yaml"))
BASE = "name: dev\norder: 1\ndelivery: direct\n"


def valid(text: str) -> bool:
    """What the schema says of a file."""
    found = jsonschema.Draft202012Validator(schema.schema()).iter_errors(yaml.safe_load(text))
    return not list(found)


def test_the_committed_schema_is_up_to_date():
    """`python -m slipway.policy.schema` writes it."""
    assert (paths.CHECKOUT / schema.FILE).read_text() == schema.text()
    jsonschema.Draft202012Validator.check_schema(json.loads(schema.text()))


def test_every_key_has_a_meaning():
    """An editor says what each key is for."""
    assert set(schema.schema()["properties"]) == set(schema.MEANINGS)
    assert all(one["description"].endswith(".") for one in schema.schema()["properties"].values())


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.parent.name)
def test_every_environment_is_valid_and_names_the_schema(file):
    """The first line is what editors look for; the path in it leads to the schema."""
    first, _, _ = file.read_text().partition("\n")
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (file.parent / name).resolve() == paths.CHECKOUT / schema.FILE
    assert valid(file.read_text())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("soak: 10m\npruneBudget: 5%\nretention: {commits: 3}\nfrom: null\n", True),
        ("freezes: [{name: f, reason: r, timezone: UTC, start: '2026-12-20T18:00', end: '2026-12-21T18:00'}]\n", True),
        ("freezes: [{name: f, reason: r, timezone: UTC, weekly: {days: [fri], from: '18:00', to: '24:00'}}]\n", True),
        ("holds: [{app: board, reason: r, since: '2026-11-23T09:30:00Z', by: ana}]\n", True),
        ("frezes: []\n", False),
        ("freezes: [{name: f, reason: r, timezone: UTC}]\n", False),
        ("freezes: [{name: f, reason: r, timezone: UTC, start: '2026-12-20T18:00'}]\n", False),
        ("freezes: [{name: f, reason: r, timezone: UTC, weekly: {days: [friday], from: '18:00', to: '20:00'}}]\n", False),
        ("freezes: [{name: f, reason: r, timezone: UTC, weekly: {days: [fri], from: '18:00', to: '25:00'}}]\n", False),
        ("holds: [{app: Board, reason: r, since: '2026-11-23T09:30:00Z', by: ana}]\n", False),
        ("soak: 10\n", False),
        ("pruneBudget: 101%\n", False),
        ("approvals: -1\n", False),
    ],
)  # fmt: skip
def test_schema_and_reader_agree(text, expected):
    """What an editor underlines is what a write is refused for."""
    try:
        parse_policy((BASE + text).encode(), environment="dev", path="p")
        read = True
    except PolicyRefused:
        read = False
    assert (valid(BASE + text), read) == (expected, expected)
