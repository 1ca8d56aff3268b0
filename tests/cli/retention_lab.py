"""A registry that lists, takes and drops tags, and images of a given age in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from tests.cli.bump_lab import OCI, OCI_INDEX, Registry, _RegistryHandler, query, sha

NOW = datetime.now(UTC).replace(microsecond=0)


def ago(days: float) -> str:
    """The time that many days before now, as an image's configuration writes it."""
    return (NOW - timedelta(days=days)).isoformat().replace("+00:00", "Z")


class Keeper(Registry):
    """The registry; `written` and `deleted` are the tags that were, `page` how many tags it lists at once."""

    def __init__(self):
        super().__init__()
        self.http.RequestHandlerClass = _Handler
        self.written: list[str] = []
        self.deleted: list[str] = []
        self.page = 1000

    def tags(self, image: str) -> list[str]:
        """The tags of a repository, sorted."""
        repository = image.partition("/")[2]
        return sorted(tag for name, tag in self.manifests if name == repository and ":" not in tag)

    def sign(self, image: str, digest: str, suffix: str = "") -> str:
        """Store what cosign does: a signature, reached through an index under a tag named after the image."""
        repository = image.partition("/")[2]
        body = json.dumps({"schemaVersion": 2, "mediaType": OCI, "subject": {"digest": digest}, "layers": []})
        signature = sha(body.encode())
        self.manifests[repository, signature] = (OCI, body.encode())
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{"digest": signature}]})
        tag, raw = f"sha256-{digest[7:]}{suffix}", index.encode()
        self.manifests[repository, tag] = self.manifests[repository, sha(raw)] = (OCI_INDEX, raw)
        return sha(raw)

    def untag(self, image: str, tag: str) -> None:
        """Take away a tag behind the tools' backs; the image stays."""
        del self.manifests[image.partition("/")[2], tag]


class _Handler(_RegistryHandler):
    def do_GET(self):
        lab: Keeper = self.server.lab
        repository, listing, _ = urlsplit(self.path).path.removeprefix("/v2/").partition("/tags/list")
        if not listing:
            super().do_GET()
            return
        tags = sorted(tag for name, tag in lab.manifests if name == repository and ":" not in tag)
        if not tags:
            self.answer(404)
            return
        last = query(self.path).get("last", [""])[0]
        shown = [tag for tag in tags if tag > last][: lab.page]
        more = {}
        if shown and shown[-1] != tags[-1]:
            more = {"Link": f'</v2/{repository}/tags/list?n={lab.page}&last={shown[-1]}>; rel="next"'}
        self.answer(200, json.dumps({"name": repository, "tags": shown}).encode(), **more)

    def do_PUT(self):
        lab: Keeper = self.server.lab
        body = self.rfile.read(int(self.headers["Content-Length"]))
        repository, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        if lab.before and lab.before(self):
            return
        lab.manifests[repository, tag] = (self.headers["Content-Type"], body)
        lab.written.append(tag)
        self.answer(201, b"")

    def do_DELETE(self):
        lab: Keeper = self.server.lab
        repository, _, tag = self.path.removeprefix("/v2/").partition("/manifests/")
        del lab.manifests[repository, tag]
        lab.deleted.append(tag)
        self.answer(202, b"")
