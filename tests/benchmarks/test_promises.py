"""Figures of promises: kept as they were written, and told in the tables as they were measured."""

import json

import pytest

from benchmarks import kept, promises
from benchmarks.__main__ import main
from benchmarks.promises import LINES, Line, keep_promise, read_promises, summary, whole
from benchmarks.report import NONE, Bar, Result, Row, publish
from retriever.errors import InvalidInput
from retriever.evaluation.harness.manifest import checkout

ROWS = [
    Row(("writing 5 chunks", "Edge"), 0.5, "share", Bar(at_least=0.9), shown={"ours": "1 | 2"}),
    Row(("writing 5 chunks", "Chroma"), 1.25, "share", Bar(at_least=0.9)),
    Row(("lost", "Edge"), 0, "count", NONE),
    Row(("lost", "Chroma"), 0, "count", NONE),
    Row(("time", "Edge"), 2, "seconds"),
]
PLACED = (
    Line((("made-up", "writing *"),), "writing", "写入"),
    Line((("made-up", "lost, *"),), "lost", "丢失", {"files": 5}),
    Line((("made-up", "time, Edge"),), "time", "时间"),
)


@pytest.fixture
def written(tmp_path, monkeypatch, capsys):
    """What a benchmark wrote, and an own place for what is kept."""
    monkeypatch.setattr(promises, "FOLDER", tmp_path / "kept")
    path = tmp_path / "figures.json"
    publish(Result("made-up", ("what", "store"), ROWS, {"files": 5}), path)
    content = json.loads(path.read_text("utf-8"))
    content["environment"]["dirty"] = False  # as in a checkout without changes
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_what_a_benchmark_wrote_is_kept_and_told(written, capsys):
    assert main(["keep", str(written)]) == 0
    assert "made-up.json" in capsys.readouterr().out
    found = read_promises()
    assert list(found) == ["made-up"]
    assert list(summary(found, PLACED, is_chinese=False))[2:] == [
        "| writing | 50.0% (missed), 125.0% | ≥ 90.0% |",
        "| lost | 0 | 0 |",
        "| time | 2.0 s |  |",
    ]
    assert "| 写入 | 50.0%（未达到）, 125.0% | ≥ 90.0% |" in summary(found, PLACED, is_chinese=True)
    assert list(whole(found["made-up"])) == [
        "| made-up | measured | must be | verdict | ours |",
        "| --- | --- | --- | --- | --- |",
        r"| writing 5 chunks, Edge | 50.0% | ≥ 90.0% | miss | 1 \| 2 |",
        "| writing 5 chunks, Chroma | 125.0% | ≥ 90.0% | pass |  |",
        "| lost, Edge | 0 | 0 | pass |  |",
        "| lost, Chroma | 0 | 0 | pass |  |",
        "| time, Edge | 2.0 s |  |  |  |",
    ]
    text = "<!-- results:made-up -->\n<!-- /results:made-up -->\n"
    assert "| time, Edge | 2.0 s |" in kept.written(text)


def test_stores_are_kept_apart(written):
    content = json.loads(written.read_text("utf-8"))
    for store, name in (("edge", "made-up"), ("chroma", "made-up-chroma")):
        written.write_text(json.dumps({**content, "settings": {"store": store}}), "utf-8")
        assert keep_promise(written).stem == name


def test_what_is_no_result_is_not_kept(written):
    written.write_text('{"benchmark": "speed"}', "utf-8")
    with pytest.raises(InvalidInput, match=r"figures.json is not what a benchmark writes"):
        keep_promise(written)
    assert not promises.FOLDER.exists()


def test_a_line_without_a_figure_is_an_error(written):
    keep_promise(written)
    found = read_promises()
    with pytest.raises(InvalidInput, match=r"made-up has no figure 'nothing'.*writing 5 chunks, Edge"):
        list(summary(found, (Line((("made-up", "nothing"),), "", ""),), is_chinese=False))
    with pytest.raises(InvalidInput, match="made-up was measured with files 5, not 6"):
        list(summary(found, (Line((("made-up", "*"),), "", "", {"files": 6}),), is_chinese=False))
    with pytest.raises(InvalidInput, match="no figures of other are kept"):
        list(summary(found, (Line((("other", "*"),), "", ""),), is_chinese=False))
    (promises.FOLDER / "made-up.json").write_text("{}", "utf-8")
    with pytest.raises(InvalidInput, match="damaged"):
        read_promises()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["environment"].update(dirty=True), "a checkout with changes"),
        (lambda content: content["rows"][0].update(verdict="pass"), "0.5 is not 'pass' by its bar"),
        (lambda content: content["rows"].clear(), "at least 1 item"),
    ],
)
def test_what_cannot_be_believed_is_not_kept(written, change, message):
    content = json.loads(written.read_text("utf-8"))
    change(content)
    written.write_text(json.dumps(content), "utf-8")
    with pytest.raises(InvalidInput, match=message):
        keep_promise(written)
    assert not promises.FOLDER.exists()


def test_a_commit_or_a_change_meanwhile_counts():
    now = checkout()
    result = Result("made-up", ("what", "store"), ROWS, {})
    before = json.loads(result.as_json(("another", False)))["environment"]
    assert (before["commit"], before["dirty"]) == ("another", True)
    same = json.loads(result.as_json(now))["environment"]
    assert (same["commit"], same["dirty"]) == now


def test_kept_promises_come_from_one_clean_commit_each():
    assert read_promises().keys() >= {name for line in LINES for name, _ in line.rows}
    for name, promise in read_promises().items():
        assert promise.environment["commit"], name
        assert promise.environment["dirty"] is False, name
        assert promise.name == name


def test_every_line_says_two_languages():
    assert all(line.english and line.chinese and line.english != line.chinese for line in LINES)
