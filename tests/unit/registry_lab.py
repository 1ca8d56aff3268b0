"""Small images, pushed to a registry as any client does it."""

from __future__ import annotations

import hashlib
import json

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data: bytes) -> str:
    """As registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest(registry: httpx.Client, name: str, content: str) -> bytes:
    """The manifest of an image that holds `content`, whose blob is in the registry afterwards."""
    blob = json.dumps({"architecture": "amd64", "os": "linux", "content": content}).encode()
    begun = registry.post(f"/v2/{name}/blobs/uploads/").raise_for_status()
    where = httpx.URL(begun.headers["Location"]).copy_add_param("digest", digest(blob))
    registry.put(where, content=blob).raise_for_status()
    config = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest(blob),
        "size": len(blob),
    }
    return json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}, sort_keys=True
    ).encode()


def push(registry: httpx.Client, name: str, tag: str, content: str) -> httpx.Response:
    """Push an image under a tag."""
    body = manifest(registry, name, content)
    return registry.put(f"/v2/{name}/manifests/{tag}", content=body, headers={"Content-Type": MANIFEST})


def held(registry: httpx.Client, name: str, tag: str) -> str | None:
    """The digest that a tag names."""
    found = registry.head(f"/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST})
    return found.headers["Docker-Content-Digest"] if found.status_code == 200 else None
