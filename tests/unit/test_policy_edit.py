"""One hold or one freeze goes in or out of a policy; every other byte stays, or the edit is refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slipway.errors import EditRefused, PolicyRefused
from slipway.paths import CHECKOUT
from slipway.policy.edit import add_freeze, add_hold, remove_freeze, remove_hold
from slipway.policy.environment import Freeze, Hold, parse_policy

PATH = "overlays/dev/environment.yaml"
BASE = "name: dev\norder: 1\ndelivery: direct\n"
HOLD = Hold(app="board", reason="rolled back", since=datetime(2026, 11, 23, 9, 30, tzinfo=UTC), by="ana")
OTHER = "{app: other, reason: r, since: 2026-11-23T09:30:00Z, by: eve}"
LINES = 'app: board\n{pad}reason: "rolled back"\n{pad}since: "2026-11-23T09:30:00Z"\n{pad}by: "ana"'
FLOW = '{app: board, reason: "rolled back", since: "2026-11-23T09:30:00Z", by: "ana"}'
FREEZE = Freeze(name="year-end", reason="nobody is here", timezone="Europe/Berlin", start="2026-12-20T18:00", end="2027-01-02T08:00")  # fmt: skip
WEEKEND = Freeze(name="weekend", reason="sleep", timezone="UTC", weekly={"days": ["fri", "sat", "sun"], "from": "18:00", "to": "08:00"})  # fmt: skip


def held(text: str, hold: Hold = HOLD) -> str:
    """The text with the hold."""
    return add_hold(text.encode(), hold, path=PATH).decode()


def released(text: str, app: str = "board") -> str:
    """The text without it."""
    return remove_hold(text.encode(), app, path=PATH).decode()


def read(text: str | bytes):
    """What the policy says."""
    data = text.encode() if isinstance(text, str) else text
    return parse_policy(data, environment="dev", path=PATH)


SHAPES = {
    "flow-empty": ("holds: []\nsoak: 1m\n", "holds:\n  - LINES\nsoak: 1m\n"),
    "flow-empty with a comment": ("holds: []  # none\n", "holds:  # none\n  - LINES\n"),
    "no final newline": ("holds: []", "holds:\n  - LINES"),
    "block": (f"holds:\n- {OTHER}\nsoak: 1m\n", f"holds:\n- {OTHER}\n- LINES\nsoak: 1m\n"),
    "deep": (f"holds:\n      - {OTHER}\n", f"holds:\n      - {OTHER}\n      - LINES\n"),
    "comments around": (
        f"holds:  # a\n  # b\n  - {OTHER}  # c\n  # d\n\n# e\nsoak: 1m\n",
        f"holds:  # a\n  # b\n  - {OTHER}  # c\n  - LINES\n  # d\n\n# e\nsoak: 1m\n",
    ),
    "block text last": (
        "holds:\n  - app: other\n    since: 2026-11-23\n    by: eve\n    reason: |\n      one\n\n      two\n\n# c\nsoak: 1m\n",
        "holds:\n  - app: other\n    since: 2026-11-23\n    by: eve\n    reason: |\n      one\n\n      two\n\n  - LINES\n# c\nsoak: 1m\n",
    ),
    "flow": (f"holds: [{OTHER}]  # c\n", f"holds: [{OTHER}, FLOW]  # c\n"),
    "flow over lines": (
        f"holds: [\n  {OTHER},  # c\n]\nsoak: 1m\n",
        f"holds: [\n  {OTHER}, FLOW,  # c\n]\nsoak: 1m\n",
    ),
    "flow-empty over lines": ("holds: [\n]\n", "holds: [\nFLOW]\n"),
    "dash on its own line": (
        "holds:\n  -\n    app: other\n    reason: r\n    since: 2026-11-23\n    by: eve\n",
        "holds:\n  -\n    app: other\n    reason: r\n    since: 2026-11-23\n    by: eve\n  - LINES\n",
    ),
}


@pytest.mark.parametrize("variant", ["as it is", "CRLF", "BOM", "BOM and CRLF"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_hold_goes_in_and_out_exactly(shape, variant):
    """Each layout takes the hold in its own form, and gives every byte back when the hold goes."""

    def vary(text: str) -> str:
        pad = " " * (text.split("- LINES")[0].rsplit("\n", 1)[-1].count(" ") + 2)
        text = BASE + text.replace("LINES", LINES.format(pad=pad)).replace("FLOW", FLOW)
        text = text.replace("\n", "\r\n") if "CRLF" in variant else text
        return "\ufeff" + text if "BOM" in variant else text

    before, after = map(vary, SHAPES[shape])
    assert held(before) == after
    assert released(after) == before
    assert read(after).hold("board") == HOLD


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "holds: []\n"),
        ("holds:   []\n", "holds: []\n"),
        ("holds:\t[ ]\n", "holds: []\n"),
    ],
)
def test_what_add_and_remove_do_not_give_back_is_canonical(before, after):
    """A missing key comes back as an empty list, and odd space before an empty one as one space."""
    assert released(held(BASE + before)) == BASE + after


def test_an_environment_in_braces_stays_in_braces():
    """A whole policy in flow style is edited in flow style."""
    text = "{name: dev, order: 1, delivery: direct, holds: []}\n"
    assert held(text) == text.replace("[]", f"[{FLOW}]")
    assert released(held(text)) == text
    with pytest.raises(EditRefused, match="in braces"):
        held(text.replace(", holds: []", ""))


def test_the_first_of_several_goes():
    """Whichever item is removed, its neighbours and the comments between stay."""
    third = OTHER.replace("other", "third")
    block = f"holds:\n  # a\n  - {FLOW}  # goes\n  # b\n  - {OTHER}  # c\n  - {third}\n"
    assert released(BASE + block) == BASE + f"holds:\n  # a\n  # b\n  - {OTHER}  # c\n  - {third}\n"
    assert released(BASE + block, "third") == BASE + block.replace(f"  - {third}\n", "")
    flow = f"holds: [{FLOW}, {OTHER}]\n"
    assert released(BASE + flow) == BASE + f"holds: [{OTHER}]\n"
    assert released(BASE + flow, "other") == BASE + f"holds: [{FLOW}]\n"
    assert released(BASE + f"holds: [{FLOW} , ]\n") == BASE + "holds: []\n"
    commented = f"holds:  # all\n  # a\n  - {FLOW}\n  # b\nsoak: 1m\n"
    assert released(BASE + commented) == BASE + "holds: []  # all\n  # a\n  # b\nsoak: 1m\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"holds: [\n  {FLOW},  # why\n  {OTHER}]\n", "comment between brackets"),
        ("holds:\n  - # why\n    app: board\n    reason: r\n    since: 2026-11-23\n    by: e\n", "right after its dash"),
        ("...\n# end\n", "exact edit"),
    ],
)  # fmt: skip
def test_what_cannot_be_edited_exactly_is_refused(text, reason):
    """Layouts in which a byte or a meaning would change are refused with the file, and nothing is given back."""
    with pytest.raises(EditRefused, match=reason) as caught:
        (released if "board" in text else held)(BASE + text)
    assert caught.value.path == PATH and caught.value.fix and caught.value.exit_code == 3


def test_held_twice_and_released_twice_are_refused():
    """A hold replaces nothing, and what is not held cannot be released."""
    with pytest.raises(PolicyRefused, match="board is held in dev already, by ana: rolled back") as caught:
        held(held(BASE))
    assert "slipway release board --env dev" in caught.value.fix
    with pytest.raises(EditRefused, match="other is not held in dev"):
        released(held(BASE), "other")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"name: dev\n", b"name: dev\nholds: {}\n"])
def test_C11_a_corrupt_policy_is_not_edited(data):
    """What cannot be read is refused by the reader's own reason, never mended on the way."""
    for edit in (lambda: add_hold(data, HOLD, path=PATH), lambda: remove_freeze(data, "x", path=PATH)):
        with pytest.raises(PolicyRefused, match="policy"):
            edit()


