from __future__ import annotations

import csv
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.loading import Unloaded, load
from retriever.types import Document


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def ids(outcomes):
    return [o.id if isinstance(o, Document) else f"!{o.path}" for o in outcomes]


def test_rows_are_named_by_id_or_number(read):
    rows = [{"text": "a"}, {"id": "x", "text": "b"}, {"_id": 7, "text": "c"}, {"id": "", "text": "d"}]
    assert ids(read("a.jsonl", lines(*rows))) == ["a.jsonl#1", "a.jsonl#x", "a.jsonl#7", "a.jsonl#4"]


def test_ids_that_are_no_names(read):
    rows = [{"id": True, "text": "a"}, {"id": 1.5, "text": "b"}, {"id": None, "text": "c"}, {"id": ["x"], "text": "d"}]
    assert ids(read("a.jsonl", lines(*rows))) == [f"a.jsonl#{n}" for n in range(1, 5)]


def test_an_id_that_comes_twice_names_the_first_row_only(read):
    rows = [{"id": "x", "text": "a"}, {"id": "x", "text": "b"}, {"id": 2, "text": "c"}, {"id": 4, "text": "d"}]
    assert ids(read("a.jsonl", lines(*rows))) == ["a.jsonl#x", "a.jsonl#2", "a.jsonl#3", "a.jsonl#4"]


def test_no_two_rows_get_one_id(read):
    outcomes = read("a.jsonl", lines({"id": 2, "text": "a"}, {"text": "b"}))
    assert ids(outcomes) == ["a.jsonl#2", "!a.jsonl#2"]
    assert "row above" in outcomes[1].reason


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "a", "content": "b"}, "a"),
        ({"content": "b", "body": "c"}, "b"),
        ({"body": "c"}, "c"),
        ({"page_content": "d"}, "d"),
        ({"text": 5, "content": "b"}, "b"),
        ({"title": "T", "text": "a"}, "T\n\na"),
        ({"title": "T", "text": ""}, "T"),
        ({"title": " ", "text": "a"}, "a"),
        ({"title": 5, "text": "a"}, "a"),
        ({"q": "why?", "n": 5, "ok": True, "no": None, "empty": ""}, "q: why?\nn: 5\nok: true"),
        ({"名": "值", "tags": ["a", "é"], "in": {"x": 1}}, '名: 值\ntags: ["a", "é"]\nin: {"x": 1}'),
        ({"zero": 0, "false": False}, "zero: 0\nfalse: false"),
    ],
)
def test_the_text_of_a_row(read, row, text):
    assert [d.text for d in read("a.jsonl", lines(row))] == [text]
    assert [d.text for d in read("a.json", json.dumps([row]))] == [text]


def test_the_metadata_of_a_row(read):
    row = {
        "id": 5,
        "text": "the text",
        "content": "other",
        "title": "T",
        "year": 1999,
        "score": 0.5,
        "ok": False,
        "large": 2**53 + 1,
        "least": -(2**53),
        "none": None,
        "list": [1],
        "nested": {"a": 1},
        "": "no name",
        "path": "of the row",
        "format": "of the row",
    }
    [document] = read("a.jsonl", lines(row))
    assert document.metadata == {
        "path": "a.jsonl",
        "format": "json",
        "id": 5,
        "content": "other",
        "title": "T",
        "year": 1999,
        "score": 0.5,
        "ok": False,
        "large": "9007199254740993",
        "least": -(2**53),
    }
    assert document.metadata["ok"] is False


def test_numbers_that_are_none(read):
    [document] = read("a.jsonl", '{"text": "a", "x": NaN, "y": Infinity, "z": 1e999}\n')
    assert set(document.metadata) == {"path", "format"}


def test_long_values_are_text_and_not_metadata(read):
    long = "x" * 1001
    [document] = read("a.jsonl", lines({"abstract": long, "year": 1}))
    assert long in document.text
    assert "abstract" not in document.metadata
    [document] = read("a.jsonl", lines({"text": "a", "abstract": long}))
    assert document.text == f"a\n\nabstract: {long}"
    assert "abstract" not in document.metadata
    [document] = read("a.jsonl", lines({"text": f"a {long} b", "abstract": long, "title": long}))
    assert document.text == f"{long}\n\na {long} b", "it is there already"
    assert set(document.metadata) == {"path", "format"}


def test_metadata_is_bounded(read):
    row = {f"key {n}": n for n in range(100)} | {"k" * 1001: 1, "id": "x" * 1001, "huge": int("9" * 1001)}
    for more in ({}, {"text": "the text"}):
        [document] = read("a.jsonl", lines(row | more))
        assert document.id == "a.jsonl#1"
        assert set(document.metadata) == {"path", "format", *(f"key {n}" for n in range(64))}
        assert all(f"key {n}: {n}" in document.text for n in range(64, 100))
        assert all(value in document.text for value in ("k" * 1001, "x" * 1001, "9" * 1001))


