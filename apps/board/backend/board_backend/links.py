"""Where a person looks further."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from board_backend.schema import Links
from board_backend.settings import Settings


class Addresses:
    """The pages of commits and applications; None where none is known."""

    def __init__(self, settings: Settings):
        self._deploy = _page(settings.deploy_repo, settings.git_url)
        self._source = _page(settings.source_repo, settings.git_url)
        self._argocd = settings.argocd_url and settings.argocd_url.rstrip("/")

    def source(self, sha: str | None) -> str | None:
        """The page of a source commit."""
        return f"{self._source}/commit/{sha}" if self._source and sha else None

    def deploy(self, sha: str) -> str | None:
        """The page of a deploy commit."""
        return f"{self._deploy}/commit/{quote(sha, safe='')}" if self._deploy else None

    def of(self, environment: str, application: str, revision: str, commit: str | None) -> Links:
        """The pages of what runs in a place."""
        argocd = self._argocd and f"{self._argocd}/applications/argocd/{environment}-{application}"
        return Links(commit=self.source(commit), deploy=self.deploy(revision), argocd=argocd)


def _page(repository: str | None, public: str | None) -> str | None:
    """The page of a repository: where it is fetched from, or below `public` under the same path."""
    parts = urlsplit(repository or "")
    path = parts.path.rstrip("/").removesuffix(".git")
    if public and path:
        return public.rstrip("/") + path
    return f"{parts.scheme}://{parts.netloc}{path}" if parts.scheme in ("http", "https") else None
