"""Reading judged sets: three forms of qrels, two of queries, and errors that name the line."""

import json

import pytest

from retriever.errors import InvalidInput
from retriever.evaluation.judgements import Span, read_judgements, write_qrels


@pytest.fixture
def files(tmp_path):
    def write(queries, qrels, names=("queries.jsonl", "qrels.tsv")):
        paths = [tmp_path / name for name in names]
        for path, text in zip(paths, (queries, qrels), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    return write


QUERIES = '{"_id": "q1", "text": "how?"}\n\n{"id": 2, "text": "为什么？"}\n{"_id": "q3", "text": "unjudged"}\n'


@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\nq1\ta b.md\t1\nq1\tx\t0\n2\t中文::二.md\t3\n",
        "q1\t0\ta b.md\t1\nq1\t0\tx\t0\n2\t0\t中文::二.md\t3\n",
        '{"query": "q1", "document": "a b.md"}\n{"query-id": "q1", "corpus-id": "x", "score": 0}\n'
        '{"query_id": 2, "doc_id": "中文::二.md", "relevance": 3}\n',
    ],
    ids=["beir", "trec", "jsonl"],
)
def test_the_forms_say_the_same(files, qrels):
    judged = read_judgements(*files(QUERIES, qrels))
    assert judged.queries == {"q1": "how?", "2": "为什么？"}
    assert judged.grades == {"q1": {"a b.md": 1, "x": 0}, "2": {"中文::二.md": 3}}
    assert judged.relevant("q1") == {"a b.md"}


def test_trec_columns_between_spaces(files):
    assert read_judgements(*files(QUERIES, "q1 0 a 1\n2   0 b -1\n")).grades == {"q1": {"a": 1}, "2": {"b": -1}}


def test_a_first_line_that_is_a_judgement_is_no_header(files):
    assert read_judgements(*files(QUERIES, "q1\ta\t1\n")).grades == {"q1": {"a": 1}}


@pytest.mark.parametrize("grade", ["+1", "1.5"])
def test_a_first_line_with_another_number_is_no_header_either(files, grade):
    paths = files(QUERIES, f"q1\ta\t{grade}\n2\tb\t1\n")
    if grade == "+1":
        assert read_judgements(*paths).grades["q1"] == {"a": 1}
    else:
        with pytest.raises(InvalidInput, match=r"line 1: a grade is a whole number, not '1\.5'"):
            read_judgements(*paths)


def test_queries_as_tsv_with_a_byte_order_mark(files):
    judged = read_judgements(*files("\ufeffq1\thow is\tit?\n", "q1\ta\t1\n", ("queries.tsv", "qrels.tsv")))
    assert judged.queries == {"q1": "how is\tit?"}


def test_gold_spans(files):
    rows = [
        {"query": "q1", "document": "a", "start": 3, "end": 9},
        {"query": "q1", "document": "a", "start": 20, "end": 21},
    ]
    judged = read_judgements(*files(QUERIES, "\n".join(map(json.dumps, rows))))
    assert judged.spans == {"q1": [Span("a", 3, 9), Span("a", 20, 21)]}
    assert judged.grades == {"q1": {"a": 1}}


def test_limit_counts_judged_queries_in_the_order_of_the_file(files):
    paths = files('{"_id": "0", "text": "x"}\n' + QUERIES, "2\ta\t1\nq1\ta\t1\n")
    assert list(read_judgements(*paths, limit=1).queries) == ["q1"]


def test_judged_queries_without_a_text_are_named(files):
    assert read_judgements(*files(QUERIES, "q1\ta\t1\nlost\ta\t1\n")).unasked == ("lost",)


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (QUERIES, "q1\ta\t1\nq1\tb\tmany\n", r"qrels\.tsv, line 2: a grade is a whole number, not 'many'"),
        (QUERIES, "q1\ta\t1\n\nq1\ta\t2\n", r"line 3: document 'a' has grade 2 for query 'q1' here and 1"),
        (QUERIES, "one two\n", r"line 1: a judgement is query id"),
        (QUERIES, '{"query": "q1"}\n', r"line 1: there is no document or corpus-id"),
        (QUERIES, '{"query": "q1", "document": "a", "start": 4, "end": 4}\n', r"line 1: a span from 4 to 4 is empty"),
        (QUERIES, '{"query": "q1", "document": "a", "start": 4}\n', r"line 1: end is a whole number, not None"),
        (QUERIES, '{"query": "q1", "document": "a", "grade": 1.5}\n', r"line 1: a grade is a whole number, not 1\.5"),
        (QUERIES, "{broken\n", r"line 1: not JSON"),
        (QUERIES, "q1\t \t1\n", r"line 1: the id of the document is blank"),
        (QUERIES, "\ta\t1\n", r"line 1: the id of the query is blank"),
        (QUERIES, "q1\ta\t1000000000000\n", r"line 1: grade 1000000000000 is beyond what trec_eval can hold"),
        (QUERIES, '{"query": "q1", "document": "\\ud800"}\n', r"line 1: '\\ud800' holds a lone surrogate"),
        ('{"_id": "q1", "text": "\\ud800"}\n', "q1\ta\t1\n", r"line 1: '\\ud800' holds a lone surrogate"),
        (QUERIES, "", r"holds no judgement"),
        (QUERIES, "other\ta\t1\n", r"no query of .* is judged in .*: ids of queries there are like 'q1', '2', 'q3'"),
        ('{"_id": "q1", "text": " "}\n', "q1\ta\t1\n", r"queries\.jsonl, line 1: a query is"),
        ('{"text": "x"}\n', "q1\ta\t1\n", r"line 1: there is no _id or id"),
        ("[1]\n", "q1\ta\t1\n", r"line 1: a query is"),
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', "a\ta\t1\n", r"line 2: query 'a' is there a second"),
    ],
)
def test_errors_name_the_line(files, queries, qrels, message):
    with pytest.raises(InvalidInput, match=message):
        read_judgements(*files(queries, qrels))


def test_files_that_cannot_be_read(files, tmp_path):
    queries, _ = files(QUERIES, "q1\ta\t1\n")
    with pytest.raises(InvalidInput, match=r"nowhere\.tsv cannot be read: No such file"):
        read_judgements(queries, tmp_path / "nowhere.tsv")
    (tmp_path / "latin").write_bytes(b"q1\t\xe4\t1\n")
    with pytest.raises(InvalidInput, match="latin is not UTF-8"):
        read_judgements(queries, tmp_path / "latin")


def test_qrels_for_trec_eval_have_one_word_an_id(tmp_path):
    path = tmp_path / "qrels.trec"
    write_qrels(path, {"q 1": {"a\tb": 1, "中文": 0}})
    assert path.read_text(encoding="utf-8") == "q%201 0 a%09b 1\nq%201 0 中文 0\n"