def test_time_is_written_in_utc_and_whole_seconds():
    """Whatever zone the caller's clock is in, the file says UTC."""
    summer = timezone(timedelta(hours=2))
    since = datetime(2026, 7, 1, 1, 2, 3, 456, tzinfo=summer)
    text = held(BASE, HOLD.model_copy(update={"since": since}))
    assert 'since: "2026-06-30T23:02:03Z"' in text
    assert read(text).hold("board").since == since.replace(microsecond=0)


def test_a_freeze_goes_in_and_out():
    """Both kinds of freeze are written in the house form, and are what was meant when read."""
    once = add_freeze(f"{BASE}freezes: []\nholds: []\n".encode(), FREEZE, path=PATH)
    assert once.decode() == BASE + (
        'freezes:\n  - name: year-end\n    start: "2026-12-20T18:00"\n    end: "2027-01-02T08:00"\n'
        '    timezone: "Europe/Berlin"\n    reason: "nobody is here"\nholds: []\n'
    )
    both = add_freeze(once, WEEKEND, path=PATH)
    assert (
        b'  - name: weekend\n    weekly: {days: [fri, sat, sun], from: "18:00", to: "08:00"}\n    timezone: "UTC"\n'
        in both
    )
    assert read(both).freezes == [FREEZE, WEEKEND]
    assert yaml.safe_load(both)["freezes"][1]["weekly"]["from"] == "18:00"  # not 1080, as a bare 18:00 is
    assert remove_freeze(both, "weekend", path=PATH) == once
    assert read(remove_freeze(both, "year-end", path=PATH)).freezes == [WEEKEND]
    with pytest.raises(EditRefused, match="has a freeze named weekend already"):
        add_freeze(both, WEEKEND, path=PATH)
    with pytest.raises(EditRefused, match=r"no freeze named x \(freezes: year-end, weekend\)"):
        remove_freeze(both, "x", path=PATH)
    twice = both.replace(b"weekend", b"year-end")
    with pytest.raises(EditRefused, match="two freezes named year-end"):
        remove_freeze(twice, "year-end", path=PATH)


