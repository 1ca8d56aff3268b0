"""Stage sign: a signature for the digest that was pushed, what its scan found as a signed statement, verified."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from slipway import toolchain
from slipway.errors import CommandFailed, InvalidInput, PipelineFailed
from slipway.pipeline.mirrors import place
from slipway.pipeline.records import Output
from slipway.proc import run
from slipway.registry.attestations import predicate, scanned
from slipway.registry.client import Registry
from slipway.registry.references import Reference


def sign(
    image: str, output: Output, key: str, public_key: str | None, env: Mapping[str, str]
) -> tuple[dict, bool]:
    """Sign one image by digest with `key` (a file, or a key service's URI) and verify it; False if it was signed.

    Verification is against `public_key` where one is given, so that a wrong signing key is found here.
    """
    if "://" not in key and not Path(key).is_file():
        raise InvalidInput("the signing key does not exist", path=key, fix="give --key or set COSIGN_KEY")
    if "://" not in key and "COSIGN_PASSWORD" not in env:
        raise InvalidInput(
            "COSIGN_PASSWORD is not set", fix="pass it in the environment; an empty one is allowed"
        )
    pushed = output.pushed(image)
    where = place(pushed.image, env)
    reference = where.reference(pushed.digest)
    with tempfile.TemporaryDirectory() as folder:
        public = public_key or str(Path(folder) / "cosign.pub")
        if not public_key:
            Path(public).write_text(_public_key(key))
        new = not _verifies(reference, public, plain=where.plain)
        if new:
            _sign(image, reference, key, plain=where.plain)
            verify(reference, public, plain=where.plain)
        _attest(image, Reference(pushed.image, None, pushed.digest), output, key, public, env)
    record = {"image": pushed.image, "digest": pushed.digest, "reference": reference, "verified": "yes"}
    output.put_signature(image, record)
    return record, new


def _sign(image: str, reference: str, key: str, *, plain: bool) -> None:
    options = ["--allow-http-registry"] if plain else []
    try:
        _cosign(
            "sign",
            "--yes",
            f"--key={key}",
            "--use-signing-config=false",
            "--tlog-upload=false",
            *options,
            reference,
        )
    except CommandFailed as exc:
        raise PipelineFailed(f"{image} could not be signed: {_last(exc)}") from exc


def _attest(
    image: str, pushed: Reference, output: Output, key: str, public: str, env: Mapping[str, str]
) -> None:
    """Keep beside the image what its scan found, unless the newest statement there says the same."""
    told = predicate(output.scan(image, pushed.digest or ""))
    where = place(pushed.name, env)
    with Registry(ecr=True, env=env) as registry:
        there = scanned(registry, pushed, Path(public).read_bytes())
        if there and there.counts == told["scanner"]["result"]["counts"]:
            return
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "scan.json"
            file.write_text(json.dumps(told))
            options = ["--allow-http-registry"] if where.plain else []
            try:
                _cosign(
                    *("attest", "--yes", f"--key={key}", "--type=vuln", f"--predicate={file}"),
                    *("--use-signing-config=false", "--tlog-upload=false"),
                    *options,
                    where.reference(pushed.digest or ""),
                )
            except CommandFailed as exc:
                raise PipelineFailed(f"the scan of {image} could not be attested: {_last(exc)}") from exc
        if scanned(registry, pushed, Path(public).read_bytes()) is None:
            raise PipelineFailed(
                f"the attested scan of {image} is not in the registry", fix="run the stage again"
            )


def _public_key(key: str) -> str:
    try:
        return _cosign("public-key", f"--key={key}")
    except CommandFailed as exc:
        raise InvalidInput(
            f"the signing key cannot be used: {_last(exc)}", fix="check COSIGN_PASSWORD"
        ) from exc


def _verifies(reference: str, public_key: str, *, plain: bool) -> bool:
    try:
        verify(reference, public_key, plain=plain)
    except PipelineFailed:
        return False
    return True


def verify(reference: str, public_key: str, *, plain: bool) -> None:
    """Raise unless the image has a signature that the public key confirms."""
    options = ["--allow-http-registry"] if plain else []
    try:
        _cosign("verify", f"--key={public_key}", "--insecure-ignore-tlog=true", *options, reference)
    except CommandFailed as exc:
        raise PipelineFailed(f"no valid signature on {reference}: {_last(exc)}") from exc


def _cosign(*arguments: str) -> str:
    return run([toolchain.tool("cosign"), *arguments], timeout=120).stdout


def _last(exc: CommandFailed) -> str:
    return (exc.output.strip().splitlines() or [exc.message])[-1]
