"""The border to what a repository of images holds: ECR by its own API, any other by the OCI distribution API.

Both list the images with the times that a lifecycle policy looks at, and give one more tag to an image or take it
away. The distribution API lists tags only and knows no time of a push: of images without a tag those asked for are
found, and the time at which an image was made stands in for that of its push.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Protocol

import httpx

from slipway.errors import ImageNotFound, InvalidInput, RemoteRefused, Unreachable
from slipway.pipeline.mirrors import VARIABLE, parse, place
from slipway.registry.client import ECR, INDEXES, Registry
from slipway.registry.ecr_lifecycle import Stored
from slipway.registry.references import Reference
from slipway.writing.lineage import parse_time

_PAGE, _BATCH = 1000, 100
_CREATED = "org.opencontainers.image.created"


class Contents(Protocol):
    """One repository of images."""

    def images(self, wanted: Collection[str]) -> list[Stored]:
        """Every image there is, with the children and referrers of those in `wanted` (digests) for certain."""

    def tag(self, digest: str, tag: str) -> None:
        """Give an image one more tag, its manifest byte for byte."""

    def untag(self, tag: str) -> None:
        """Take away a tag; the image must have another."""


def open_contents(
    name: str, registry: Registry, *, ecr: bool, env: Mapping[str, str] = os.environ
) -> Contents:
    """The repository that an image's name is in; raises `InvalidInput` when its registry is not one of ours."""
    host, _, repository = name.partition("/")
    if host in parse(env.get(VARIABLE, "")):
        return OciContents(name, registry, env)
    found = ECR.fullmatch(host)
    if not found:
        fix = f"leave it out with --skip-registry {host}, or name where it is in {VARIABLE}"
        raise InvalidInput(f"{name} is in a registry that no lifecycle policy of ours reaches", fix=fix)
    if not ecr:
        raise InvalidInput(f"{name} is in ECR", fix="give --ecr, and this process an AWS identity")
    return EcrContents(repository, *found.groups())


class OciContents:
    """A repository behind the distribution API."""

    def __init__(self, name: str, registry: Registry, env: Mapping[str, str] = os.environ):
        self.name, self.registry, self.place = name, registry, place(name, env)

    def images(self, wanted: Collection[str]) -> list[Stored]:
        """As `Contents` says; of images without a tag only the wanted ones and what belongs to them."""
        found: dict[str, Stored] = {}
        with ThreadPoolExecutor(8) as pool:
            for tag, image in pool.map(lambda tag: (tag, self._image(tag)), self._tags()):
                if image:
                    tags = found[image.digest].tags if image.digest in found else ()
                    found[image.digest] = replace(image, tags=(*tags, tag))
            untagged = {*wanted, *(digest for found in pool.map(self._referrers, wanted) for digest in found)}
            while new := [digest for digest in untagged if digest not in found]:
                found |= {image.digest: image for image in pool.map(self._image, new) if image}
                untagged = {child for digest in new if digest in found for child in found[digest].children}
            held = {child for image in found.values() for child in image.children} - found.keys()
            found |= {image.digest: image for image in pool.map(self._image, held) if image}
        return list(found.values())

    def tag(self, digest: str, tag: str) -> None:
        """As `Contents` says."""
        manifest = self._ask(f"manifests/{digest}", digest)
        headers = {"Content-Type": manifest.headers["content-type"]}
        self._ask(f"manifests/{tag}", tag, "PUT", content=manifest.content, headers=headers)

    def untag(self, tag: str) -> None:
        """As `Contents` says."""
        self._ask(f"manifests/{tag}", tag, "DELETE")

    def _ask(self, path: str, what: str, method: str = "GET", **options) -> httpx.Response:
        digest = what if ":" in what else None
        reference = Reference(self.name, None if digest else what, digest)
        return self.registry.ask(self.place, path, reference, method, **options)

    def _tags(self) -> list[str]:
        tags, path = [], f"tags/list?n={_PAGE}"
        while path:
            try:
                answer = self._ask(path, "*")
            except ImageNotFound:
                return tags
            tags += answer.json().get("tags") or []
            more = re.search(r"<[^>]*/(tags/list\?[^>]*)>", answer.headers.get("link", ""))
            path = more[1] if more else ""
        return tags

    def _image(self, name: str) -> Stored | None:
        """The image under a tag or digest without its tags, None where there is none."""
        try:
            manifest, digest = self._document(f"manifests/{name}", name)
        except ImageNotFound:
            return None
        children, created = (), (manifest.get("annotations") or {}).get(_CREATED)
        if "manifests" in manifest:
            children = tuple(inner["digest"] for inner in manifest["manifests"])
        elif config := (manifest.get("config") or {}).get("digest"):
            created = self._document(f"blobs/{config}", config)[0].get("created") or created
        subject = (manifest.get("subject") or {}).get("digest")
        return Stored(digest, (), parse_time(created), children=children, subject=subject)

    def _document(self, path: str, what: str) -> tuple[dict, str]:
        body = self._ask(path, what).content
        try:
            data = json.loads(body)
        except ValueError:
            data = {}
        return data if isinstance(data, dict) else {}, "sha256:" + sha256(body).hexdigest()

    def _referrers(self, digest: str) -> list[str]:
        try:
            listed = self._ask(f"referrers/{digest}", digest).json()
        except (ImageNotFound, RemoteRefused, ValueError):
            return []  # a registry without that part of the API has the referrers under tags
        return [inner["digest"] for inner in listed.get("manifests") or []]


