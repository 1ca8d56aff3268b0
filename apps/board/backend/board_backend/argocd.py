"""What Argo CD itself says of its Applications, for what no notification told."""

from __future__ import annotations

from slipway.argocd_api import ArgoCD
from slipway.dora.argocd import news
from slipway.errors import StateError

from board_backend.model import Model
from board_backend.store import Store

EVERY = 60.0
"""Seconds between two looks."""

_PATIENCE = 2.0
"""Seconds to wait for the table, which tells what is known already."""


class Applications:
    """Reads all Applications and stores what is news."""

    def __init__(self, server: ArgoCD, model: Model, store: Store):
        self._server, self._model, self._store = server, model, store

    def read(self) -> None:
        """Ask once; raises as `ArgoCD` and `Store` do."""
        if not self._model.loaded.wait(_PATIENCE):
            raise StateError("the facts that are there already have not been read yet")
        found = {}
        for application in self._server.applications():
            labels = (application.get("metadata") or {}).get("labels") or {}
            known = self._model.facts_of(labels.get("environment"), labels.get("application"))
            found |= {fact.identity: fact for fact in news(application, known)}
        if self._store.add(found):
            self._model.poke()
        self._model.sources.ok("argocd")
