"""A statement about an image counts only when its key, its image and its shape are right."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from slipway.errors import InvalidInput
from slipway.registry.attestations import PREDICATE, SEVERITIES, load_key, predicate, read

KEY = ec.generate_private_key(ec.SECP256R1())
DIGEST = "sha256:" + "a" * 64
REPORT = {
    "database": "OSV of today",
    "packages": 7,
    "scanned": "2026-03-02T08:00:00+00:00",
    "findings": [{"severity": "high"}, {"severity": "unscored"}, {"severity": "high"}],
}


def bundle(
    statement: object, key: ec.EllipticCurvePrivateKey = KEY, kind: str = "application/vnd.in-toto+json"
):
    """A Sigstore bundle as cosign stores it."""
    payload = json.dumps(statement).encode()
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
    signature = key.sign(message, ec.ECDSA(hashes.SHA256()))
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }
    return {"dsseEnvelope": envelope}


def statement(**fields: object) -> dict:
    """An in-toto statement about the image, with `fields` set otherwise."""
    subject = [{"name": "registry.example/app", "digest": {"sha256": DIGEST.partition(":")[2]}}]
    return {"subject": subject, "predicateType": PREDICATE, "predicate": predicate(REPORT)} | fields


def test_a_signed_scan_is_read_with_every_severity():
    """What was not found is 0, since it was looked for."""
    found = read(bundle(statement()), DIGEST, KEY.public_key())
    assert found.counts == dict.fromkeys(SEVERITIES, 0) | {"high": 2, "unscored": 1}
    assert found.at.isoformat() == "2026-03-02T08:00:00+00:00"


def test_the_content_that_was_not_signed_is_nothing():
    """Another key, a changed payload, and a signature of another kind of payload."""
    assert (
        read(bundle(statement(), ec.generate_private_key(ec.SECP256R1())), DIGEST, KEY.public_key()) is None
    )
    changed = bundle(statement())
    better = statement(predicate=predicate(REPORT | {"findings": []}))
    changed["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(better).encode()).decode()
    assert read(changed, DIGEST, KEY.public_key()) is None
    renamed = bundle(statement())
    renamed["dsseEnvelope"]["payloadType"] = "text/plain"
    assert read(renamed, DIGEST, KEY.public_key()) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": [{"digest": {"sha256": "b" * 64}}]},
        {"predicateType": "https://slsa.dev/provenance/v1"},
        {"predicate": {}},
        {"predicate": predicate(REPORT) | {"metadata": {"scanFinishedOn": "yesterday"}}},
        {"predicate": predicate(REPORT) | {"scanner": {"result": {"counts": {"high": "many"}}}}},
    ],
    ids=["of another image", "of another kind", "empty", "without a time", "without counts"],
)
def test_a_statement_that_says_something_else_is_nothing(fields):
    """Signed, and still no scan of this image."""
    assert read(bundle(statement(**fields)), DIGEST, KEY.public_key()) is None


@pytest.mark.parametrize("broken", [{}, {"dsseEnvelope": None}, {"dsseEnvelope": {"payload": "%"}}])
def test_what_is_no_bundle_is_nothing(broken):
    """No exception for what a registry may hold."""
    assert read(broken, DIGEST, KEY.public_key()) is None


def test_a_key_that_is_none_is_refused():
    """Text, and a key of another kind."""
    other = rsa.generate_private_key(65537, 2048).public_key()
    for pem in (b"no key", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        with pytest.raises(InvalidInput):
            load_key(pem)