class EcrContents:
    """A repository of ECR, by the AWS API and this process's AWS identity."""

    def __init__(self, repository: str, account: str, region: str):
        self.repository, self.account, self.region = repository, account, region

    def images(self, wanted: Collection[str]) -> list[Stored]:
        """As `Contents` says."""
        with self._client("listed") as ecr:
            pages = ecr.get_paginator("describe_images").paginate(**self._where)
            details = [detail for page in pages for detail in page["imageDetails"]]
        indexes = [d["imageDigest"] for d in details if d.get("imageManifestMediaType") in INDEXES]
        children = {image["imageId"]["imageDigest"]: _children(image) for image in self._manifests(indexes)}
        return [_stored(detail, children.get(detail["imageDigest"], ())) for detail in details]

    def tag(self, digest: str, tag: str) -> None:
        """As `Contents` says."""
        (image,) = self._manifests([digest])
        names = ("imageManifest", "imageManifestMediaType")
        with self._client(f"given the tag {tag}") as ecr:
            try:
                ecr.put_image(
                    imageTag=tag,
                    imageDigest=digest,
                    **{n: image[n] for n in names if n in image},
                    **self._where,
                )
            except ecr.exceptions.ImageAlreadyExistsException:
                return

    def untag(self, tag: str) -> None:
        """As `Contents` says."""
        with self._client(f"relieved of the tag {tag}") as ecr:
            ecr.batch_delete_image(imageIds=[{"imageTag": tag}], **self._where)

    def _manifests(self, digests: Sequence[str]) -> list[dict]:
        """The images with their manifests; one that is gone by now is an error."""
        images = []
        with self._client("read") as ecr:
            for start in range(0, len(digests), _BATCH):
                ids = [{"imageDigest": digest} for digest in digests[start : start + _BATCH]]
                images += ecr.batch_get_image(imageIds=ids, **self._where)["images"]
        if len(images) < len(digests):
            raise ImageNotFound(f"{self.repository} changes while it is read", fix="run it again")
        return images

    @property
    def _where(self) -> dict[str, str]:
        return {"registryId": self.account, "repositoryName": self.repository}

    @contextmanager
    def _client(self, done: str) -> Iterator:
        from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

        try:
            yield self._ecr
        except EndpointConnectionError as exc:
            raise Unreachable(f"ECR in {self.region} does not answer: {exc}", fix="try again later") from exc
        except (BotoCoreError, ClientError) as exc:
            what = f"ECR's repository {self.repository} cannot be {done}: {exc}"
            rights = "ecr:DescribeImages, BatchGetImage, PutImage and BatchDeleteImage"
            raise RemoteRefused(what, fix=f"give this process an AWS identity with {rights}") from exc

    @cached_property
    def _ecr(self):
        import boto3

        return boto3.client("ecr", region_name=self.region)


def _children(image: dict) -> tuple[str, ...]:
    return tuple(inner["digest"] for inner in json.loads(image["imageManifest"]).get("manifests") or [])


def _stored(detail: dict, children: tuple[str, ...]) -> Stored:
    def utc(key: str) -> datetime | None:
        return detail[key].astimezone(UTC) if detail.get(key) else None

    restored, archived = utc("lastActivatedAt"), detail.get("imageStatus") == "ARCHIVED"
    return Stored(
        detail["imageDigest"],
        tuple(detail.get("imageTags", ())),
        restored or utc("imagePushedAt"),
        max(filter(None, (utc("lastRecordedPullTime"), restored)), default=None),
        utc("lastArchivedAt") or utc("imagePushedAt") if archived else None,
        children,
        detail.get("subjectManifestDigest"),
    )
