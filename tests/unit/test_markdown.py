"""Text of others does nothing in a pull request."""

import pytest
from slipway.markdown import code, table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "`plain`"),
        ("ping @ana and @team/x", "`ping @\u200bana and @\u200bteam/x`"),
        ("fixes #12, owner/repo#3, !4", "`fixes #\u200b12, owner/repo#\u200b3, !\u200b4`"),
        ("mail a@b.c", "`mail a@\u200bb.c`"),
        ("two\nlines\tand  more", "`two lines and more`"),
        ("use `x` or ``y``", "``` use `x` or ``y`` ```"),
        ("`x`", "`` `x` ``"),
        ("<b>[link](http://x)</b>", "`<b>[link](http://x)</b>`"),
        (" ", "` `"),
    ],
)
def test_code_is_shown_as_it_is(text, shown):
    """A code span of one line, with a fence that the text cannot end, in which nothing is a mention or a number."""
    assert code(text) == shown


def test_table_cells_keep_their_columns():
    """A bar in a cell begins no column."""
    assert table(["a", "b"], [["`x|y`", "z"]]) == ["| a | b |", "| --- | --- |", "| `x\\|y` | z |"]
