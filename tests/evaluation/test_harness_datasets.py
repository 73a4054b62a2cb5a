import hashlib
import http.server
import json
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ir_datasets
import pytest
from harness_sets import DOCUMENTS, QUERIES, write_beir

from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.harness.datasets import read_dataset
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.scenario import DatasetSpec
from retriever.evaluation.judgements import Span


def read(tmp_path, **keys):
    return read_dataset(DatasetSpec(name="set", **keys), tmp_path, tmp_path / "cache", Progress(hidden=True))


def test_a_folder_in_beir_layout(tmp_path):
    write_beir(tmp_path / "set")
    dataset = read(tmp_path, path="set")
    assert [document.id for document in dataset.documents] == list(DOCUMENTS)
    assert dataset.documents[0].text.startswith("Signing keys Signing keys are rotated")
    assert dict(dataset.judgements.queries) == {query: text for query, (text, _) in QUERIES.items()}
    assert dataset.judgements.grades["q4"] == {"backup": 1, "noise": 0}
    assert dataset.notes == ()


def test_a_limit_takes_the_first_queries_and_other_judgements_are_another_dataset(tmp_path):
    write_beir(tmp_path / "set")
    whole, part = read(tmp_path, path="set"), read(tmp_path, path="set", limit=2)
    assert list(part.judgements.queries) == ["q1", "q2"]
    assert part.checksums.corpus == whole.checksums.corpus
    assert part.checksums.queries != whole.checksums.queries
    assert part.checksums.qrels != whole.checksums.qrels


def test_checksums_do_not_depend_on_how_the_files_are_written(tmp_path):
    first = write_beir(tmp_path / "set")
    corpus = [json.loads(line) for line in (first / "corpus.jsonl").read_text("utf-8").splitlines()]
    before = read(tmp_path, path="set").checksums
    lines = [json.dumps({"text": row["text"], "title": row["title"], "_id": row["_id"]}) for row in corpus]
    (first / "corpus.jsonl").write_text("\n\n".join(lines) + "\n", "utf-8")
    assert read(tmp_path, path="set").checksums == before
    (first / "corpus.jsonl").write_text("\n".join(lines).replace("quarter", "month") + "\n", "utf-8")
    after = read(tmp_path, path="set").checksums
    assert after.corpus != before.corpus
    assert (after.queries, after.qrels) == (before.queries, before.qrels)


def test_a_users_own_folder_with_gold_spans(tmp_path):
    (tmp_path / "docs" / "more").mkdir(parents=True)
    (tmp_path / "docs" / "keys.md").write_text("# Keys\n\nRotated every quarter.\n", "utf-8")
    (tmp_path / "docs" / "more" / "disk.txt").write_text("E4711 means that the disk is full.\n", "utf-8")
    (tmp_path / "docs" / "image.txt").write_bytes(b"\x00\x01\x02\xff" * 50)
    (tmp_path / "q.jsonl").write_text('{"id": 1, "text": "how often"}\n{"id": 2, "text": "E4711"}\n', "utf-8")
    (tmp_path / "qrels.jsonl").write_text(
        '{"query": 1, "document": "keys.md", "start": 8, "end": 30}\n{"query": 2, "document": "more/disk.txt"}\n',
        "utf-8",
    )
    dataset = read(tmp_path, folder="docs", queries="q.jsonl", qrels="qrels.jsonl")
    assert sorted(document.id for document in dataset.documents) == ["keys.md", "more/disk.txt"]
    assert dataset.judgements.spans == {"1": [Span("keys.md", 8, 30)]}
    assert [note for note in dataset.notes if note.startswith("image.txt was not read")]


def test_what_is_not_there_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("RETRIEVER_DATA", raising=False)
    with pytest.raises(ConfigurationError, match="the variable RETRIEVER_DATA is not set"):
        read(tmp_path, path="${RETRIEVER_DATA}/scifact")
    with pytest.raises(ConfigurationError, match=r"nowhere holds no corpus\.jsonl"):
        read(tmp_path, path="nowhere")
    with pytest.raises(ConfigurationError, match=r"there is nothing at .*docs, .*q, .*r"):
        read(tmp_path, folder="docs", queries="q", qrels="r")


def test_a_bad_line_is_named(tmp_path):
    folder = write_beir(tmp_path / "set")
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": 7, "text": "a"}\n')
    with pytest.raises(InvalidInput, match=r"corpus\.jsonl, line 7: _id, title and text are strings"):
        read(tmp_path, path="set")


def test_documents_with_one_id_are_refused(tmp_path):
    folder = write_beir(tmp_path / "set")
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "keys", "text": "a"}\n')
    with pytest.raises(InvalidInput, match="1 documents have the id of another one"):
        read(tmp_path, path="set")