def test_many_columns_and_names_that_come_twice(read):
    [document] = read("a.csv", "a (3),b,a,a (3)\n1,2,3,4\n")
    assert document.text == "a (3): 1\nb: 2\na: 3\na (3) (4): 4"
    count = 100_000
    [document] = read("a.csv", ",".join(["x"] * count) + "\n" + ",".join(["1"] * count) + "\n")
    assert document.text.count("\n") == count - 1


def test_surrogates_of_escapes_are_left(read):
    [document] = read("a.jsonl", '{"text": "\\ud800"}\n')
    assert document.text == "\ud800"
    [document] = read("a.jsonl", '{"text": "\\udc80"}\n')
    assert document.text == "\udc80"


def test_blank_lines_and_missing_end(read):
    assert ids(read("a.jsonl", '\n{"text":\r"a"}\r\n\n{"text": "b"}')) == ["a.jsonl#2", "a.jsonl#4"]


DEEP = "[" * 100_000 + "]" * 100_000
BROKEN = ['{"text": "b"', "no", "[1]", '"text"', "5", f'{{"a": {DEEP}}}', '{"a": ' + "9" * 5000 + "}"]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda line: line[:12])
def test_a_broken_line_costs_only_itself(read, broken):
    outcomes = read("a.jsonl", lines({"text": "a"}) + broken + "\n" + lines({"text": "c"}))
    assert ids(outcomes) == ["a.jsonl#1", "!a.jsonl#2", "a.jsonl#3"]
    assert outcomes[1].kind == "failed"
    assert outcomes[1].reason.startswith("line 2 is not")


def test_a_line_that_is_not_utf8_costs_only_itself(read):
    data = [lines({"text": "检索系统" * 5}).encode()] * 3
    data[1] = data[1].replace("系".encode(), b"\xff", 1)
    outcomes = read("a.jsonl", b"".join(data))
    assert ids(outcomes) == ["a.jsonl#1", "!a.jsonl#2", "a.jsonl#3"]
    assert outcomes[1].reason == "line 2 is not valid UTF-8"


def test_values_too_deep_to_be_written_out(read):
    """Parsers may go deeper than writers; whatever the depth, nothing is raised."""
    for depth in (500, 900, 980, 995, 2000, 20_000):
        outcomes = read("a.jsonl", '{"a": ' + "[" * depth + "1" + "]" * depth + "}\n" + lines({"text": "b"}))
        assert ids(outcomes)[-1] == "a.jsonl#2"


@pytest.mark.parametrize(
    "content",
    [
        lines({"id": "x", "text": "a"}) + "broken\n" + lines({"id": "y", "text": "b"}),
        "broken\n" + lines({"text": "a"}, {"id": "x", "text": "b"}),
        "broken\n",
        lines({"text": "a"}) + '{"text": "cut',
        lines({"text": "a"}) + "broken\n" * 101 + lines({"text": "a"}),
    ],
    ids=["rows have ids", "a later row has one", "no good row", "cut short", "too many"],
)
def test_a_broken_line_that_may_be_any_row_protects_the_whole_file(read, content):
    last = read("a.jsonl", content)[-1]
    assert (last.path, last.kind) == ("a.jsonl", "failed")
    assert "nothing of the file is forgotten" in last.reason


def test_reports_of_broken_lines_are_bounded(read):
    outcomes = read("a.jsonl", "broken\n" * 5000)
    assert len(outcomes) == 101
    assert outcomes[-1].reason.startswith("5000 rows are broken")


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_rows_in_other_encodings(read, encoding):
    rows = [{"text": "检索系统支持中文"}, {"text": "今天天气很好"}]
    assert [d.text for d in read("a.jsonl", lines(*rows).encode(encoding))] == [row["text"] for row in rows]
    table = "姓名;城市\n张三;北京\n李四;上海\n".encode(encoding)
    assert [d.text for d in read("a.csv", table)] == ["姓名: 张三\n城市: 北京", "姓名: 李四\n城市: 上海"]


def test_an_encoding_that_is_not_kept_to(read):
    data = lines({"text": "检索系统支持中文"}).encode("gbk") * 3000 + b'{"text": "\xff\xff"}\n'
    outcomes = read("a.jsonl", data)
    assert outcomes[0].text == "检索系统支持中文"
    assert (outcomes[-1].path, outcomes[-1].kind) == ("a.jsonl", "failed")


def test_an_array_of_objects_is_a_document_each(read):
    documents = read("a.json", json.dumps([{"id": "x", "text": "a"}, {"text": "b"}], indent=2))
    assert ids(documents) == ["a.json#x", "a.json#2"]


