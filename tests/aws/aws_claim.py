"""What a claim is: a function that yields whatever breaks one property of the templates, known by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from aws_template import Assembly, Resource

Claim = Callable[[Assembly], Iterator[str]]
CLAIMS: dict[str, Claim] = {}


def claim(function: Callable[[Assembly], Iterator[Resource | str]]) -> Claim:
    """Register the property under the function's name."""

    def offenders(assembly: Assembly) -> Iterator[str]:
        return map(str, function(assembly))

    CLAIMS[function.__name__] = offenders
    return offenders


def failing(assembly: Assembly) -> set[str]:
    """The names of the properties that do not hold."""
    return {name for name, offenders in CLAIMS.items() if list(offenders(assembly))}
