"""Learned sparse models in a scenario: an axis of its grid, and answers that are those of the public search."""

import pytest
from harness_sets import DOCUMENTS, QUERIES, write_scenario

from retriever import ChunkerConfig, Document, Retriever
from retriever.embedding.hashed import HashedEmbedding
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.harness.verifying import verify_run
from retriever.evaluation.runs import read_run
from retriever.registry import register
from retriever.testing import CountingSparse

GRID = """
[grid]
embeddings = ["hashed"]
chunkers = [{ kind = "whole" }]
stores = ["memory"]
sparse = ["", "longest", "splade:/no/such/folder"]
searches = [{ mode = "keyword" }, { mode = "sparse" }, {}, { sparse_weight = 1 }]
"""
LOAD = """
[load]
repetitions = 1
requests = 10
seconds = 0.1
capacity_seconds = 0.1
shares = [0.5]
clients = [1]
queries = 3
warm_up = 1
filters = []
cold = false
"""
SETTINGS = {
    "longest, whole, memory, sparse": {"mode": "sparse"},
    "hashed, longest, whole, memory, hybrid relative": {},
    "hashed, longest, whole, memory, hybrid relative sparse 1": {"sparse_weight": 1},
}


class Longest(CountingSparse):
    """Prefers long texts: nothing that BM25 does."""

    kind = "longest"

    @staticmethod
    def _weights(text):
        return [7], [float(len(text))]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sparse")
    unregister = register("retriever.sparse", "longest", Longest)
    path = write_scenario(folder, grid=GRID + LOAD)
    yield run_scenario(path, folder / "run", Workspace(folder / "work"), Progress(hidden=True))
    unregister()


def test_each_model_is_combined_with_what_asks_it(ran):
    labels = {configuration.label: configuration for configuration in ran.configurations.values()}
    assert labels.keys() == {
        "whole, memory, keyword",  # once: it is the same with every model
        "hashed, whole, memory, hybrid relative",
        *SETTINGS,
    }
    assert {label for label, found in labels.items() if found.sparse == "longest"} == SETTINGS.keys()
    assert ran.manifest.models["sparse longest"] == Longest().fingerprint
    assert verify_run(ran.path) == []


def test_a_model_that_is_not_there_is_left_out_and_so_is_what_cannot_be_timed(ran):
    left = {left.what: left.reason for left in ran.left_out}
    assert "no model" in left.pop("the learned sparse model splade:/no/such/folder")
    assert left == {"the speed of searches that ask longest": "what asks a learned sparse model is not timed"}
    timed = {ran.configurations[record.configuration].label for record in ran.speed}
    assert timed == {"whole, memory, keyword", "hashed, whole, memory, hybrid relative"}


@pytest.mark.parametrize("label", SETTINGS)
def test_answers_are_those_of_the_public_search(ran, label):
    (name,) = (c.id for c in ran.configurations.values() if c.label == label)
    found = read_run(ran.path / "runs" / "office" / f"{name}.trec")
    with Retriever.open(
        "memory:", embedding="hashed", sparse=Longest(), chunker=ChunkerConfig(kind="whole")
    ) as retriever:
        retriever.index(Document(n, f"{title} {text}".strip()) for n, (title, text) in DOCUMENTS.items())
        for query, (text, _) in QUERIES.items():
            hits = retriever.search(text, **SETTINGS[label])
            assert [name for name, _ in found.get(query, ())] == [hit.document_id for hit in hits], query
            assert [score for _, score in found.get(query, ())] == pytest.approx([hit.score for hit in hits])


def test_the_weight_of_the_sparse_leg_counts(ran):
    beside, instead = (
        (ran.path / "runs" / "office" / f"{c.id}.trec").read_text("utf-8").replace(c.id, "")
        for label in list(SETTINGS)[1:]
        for c in ran.configurations.values()
        if c.label == label
    )
    assert beside != instead


class Short(CountingSparse):
    """Reads eight words."""

    kind = "short"
    max_tokens = 8
    tokeniser = HashedEmbedding().tokeniser


def test_without_its_model_the_other_legs_are_measured_and_what_it_cuts_is_noted(tmp_path):
    unregister = register("retriever.sparse", "short", Short)
    grid = GRID.replace('"", "longest", ', '"short", ')
    made = run_scenario(
        write_scenario(tmp_path, grid=grid.replace("{}, ", '{}, { mode = "semantic" }, ')),
        tmp_path / "run",
        Workspace(tmp_path / "work"),
        Progress(hidden=True),
    )
    unregister()
    notes = {made.configurations[row.configuration].label: row.notes for row in made.summary.rows}
    assert notes.keys() == {
        "whole, memory, keyword",
        "hashed, whole, memory, semantic",
        "short, whole, memory, sparse",
        "hashed, short, whole, memory, hybrid relative",
        "hashed, short, whole, memory, hybrid relative sparse 1",
    }
    for label, noted in notes.items():
        cut = [note for note in noted if "chunks are beyond what the learned sparse model reads" in note]
        assert len(cut) == ("short" in label), label