def test_judgements_of_another_corpus_are_refused_with_examples_of_both(tmp_path):
    folder = write_beir(tmp_path / "set")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tdoc-1\t1\n", "utf-8")
    with pytest.raises(InvalidInput, match=r"are like 'backup', .*, those in the judgements like 'doc-1'"):
        read(tmp_path, path="set")


def test_relevant_documents_that_are_missing_are_noted(tmp_path):
    folder = write_beir(tmp_path / "set")
    with (folder / "qrels" / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("q1\tlost\t1\n")
    assert read(tmp_path, path="set").notes == ("1 relevant documents are not in the corpus: 'lost'",)


@contextmanager
def served(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            requests.append(self.path)

    requests: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", requests
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def published(tmp_path):
    folder = write_beir(tmp_path / "source" / "set")
    (tmp_path / "web").mkdir()
    with zipfile.ZipFile(tmp_path / "web" / "set.zip", "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder.parent))
    digest = hashlib.sha256((tmp_path / "web" / "set.zip").read_bytes()).hexdigest()
    with served(tmp_path / "web") as (address, requests):
        yield f"{address}/set.zip", digest, requests


def test_a_published_set_is_fetched_once(tmp_path, published):
    url, digest, requests = published
    first = read(tmp_path, url=url, sha256=digest)
    again = read(tmp_path, path="nowhere", url=url, sha256=digest)
    assert [document.id for document in first.documents] == list(DOCUMENTS)
    assert again.checksums == first.checksums
    assert requests == ["/set.zip"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [digest]


def test_what_is_not_what_the_checksum_says_is_not_used(tmp_path, published):
    url, digest, _ = published
    with pytest.raises(ConfigurationError, match=f"has the SHA-256 {digest}, not {'0' * 64}"):
        read(tmp_path, url=url, sha256="0" * 64)
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_the_way_out_is_named(tmp_path, published):
    url, digest, _ = published
    with pytest.raises(
        ConfigurationError, match=r"nowhere holds no corpus.*missing\.zip cannot be fetched.*give path="
    ):
        read(tmp_path, path="nowhere", url=url.replace("set.zip", "missing.zip"), sha256=digest)


def test_a_member_that_would_leave_the_folder_stays_in_it(tmp_path, published):
    url, _, _ = published
    with zipfile.ZipFile(tmp_path / "web" / "set.zip", "a") as packed:
        packed.writestr("../../outside.txt", "no")
    digest = hashlib.sha256((tmp_path / "web" / "set.zip").read_bytes()).hexdigest()
    read(tmp_path, url=url, sha256=digest)
    assert [path.parent.name for path in tmp_path.rglob("outside.txt")] == [digest]


def test_a_set_of_ir_datasets(tmp_path):
    class Doc(NamedTuple):
        doc_id: str
        text: str

        def default_text(self):
            return self.text

    class Docs(ir_datasets.formats.BaseDocs):
        def docs_iter(self):
            return iter([Doc(name, f"{title} {text}") for name, (title, text) in DOCUMENTS.items()])

    class Queries(ir_datasets.formats.BaseQueries):
        def queries_iter(self):
            return (ir_datasets.formats.GenericQuery(query, text) for query, (text, _) in QUERIES.items())

    class Qrels(ir_datasets.formats.BaseQrels):
        def qrels_iter(self):
            return iter(
                [
                    ir_datasets.formats.TrecQrel("q2", "errors", 1, "0"),
                    ir_datasets.formats.TrecQrel("q6", "noise", 0, "0"),
                ]
            )

    ir_datasets.registry.register("small-set", ir_datasets.Dataset(Docs(), Queries(), Qrels()))
    dataset = read(tmp_path, ir_datasets="small-set")
    assert [document.id for document in dataset.documents] == list(DOCUMENTS)
    assert dataset.judgements.queries == {"q2": "E4712", "q6": "submarine"}
    assert dataset.judgements.grades == {"q2": {"errors": 1}, "q6": {"noise": 0}}
    with pytest.raises(ConfigurationError, match="ir_datasets has no nothing-of-the-kind here"):
        read(tmp_path, ir_datasets="nothing-of-the-kind")


def test_an_address_that_is_none(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown url type"):
        read(tmp_path, url="example.org/set.zip", sha256="0" * 64)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_handbook_fits_together(tmp_path, language):
    folder = Path(__file__).parents[2] / "benchmarks" / "sets" / "handbook" / language
    dataset = read(tmp_path, path=str(folder))
    assert dataset.notes == ()
    assert all(dataset.judgements.relevant(query) for query in dataset.judgements.queries)
    assert all(document.text.strip() for document in dataset.documents)
