import json

import pytest

from benchmarks.report import NONE, Bar, Result, Row, formatted, publish

ROWS = [
    Row(("a", "hybrid"), 0.73, "score", Bar(at_least=0.725), "0.714 RRF", {"queries": "300"}, {"queries": 300}),
    Row(("a", "keyword"), 0.6, "score", Bar(at_least=0.68)),
    Row(("b", "keyword"), 0.9, "score"),
]


@pytest.mark.parametrize(
    ("bar", "unit", "text"),
    [
        (Bar(at_least=0.9), "share", "≥ 90.0%"),
        (Bar(at_most=3), "times", "≤ 3.00 ×"),
        (Bar.around(0.645, 0.003), "score", "0.645 ± 0.003"),
        (NONE, "count", "0"),
    ],
)
def test_a_bar_in_words(bar, unit, text):
    assert bar.text(unit) == text


def test_a_bar_holds_at_its_edge_and_is_judged_unrounded():
    assert Bar(at_least=0.9).holds(0.9)
    assert not Bar(at_least=0.9).holds(0.89999)
    assert Bar(at_most=3).holds(3)
    assert not Bar.around(0.645, 0.003).holds(0.6485)
    assert not NONE.holds(1)


def test_figures_as_people_read_them():
    assert formatted(12_345.6, "rate") == "12,346/s"
    assert formatted(0.0014 * 1_000, "milliseconds") == "1.40 ms"


def test_a_row_without_a_bar_has_no_verdict():
    assert [row.verdict for row in ROWS] == ["pass", "miss", ""]


def test_the_table_leaves_empty_columns_out():
    heads = [column.header for column in Result("quality", ("set", "mode"), ROWS[2:], {}).table().columns]
    assert heads == ["set", "mode", "measured"]
    heads = [column.header for column in Result("quality", ("set", "mode"), ROWS, {}).table().columns]
    assert heads == ["set", "mode", "measured", "must be", "reference", "verdict", "queries"]


def test_publishing_says_whether_a_bar_was_missed(tmp_path, capsys):
    path = tmp_path / "result.json"
    assert publish(Result("quality", ("set", "mode"), ROWS, {"limit": None}), path) == 1
    assert "miss" in capsys.readouterr().out
    content = json.loads(path.read_text("utf-8"))
    assert (content["benchmark"], content["passed"]) == ("quality", False)
    assert content["rows"][0] == {
        "set": "a",
        "mode": "hybrid",
        "measured": 0.73,
        "unit": "score",
        "at_least": 0.725,
        "at_most": None,
        "reference": "0.714 RRF",
        "verdict": "pass",
        "shown": {"queries": "300"},
        "details": {"queries": 300},
    }
    assert publish(Result("quality", ("set", "mode"), ROWS[:1], {}), None) == 0
