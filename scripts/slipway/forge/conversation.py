"""What both forges take in the same way: one comment of ours on a pull request, and statuses of commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slipway.rest import Rest

DESCRIPTION_LIMIT = 140
"""Characters of a status that both forges show."""


class Conversation:
    """Comments and statuses of one repository; `paging` are the parameters for long pages."""

    def __init__(self, rest: Rest, repository: str, paging: Mapping[str, int]):
        self._rest, self._repository, self._paging = rest, repository, paging

    def comment(self, number: int, marker: str, body: str) -> tuple[str, bool]:
        """Have one comment of this user that begins with `marker`; its address, and whether it is new.

        A comment of somebody else is never touched, whatever it begins with.
        """
        wanted = {"body": f"{marker}\n{body}"}
        me = self._rest.ask("GET", "/user").json()["login"]
        for one in self._comments(number):
            if one["user"]["login"] == me and one["body"].startswith(marker):
                if one["body"] != wanted["body"]:
                    path = f"{self._repository}/issues/comments/{one['id']}"
                    self._rest.ask("PATCH", path, json=wanted)
                return one["html_url"], False
        answer = self._rest.ask("POST", f"{self._repository}/issues/{number}/comments", json=wanted)
        return answer.json()["html_url"], True

    def set_status(self, sha: str, context: str, state: str, description: str, url: str | None) -> None:
        """Say of a commit that `context` is pending, success, failure or error."""
        shown = (
            description
            if len(description) <= DESCRIPTION_LIMIT
            else f"{description[: DESCRIPTION_LIMIT - 1]}…"
        )
        body = {"state": state, "context": context, "description": shown} | (
            {"target_url": url} if url else {}
        )
        self._rest.ask("POST", f"{self._repository}/statuses/{sha}", json=body)

    def _comments(self, number: int) -> Iterator[dict]:
        """Every comment; a forge that does not page gives the same ones again, which ends it too."""
        seen: set[int] = set()
        page = 1
        while True:
            params = {**self._paging, "page": page}
            listed = self._rest.ask(
                "GET", f"{self._repository}/issues/{number}/comments", params=params
            ).json()
            new = [one for one in listed if one["id"] not in seen]
            if not new:
                return
            yield from new
            seen |= {one["id"] for one in new}
            page += 1
