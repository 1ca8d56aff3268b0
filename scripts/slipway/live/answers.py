"""The verdicts of all places, in the order of the environments: those that Git gives, and those of what is observed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from slipway.argocd_api import Observed
from slipway.live.subject import Found
from slipway.live.verdict import Verdict, judge


def answers(found: Found, observe: Callable[[str], Observed] | None) -> list[Verdict]:
    """Every verdict; `observe` is asked about the Applications by name, and without it only Git's are given."""
    judged: list[Verdict] = []
    if observe:
        with ThreadPoolExecutor(8) as pool:
            seen = pool.map(lambda place: observe(f"{place.environment}-{place.app}"), found.places)
            pairs = zip(found.places, seen, strict=True)
            judged = [judge(place, one, datetime.now(UTC)) for place, one in pairs]
    return sorted([*judged, *found.verdicts], key=lambda one: (found.order.index(one.environment), one.app))


def not_built(environment: str) -> Verdict:
    """What is to be said of a commit that no commit of the deploy branch records."""
    fix = "see the pipeline's builds; a commit that only bumps is not built"
    text = "no commit of the deploy repository records it: not built, or not bumped"
    return Verdict(environment, "", "not-built", text, fix)