def test_seconds_of_a_freeze_are_kept():
    """A time that is not on the minute is written whole."""
    odd = FREEZE.model_copy(update={"start": datetime(2026, 12, 20, 18, 0, 30)})
    assert b'start: "2026-12-20T18:00:30"' in add_freeze(BASE.encode(), odd, path=PATH)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_the_shipped_policies_can_be_edited(name):
    """Each environment's own file takes a hold and a freeze and is the same again without them."""
    path = f"overlays/{name}/environment.yaml"
    data = (CHECKOUT / path).read_bytes()
    assert remove_hold(add_hold(data, HOLD, path=path), "board", path=path) == data
    assert remove_freeze(add_freeze(data, FREEZE, path=path), "year-end", path=path) == data


REASONS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
TRICKY = st.sampled_from(["a: b", "# c", "'", '"', "\\", "a\nb", "- x", "{}", "[", "&a", "*a", "!t", "%", "@", "`", "null", "~", "0x1F", " lead", "trail ", "größer 🚢", "\u2028\x85\ufeff\x00\x7f"])  # fmt: skip
NAMES = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\Z") | st.sampled_from(["on", "no", "12e3", "1", "0x1f", "null"])  # fmt: skip
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Etc/GMT+12"])


@st.composite
def holds(draw):
    """Any hold."""
    since = draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
    return Hold(app=draw(NAMES), reason=draw(REASONS | TRICKY), since=since.replace(microsecond=0), by=draw(REASONS))  # fmt: skip


@st.composite
def freezes(draw):
    """Any freeze."""
    common = {"name": draw(NAMES | TRICKY), "reason": draw(REASONS | TRICKY), "timezone": draw(ZONES)}
    if draw(st.booleans()):
        start = draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
        return Freeze(start=start, end=start + draw(st.timedeltas(timedelta(seconds=1), timedelta(400))), **common)  # fmt: skip
    clocks = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59)) | st.just("24:00")
    days = draw(
        st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, unique=True)
    )
    return Freeze(weekly={"days": days, "from": draw(clocks), "to": draw(clocks)}, **common)


@st.composite
def files(draw):
    """A policy in some layout, and whether adding and removing gives back the very bytes."""
    comment = lambda: draw(st.sampled_from(["", "  # keep", " # größer 🚢"]))  # noqa: E731
    pad = draw(st.sampled_from(["", "  ", "     "]))
    item = {
        "holds": ["app: other-app", "reason: 'r # r'", "since: 2026-11-23T09:30:00Z", "by: e"],
        "freezes": ["name: other-freeze", "start: 2026-01-01T00:00", "end: 2026-01-02T00:00", "timezone: UTC", "reason: r"],
    }  # fmt: skip
    parts, exact = [BASE.replace("\n", f"{comment()}\n")], True
    for key in draw(st.permutations(["holds", "freezes"])):
        kind = draw(st.sampled_from(["empty", "missing", "block", "flow", "text"]))
        exact = exact and kind != "missing"
        lines = [line for line in item[key] if not line.startswith("reason")]
        if kind == "empty":
            parts.append(f"{key}: []{comment()}\n")
        elif kind == "flow":
            parts.append(f"{key}: [ {{{', '.join(item[key])}}} ]{comment()}\n")
        elif kind == "text":
            reason = f"reason: |{draw(st.sampled_from(['', '-', '+']))}\n{pad}      one\n\n{pad}      two\n"
            parts.append(f"{key}:\n{pad}- " + f"\n{pad}  ".join([*lines, reason]))
        elif kind == "block":
            parts.append(f"{key}:{comment()}\n{pad}- " + f"{comment()}\n{pad}  ".join(item[key]) + f"{comment()}\n")  # fmt: skip
        parts.append(draw(st.sampled_from(["", "\n", "# between\n", "soak: 1m\n" if "soak: 1m\n" not in parts else ""])))  # fmt: skip
    text = "".join(parts)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return draw(st.sampled_from(["", "\ufeff"])) + text, exact


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files(), holds() | freezes())
def test_any_item_goes_into_any_file_and_out_again(file, item):
    """What comes out says exactly what was meant, is longer by the item alone, and gives the same bytes back."""
    text, exact = file
    before, data = read(text), text.encode()
    if isinstance(item, Hold):
        key, add, remove, name = "holds", add_hold, remove_hold, item.app
    else:
        key, add, remove, name = "freezes", add_freeze, remove_freeze, item.name
    try:
        after = add(data, item, path=PATH)
    except EditRefused as exc:
        # Only where a block text ends with the file: a line below it would end it in a line break.
        assert "exact edit" in exc.message and "reason: |" in text and not text.endswith("\n")
        return
    wanted = before.model_copy(update={key: [*getattr(before, key), item]})
    assert read(after).model_dump() == wanted.model_dump()
    kept = iter(after.decode())
    stripped = text.replace("[]", "").replace(" ", "") if "[]" in text else text.replace(" ", "")
    assert all(character in kept for character in stripped), "a byte of the old file is gone"
    back = remove(after, name, path=PATH)
    assert read(back).model_dump() == before.model_dump()
    if exact:
        assert back == data
    assert remove(add(back, item, path=PATH), name, path=PATH) == back
