"""Byte-exact edits of an environment's policy: one hold or one freeze goes in or out, every other byte stays.

The YAML parser only tells where things are; text is spliced in or cut out, and what results is read again and must
be the old policy with exactly that one item more or less. Whatever does not come out so is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from slipway.errors import EditRefused, PolicyRefused
from slipway.policy.environment import Freeze, Hold, parse_policy
from slipway.yaml_tree import NUMBER_LIKE, Node, TreeError, lines_below, parse_tree, quoted

_PLAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def add_hold(data: bytes, hold: Hold, *, path: str) -> bytes:
    """The policy with this hold at the end of `holds:`; its time is written in UTC, in whole seconds.

    Raises `PolicyRefused` when the application is held already, `EditRefused` when the file allows no exact edit.
    """
    file = _PolicyFile(data, path)
    if old := file.policy.hold(hold.app):
        message = f"{hold.app} is held in {file.policy.name} already, by {old.by}: {old.reason}"
        fix = f"`slipway release {hold.app} --env {file.policy.name}` lifts that hold"
        raise PolicyRefused(message, path=path, fix=fix)
    since = hold.since.replace(tzinfo=hold.since.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)
    pairs = {
        "app": hold.app,
        "reason": hold.reason,
        "since": f"{since:%Y-%m-%dT%H:%M:%SZ}",
        "by": hold.by,
    }
    return file.add("holds", hold.model_copy(update={"since": since}), _written(pairs))


def remove_hold(data: bytes, app: str, *, path: str) -> bytes:
    """The policy without the hold on an application; raises `EditRefused` when there is none."""
    file = _PolicyFile(data, path)
    index = next((i for i, hold in enumerate(file.policy.holds) if hold.app == app), None)
    if index is None:
        raise file.refuse(f"{app} is not held in {file.policy.name}", "nothing is to be released")
    return file.remove("holds", index)


def add_freeze(data: bytes, freeze: Freeze, *, path: str) -> bytes:
    """The policy with this freeze at the end of `freezes:`.

    Raises `EditRefused` when there is one of that name, or when the file allows no exact edit.
    """
    file = _PolicyFile(data, path)
    if any(freeze.name == old.name for old in file.policy.freezes):
        reason = f"{file.policy.name} has a freeze named {freeze.name} already"
        raise file.refuse(reason, "give another name, or lift that one first")
    pairs = {"name": freeze.name}
    if freeze.start and freeze.end:
        pairs |= {"start": _local(freeze.start), "end": _local(freeze.end)}
    extra = []
    if freeze.weekly:
        days = ", ".join(freeze.weekly.days)
        hours = f'from: "{freeze.weekly.from_}", to: "{freeze.weekly.to}"'
        extra = [f"weekly: {{days: [{days}], {hours}}}"]
    rest = _written({"timezone": freeze.timezone, "reason": freeze.reason})
    return file.add("freezes", freeze, [*_written(pairs), *extra, *rest])


def remove_freeze(data: bytes, name: str, *, path: str) -> bytes:
    """The policy without the freeze of that name; raises `EditRefused` when there is none, or more than one."""
    file = _PolicyFile(data, path)
    found = [i for i, freeze in enumerate(file.policy.freezes) if freeze.name == name]
    if not found:
        known = ", ".join(freeze.name for freeze in file.policy.freezes) or "none"
        raise file.refuse(
            f"{file.policy.name} has no freeze named {name} (freezes: {known})", "correct the name"
        )
    if len(found) > 1:
        raise file.refuse(
            f"{file.policy.name} has two freezes named {name}", "give each its own name by hand"
        )
    return file.remove("freezes", found[0])


class _PolicyFile:
    """One policy file: its text, its tree and what it says."""

    def __init__(self, data: bytes, path: str):
        self.path = path
        try:
            self.text = data.decode("utf-8")
            self.root = parse_tree(self.text)
        except (UnicodeDecodeError, TreeError):
            parse_policy(data, environment="", path=path)  # says why, as for every other reader
            raise
        name = next((value.value for key, value in self.root.pairs if key.value == "name"), "")
        self.policy = parse_policy(data, environment=name, path=path)

    def refuse(
        self, reason: str, fix: str = "edit the file by hand", node: Node | None = None
    ) -> EditRefused:
        """The error to raise."""
        return EditRefused(reason, path=self.path, line=node.line if node else None, fix=fix)

    def add(self, key: str, item: Hold | Freeze, lines: list[str]) -> bytes:
        """Put an item, given as its `key: value` lines, at the end of the list under `key`."""
        old = getattr(self.policy, key)
        pair = self._pair(key)
        block = [f"  - {lines[0]}", *(f"    {line}" for line in lines[1:])]
        flow = "{" + ", ".join(lines) + "}"
        if pair is None:
            if self.root.flow:
                raise self.refuse(f"`{key}` cannot be added to a file in braces", node=self.root)
            splices = [lines_below(self.text, len(self.text), [f"{key}:", *block])]
        elif pair[1].flow:
            splices = self._into_flow(*pair, block, flow)
        else:
            indent = self._indent(pair[1].items[0])
            block = [indent + line[2:] for line in block]
            splices = [lines_below(self.text, pair[1].end, block)]
        return self._finish(splices, key, [*old, item])

    def _into_flow(self, key: Node, node: Node, block: list[str], flow: str) -> list[tuple[int, int, str]]:
        """Splices that add to a list in brackets; an empty one becomes a list of lines, the house form."""
        if node.items:
            return [(node.items[-1].end, node.items[-1].end, f", {flow}")]
        gap = re.compile(r"\s*:([ \t]*\[ *\])").match(self.text, key.end)
        if self.root.flow or not gap or gap.end() != node.end:
            return [(node.end - 1, node.end - 1, flow)]
        return [(gap.start(1), gap.end(1), ""), lines_below(self.text, node.end, block)]

    def remove(self, key: str, index: int) -> bytes:
        """Cut an item out of the list under `key`: its own lines, or its place between brackets, and no more."""
        old = getattr(self.policy, key)
        pair = self._pair(key)
        if pair[1].flow:
            splices = [self._from_flow(pair[1], index)]
        else:
            splices = [self._own_lines(pair[1].items[index])]
            if len(old) == 1:
                colon = re.compile(r"\s*:").match(self.text, pair[0].end).end()
                splices = [(colon, colon, " []"), *splices]
        return self._finish(splices, key, [*old[:index], *old[index + 1 :]])

    def _from_flow(self, node: Node, index: int) -> tuple[int, int, str]:
        items, item = node.items, node.items[index]
        start, end = item.start, item.end
        if index:
            start = items[index - 1].end
        elif len(items) > 1:
            end = items[1].start
        else:
            end = node.end - 1
        around = self.text[start : item.start] + self.text[item.end : end]
        if not re.fullmatch(r"[\s,]*", around):
            raise self.refuse("a comment between brackets would be lost", node=item)
        return start, end, ""

    def _own_lines(self, item: Node) -> tuple[int, int, str]:
        """From the line of the item's dash to the line of its last character, endings included."""
        dash = self._dash(item)
        start = max(self.text.rfind(ending, 0, dash) for ending in "\r\n") + 1
        last = item.start + len(self.text[item.start : item.end].rstrip())
        rest = re.compile(r"[^\r\n]*(\r\n|\n|\r)?").match(self.text, last)
        if not rest[1]:  # the file has no final newline, and shall have none
            start = len(self.text[:start].removesuffix("\n").removesuffix("\r"))
        return start, rest.end(), ""

    def _indent(self, item: Node) -> str:
        dash = self._dash(item)
        return self.text[max(self.text.rfind(ending, 0, dash) for ending in "\r\n") + 1 : dash]

    def _dash(self, item: Node) -> int:
        """Where the item's dash is; refuses what stands between the two, or before the dash."""
        before = self.text[: item.start].rstrip()
        if not re.search(r"(^|[\r\n])[ \ufeff]*-$", before):
            raise self.refuse("the item does not begin right after its dash", node=item)
        return len(before) - 1

    def _pair(self, key: str) -> tuple[Node, Node] | None:
        return next((pair for pair in self.root.pairs if pair[0].value == key), None)

    def _finish(self, splices: list[tuple[int, int, str]], key: str, items: list) -> bytes:
        """The spliced bytes; refuses unless they are the old policy with `items` under `key`."""
        parts, last = [], 0
        for start, end, new in splices:
            parts += [self.text[last:start], new]
            last = end
        text = "".join([*parts, self.text[last:]])
        wanted = self.policy.model_copy(update={key: items}).model_dump()
        try:
            data = text.encode("utf-8")
            same = parse_policy(data, environment=self.policy.name, path=self.path).model_dump() == wanted
            same = same and _others(parse_tree(text), key) == _others(self.root, key)
        except (UnicodeEncodeError, PolicyRefused, TreeError):
            same = False
        if not same:
            pair = self._pair(key)
            raise self.refuse("the file's layout does not allow an exact edit", node=pair and pair[0])
        return data


def _others(root: Node, key: str) -> list:
    return [(name.shape(), value.shape()) for name, value in root.pairs if name.value != key]


def _local(moment: datetime) -> str:
    whole = not moment.second and not moment.microsecond
    return moment.isoformat(timespec="minutes" if whole else "auto")


def _written(pairs: dict[str, str]) -> list[str]:
    """`key: value` in the house form: names plain, everything else quoted."""
    return [f"{key}: {_value(key, value)}" for key, value in pairs.items()]


def _value(key: str, value: str) -> str:
    plain = key in ("app", "name") and _PLAIN.fullmatch(value) and not NUMBER_LIKE.fullmatch(value)
    return value if plain else quoted(value)
