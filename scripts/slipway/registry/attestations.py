"""What a scan said of an image: the signed statement that the pipeline keeps beside the image in its registry.

The statement is cosign's `vuln` predicate in a DSSE envelope (github.com/secure-systems-lab/dsse), stored as an OCI
referrer of the image, or under the tag `sha256-<digest>` where the registry has no referrers.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from slipway.errors import ImageNotFound, InvalidInput, RemoteRefused
from slipway.registry.client import Registry
from slipway.registry.references import Reference
from slipway.writing.lineage import parse_time

PREDICATE = "https://cosign.sigstore.dev/attestation/vuln/v1"
SEVERITIES = ("critical", "high", "medium", "low", "unscored")
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class Scanned:
    """How many known vulnerabilities of each of `SEVERITIES` a scan found, and when it ended; UTC."""

    counts: Mapping[str, int]
    at: datetime


def predicate(report: Mapping[str, Any]) -> dict[str, Any]:
    """The `vuln` predicate of a report that `slipway ci scan` wrote."""
    found = Counter(finding["severity"] for finding in report.get("findings", ()))
    return {
        "invocation": {"uri": "slipway ci scan"},
        "scanner": {
            "uri": "pkg:golang/github.com/google/osv-scanner/v2",
            "db": {"uri": report["database"]},
            "result": {"counts": {name: found[name] for name in SEVERITIES}, "packages": report["packages"]},
        },
        "metadata": {"scanStartedOn": report["scanned"], "scanFinishedOn": report["scanned"]},
    }


def scanned(registry: Registry, image: Reference, public_key: bytes) -> Scanned | None:
    """The newest scan of an image that the key (PEM) signed; None when there is none. `image` has a digest.

    Raises what `Registry.ask` raises, `InvalidInput` for a key that is none.
    """
    verifier = load_key(public_key)
    found = [
        scan
        for bundle in _bundles(registry, image)
        if (scan := read(bundle, image.digest or "", verifier)) is not None
    ]
    return max(found, key=lambda scan: scan.at, default=None)


def load_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """A public key as cosign writes it; raises `InvalidInput`."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as exc:
        raise InvalidInput("the public key is not PEM", fix="use the cosign.pub of the pipeline") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidInput("the public key is of another kind than cosign's", fix="use an ECDSA key")
    return key


def read(bundle: Mapping[str, Any], digest: str, key: ec.EllipticCurvePublicKey) -> Scanned | None:
    """The scan in a Sigstore bundle; None unless it is one, of this digest, and signed with the key."""
    try:
        envelope = bundle["dsseEnvelope"]
        payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
        signatures = [base64.b64decode(one["sig"]) for one in envelope["signatures"]]
        if not any(_signed(key, signature, kind, payload) for signature in signatures):
            return None
        statement = json.loads(payload)
        digests = {f"sha256:{subject['digest']['sha256']}" for subject in statement["subject"]}
        if statement["predicateType"] != PREDICATE or digest not in digests:
            return None
        told = statement["predicate"]
        counts = told["scanner"]["result"]["counts"]
        at = parse_time(told["metadata"]["scanFinishedOn"])
        return Scanned({name: int(counts[name]) for name in SEVERITIES}, at) if at else None
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None


def _signed(key: ec.EllipticCurvePublicKey, signature: bytes, kind: str, payload: bytes) -> bool:
    """Whether the key made the signature, over the encoding that DSSE calls PAE."""
    name = kind.encode()
    message = b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _bundles(registry: Registry, image: Reference) -> Iterator[dict[str, Any]]:
    for descriptor in _referrers(registry, image):
        told = (descriptor.get("annotations") or {}).get("dev.sigstore.bundle.predicateType", PREDICATE)
        if told != PREDICATE or not isinstance(descriptor.get("digest"), str):
            continue
        manifest = registry.document(image, f"manifests/{descriptor['digest']}")
        for layer in _listed(manifest, "layers"):
            if layer.get("mediaType") == _BUNDLE:
                yield registry.document(image, f"blobs/{layer['digest']}")


def _referrers(registry: Registry, image: Reference) -> Iterable[dict[str, Any]]:
    digest = image.digest or ""
    for path in (f"referrers/{digest}", f"manifests/{digest.replace(':', '-')}"):
        try:
            if listed := _listed(registry.document(image, path), "manifests"):
                return listed
        except (ImageNotFound, RemoteRefused):
            continue
    return []


def _listed(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = document.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
