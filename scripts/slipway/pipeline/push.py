"""Stage push: the scanned archive, byte for byte, into the registry under a tag that never moves."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.errors import InvalidInput, PipelineFailed, RemoteRefused
from slipway.pipeline import archive
from slipway.pipeline.mirrors import place
from slipway.pipeline.records import Output, Pushed
from slipway.pipeline.registry import Registry, credential


def push(image: str, output: Output, env: Mapping[str, str]) -> tuple[Pushed, bool]:
    """Push one image; False when the registry had it already.

    Refuses an archive that was not scanned, a dirty build, and a tag that holds another digest.
    """
    built = output.built(image)
    if built.tag.endswith("-dirty"):
        raise InvalidInput(f"{image} was built from uncommitted changes", fix="commit them and build again")
    opened = archive.read(output.archive(image))
    output.scan(image, opened.digest)
    opened.verify()
    where = place(built.image, env)
    registry = Registry(where, credential(where, env))
    present = registry.digest(built.tag)
    if present not in (None, opened.digest):
        raise RemoteRefused(
            f"{built.image}:{built.tag} is {present} in the registry, not {opened.digest}; tags never move",
            fix="build from a new commit; if the base changed, that commit may be empty",
        )
    if present is None:
        for blob in (opened.config, *opened.layers):
            if not registry.has_blob(blob.digest):
                with opened.open(blob) as stream:
                    registry.put_blob(blob.digest, blob.size, stream)
        registry.put_manifest(built.tag, opened.media_type, opened.manifest)
    reported = registry.digest(built.tag)
    if reported != opened.digest:
        raise PipelineFailed(
            f"the registry reports {reported} for {built.image}:{built.tag}, not {opened.digest}"
        )
    record = Pushed(built.image, built.tag, reported, built.revision, built.created)
    output.put_pushed(image, record)
    return record, present is None