@pytest.mark.parametrize(
    "text", ['{\n  "a": 1\n}', "[]", "[1, 2]", '[{"a": 1}, 2]', '"a"', "// comment\n{}", "{broken"]
)
def test_other_json_is_the_text_it_is(read, text):
    assert read("a.json", text) == [Document("a.json", text, {"path": "a.json", "format": "json"})]


@pytest.mark.parametrize("text", ['[{"id": 1, "text": "a"}, {"id"', " [", DEEP])
def test_a_broken_array_is_not_taken_for_text(read, text):
    [outcome] = read("a.json", text)
    assert (outcome.path, outcome.kind) == ("a.json", "failed")
    assert outcome.reason.startswith("it is not valid JSON")


def test_a_table(read):
    documents = read("a.csv", 'name,age,note\nAnn,30,\n\nBob,,"two\nlines, one cell"\n,,\n')
    assert documents == [
        Document("a.csv#1", "name: Ann\nage: 30", {"path": "a.csv", "format": "csv", "name": "Ann", "age": "30"}),
        Document(
            "a.csv#3",
            "name: Bob\nnote: two\nlines, one cell",
            {"path": "a.csv", "format": "csv", "name": "Bob", "note": "two\nlines, one cell"},
        ),
    ]


def test_the_text_of_a_table_is_all_of_its_columns(read):
    [document] = read("a.csv", "id,text,title\n5,words,T\n")
    assert document.id == "a.csv#5"
    assert document.text == "id: 5\ntext: words\ntitle: T"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_delimiters(read, name, delimiter):
    rows = [["name", "price"], ["a", "1,5"], ["b; c", "2.5"], ["d|e", "x\ty"]]
    content = "".join(delimiter.join(f'"{cell}"' if delimiter in cell else cell for cell in row) + "\n" for row in rows)
    assert [d.metadata["price"] for d in read(name, content)] == ["1,5", "2.5", "x\ty"]


def test_one_column(read):
    documents = read("a.csv", "name\nAnn, Bob; and others\nCarl\n")
    assert [d.text for d in documents] == ["name: Ann, Bob; and others", "name: Carl"]


def test_rows_of_other_widths_and_odd_headers(read):
    documents = read("a.csv", "a,,a\n1,2,3,4\n5\n")
    assert [d.text for d in documents] == ["a: 1\ncolumn 2: 2\na (3): 3\ncolumn 4: 4", "a: 5"]


def test_a_header_alone_is_a_blank_document(read):
    assert [(d.id, d.text) for d in read("a.csv", "name,age\n")] == [("a.csv", "")]


def test_cells_of_any_size(read):
    [document] = read("a.csv", "name,text\nAnn," + "x" * 1_000_000 + "\n")
    assert len(document.text) > 1_000_000
    assert csv.field_size_limit() >= 1_000_000
    assert "text" not in document.metadata


def test_a_table_with_a_broken_row(read):
    data = ["名字,城市\n", "张三,北京上海\n", "李四,天津\n", "王五,重庆\n"]
    raw = [part.encode() for part in data]
    raw[2] = raw[2].replace("天".encode(), b"\xff")
    outcomes = read("a.csv", b"".join(raw))
    assert ids(outcomes) == ["a.csv#1", "!a.csv#2", "a.csv#3"]


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1))
def test_cells_come_back_as_they_were(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("name", "note"), *rows])
    expected = [{k: v for k, v in zip(("name", "note"), row, strict=True) if v.strip()} for row in rows]
    got = [d.metadata for d in load(path) if d.text]
    assert got == [{"path": "a.csv", "format": "csv", **row} for row in expected if row]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_large_files_are_streamed(tmp_path, name):
    path = tmp_path / name
    body = "x" * 100_000
    with path.open("w") as handle:
        handle.write("name,text\n" if name == "a.csv" else "")
        for number in range(400):
            handle.write(f"{number},{body}\n" if name == "a.csv" else json.dumps({"text": body}) + "\n")
    tracemalloc.start()
    try:
        assert sum(1 for _ in load(path)) == 400
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_line_without_end(read, monkeypatch):
    monkeypatch.setattr("retriever.loading.decode.LONGEST_LINE", 1000)
    outcomes = read("a.jsonl", lines({"text": "a"}) + '{"text": "' + "x" * 2000)
    assert outcomes[0].text == "a"
    assert (outcomes[1].path, outcomes[1].kind) == ("a.jsonl", "failed")
    assert "line is longer" in outcomes[1].reason


def test_a_stream_that_is_left_closes_its_file(read, tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"text": "a"}, {"text": "b"}))
    stream = load(tmp_path)
    assert next(stream) == Document("a.jsonl#1", "a", {"path": "a.jsonl", "format": "json"})
    stream.close()  # an open file would be a ResourceWarning, and that an error
    assert isinstance(read("b.txt", b"\0")[0], Unloaded)
