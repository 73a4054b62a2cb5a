import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness_sets import DOCUMENTS, GRID, QUERIES, write_scenario

from retriever import ChunkerConfig, Document, Retriever
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.evaluation import systems
from retriever.evaluation.harness import answers as answering
from retriever.evaluation.harness.answers import reranker_digest
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import FOUND, TIMED, read_run_folder
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.measures import measure
from retriever.evaluation.runs import best_documents, read_run
from retriever.evaluation.systems import System, register_system
from retriever.registry import register
from retriever.reranking import Reranker

ROOT = Path(__file__).resolve().parents[2]


def run(path, out, workspace, *, fresh=False):
    return run_scenario(path, out, Workspace(workspace, fresh=fresh), Progress(hidden=True))


def contents(folder):
    """All that has to be the same again. What another commit would change is left out: others may commit meanwhile."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    found = {name: path.read_bytes() for name, path in files.items() if name not in TIMED}
    manifest = json.loads(found["manifest.json"])
    del manifest["commit"], manifest["dirty"]
    return found | {"manifest.json": json.dumps(manifest).encode()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return run(write_scenario(folder), folder / "run", folder / "work")


def test_everything_is_measured_once_and_the_best_stands_first(small):
    assert len(small.summary.rows) == 8
    labels = {small.configurations[row.configuration].label for row in small.summary.rows}
    assert "whole, memory, keyword" in labels
    assert "hashed, 16/4, memory, hybrid rrf 0.3" in labels
    primary = [row.measures["nDCG@10"] for row in small.summary.rows]
    assert primary == sorted(primary, reverse=True)
    assert small.summary.rows[0].group.startswith("a")
    assert small.left_out == ()
    assert small.summary.passed


WHOLE, CUT = ChunkerConfig(kind="whole"), ChunkerConfig(size=16, overlap=4)


@pytest.mark.parametrize(
    ("label", "chunker", "settings"),
    [
        ("whole, memory, keyword", WHOLE, {"mode": "keyword"}),
        ("hashed, 16/4, memory, semantic", CUT, {"mode": "semantic"}),
        ("hashed, 16/4, memory, hybrid relative", CUT, {}),
        ("hashed, whole, memory, hybrid rrf 0.3", WHOLE, {"fusion": "rrf", "keyword_weight": 0.3}),
    ],
)
def test_answers_are_those_of_the_public_search(small, label, chunker, settings):
    (configuration,) = [c.id for c in small.configurations.values() if c.label == label]
    with Retriever.open("memory:", embedding="hashed", chunker=chunker) as r:
        r.index(Document(name, f"{title} {text}".strip()) for name, (title, text) in DOCUMENTS.items())
        expected = {
            query: best_documents((hit.document_id, hit.score) for hit in r.search(text, 200, **settings))
            for query, (text, _) in QUERIES.items()
        }
    found = small.run("office", configuration)
    assert {q: [d for d, _ in ranking] for q, ranking in found.items()} == {
        q: [d for d, _ in ranking] for q, ranking in expected.items() if ranking
    }
    for query, ranking in found.items():
        assert [score for _, score in ranking] == pytest.approx([s for _, s in expected[query]], rel=1e-6, abs=1e-6)


def test_records_are_what_the_run_file_gives(small):
    judged = small.judgements("office")
    assert judged.grades["q4"] == {"backup": 1, "noise": 0}
    for dataset, configuration in small.measured:
        path = small.path / "runs" / dataset / f"{configuration}.trec"
        values = measure(read_run(path), judged.grades)
        for record in small.records(dataset, configuration):
            assert record.measures == {name: found[record.query] for name, found in values.items()}


def test_every_query_has_a_reason_and_they_add_up(small):
    for row in small.summary.rows:
        assert sum(row.reasons.values()) == len(QUERIES)
    (keyword,) = [c.id for c in small.configurations.values() if c.label == "whole, memory, keyword"]
    lost = {record.query: record for record in small.records("office", keyword) if record.reason != FOUND}
    assert lost.keys() == {"q6"}
    assert lost["q6"].gold == "noise"
    assert lost["q6"].reason == "not in the exact top 100"
    assert lost["q6"].span == (0, len(DOCUMENTS["noise"][1]))


def test_the_manifest_says_what_it_follows_from(small):
    manifest = small.manifest
    assert (manifest.name, manifest.measure, manifest.seed) == ("small", "nDCG@10", 0)
    assert manifest.packages["numpy"]
    assert manifest.machine.cores >= 1
    assert manifest.models["hashed"]["kind"] == "hashed"
    (dataset,) = manifest.datasets
    assert (dataset.documents, dataset.queries) == (len(DOCUMENTS), len(QUERIES))
    assert manifest.files["summary.json"]
    assert not set(TIMED) & set(manifest.files)
    assert str(small.path.parent) not in (small.path / "manifest.json").read_text("utf-8")


def test_the_same_run_again_gives_the_same_bytes(small, tmp_path):
    path = small.path.parent / "small.toml"
    again = run(path, tmp_path / "again", small.path.parent / "work")
    assert contents(again.path) == contents(small.path)
    fresh = run(path, tmp_path / "fresh", small.path.parent / "work", fresh=True)
    assert contents(fresh.path) == contents(small.path)
    assert not any(step.reused for step in fresh.times.steps)


def test_an_embedded_engine_gives_the_same_bytes_as_well(tmp_path):
    path = write_scenario(tmp_path, grid=GRID.replace('"memory"', '"edge", "chroma"'))
    one = run(path, tmp_path / "one", tmp_path / "work")
    other = run(path, tmp_path / "other", tmp_path / "elsewhere")
    assert len(one.summary.rows) == 16
    assert contents(one.path) == contents(other.path)


def test_steps_that_share_inputs_share_results(tmp_path, counting):
    path = write_scenario(tmp_path, grid=GRID.replace('"hashed"', '"counting"'))
    found = run(path, tmp_path / "run", tmp_path / "work")
    indexes = [step.of for step in found.times.steps if step.step == "index"]
    assert indexes == ["office: counting, whole, memory", "office: counting, 16/4, memory"]
    texts = [f"{title} {text}".strip() for title, text in DOCUMENTS.values()]
    assert all(1 <= counting.documents.count(text) <= 2 for text in texts)  # once an index, where it is one chunk
    asked = counting.queries.count("how often are keys rotated")
    counting.reset()
    again = run(path, tmp_path / "again", tmp_path / "work")
    assert set(texts) & set(counting.documents) == set()
    assert "how often are keys rotated" not in counting.queries
    assert all(step.reused for step in again.times.steps)
    assert asked <= 2 + 2 * 3  # once an index, and once for each waterfall of a failed query


def test_another_dataset_uses_nothing_of_the_former(tmp_path):
    path = write_scenario(tmp_path)
    run(path, tmp_path / "run", tmp_path / "work")
    corpus = tmp_path / "set" / "corpus.jsonl"
    corpus.write_text(corpus.read_text("utf-8").replace("quarter", "month"), "utf-8")
    again = run(path, tmp_path / "run", tmp_path / "work")
    assert not any(step.reused for step in again.times.steps)


def test_a_damaged_result_is_made_again(tmp_path):
    path = write_scenario(tmp_path)
    first = contents(run(path, tmp_path / "run", tmp_path / "work").path)
    kept = sorted((tmp_path / "work" / "answers").iterdir())
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    kept[1].write_bytes(b"")
    whole = bytearray(kept[2].read_bytes())
    whole[12:40] = bytes(28)
    kept[2].write_bytes(whole)
    again = run(path, tmp_path / "run", tmp_path / "work")
    assert contents(again.path) == first
    assert sorted(step.reused for step in again.times.steps if step.step == "answers") == [False] * 3 + [True] * 5


def test_results_that_nobody_has_used_for_a_month_are_forgotten(tmp_path):
    path = write_scenario(tmp_path)
    run(path, tmp_path / "run", tmp_path / "work")
    used, *others = sorted((tmp_path / "work" / "answers").iterdir())
    long_ago = time.time() - 40 * 86_400
    for other in others:
        os.utime(other, (long_ago, long_ago))
    again = run(path, tmp_path / "run", tmp_path / "work")
    assert sum(step.reused for step in again.times.steps) == 1
    assert used.stat().st_mtime > long_ago


def start(path, out, cache):
    environment = os.environ | {"RETRIEVER_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks", "run", str(path), "--out", str(out)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_a_run_that_is_killed_at_random_moments_finishes_with_the_same_result(tmp_path):
    path = write_scenario(tmp_path, grid=GRID.replace('"memory"', '"memory", "edge"'))
    whole = start(path, tmp_path / "whole", tmp_path / "undisturbed")
    began = time.monotonic()
    _, errors = whole.communicate(timeout=120)
    seconds = time.monotonic() - began
    assert whole.returncode == 0, errors.decode()
    moments = random.Random(7)
    killed = 0
    for _ in range(3):
        process = start(path, tmp_path / "out", tmp_path / "cache")
        try:
            process.wait(moments.uniform(0.3, 0.95) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed
    last = start(path, tmp_path / "out", tmp_path / "cache")
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors.decode()
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert list((tmp_path / "cache" / "benchmarks").glob("indexes/*")) == []


def test_what_was_finished_before_the_end_is_not_done_again(tmp_path, monkeypatch):
    path = write_scenario(tmp_path)
    original, calls = answering.Asked.answered, []

    def stops(self, configuration, **more):
        calls.append(configuration.label)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(self, configuration, **more)

    monkeypatch.setattr(answering.Asked, "answered", stops)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path / "run", tmp_path / "work")
    assert not (tmp_path / "run").exists()
    found = run(path, tmp_path / "run", tmp_path / "work")
    assert len(calls) == 6 + 3
    assert sorted(step.reused for step in found.times.steps if step.step == "answers") == [False] * 3 + [True] * 5


def test_two_runs_do_not_work_in_one_place(tmp_path):
    path = write_scenario(tmp_path)
    with Workspace(tmp_path / "work").held(), pytest.raises(ConfigurationError, match="another run works in"):
        run(path, tmp_path / "run", tmp_path / "work")
    assert run(path, tmp_path / "run", tmp_path / "work").summary.rows


def test_the_environment_is_as_before(tmp_path):
    before = dict(os.environ)
    run(write_scenario(tmp_path), tmp_path / "run", tmp_path / "work")
    assert dict(os.environ) == before


def test_what_is_no_run_is_not_replaced(tmp_path):
    path = write_scenario(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("a", "utf-8")
    with pytest.raises(InvalidInput, match="is no folder of a run"):
        run(path, tmp_path / "thesis", tmp_path / "work")
    assert (tmp_path / "thesis" / "chapter.txt").read_text("utf-8") == "a"


def test_what_cannot_be_measured_here_is_left_out_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    more = '[[datasets]]\nname = "gone"\npath = "${NOWHERE}/set"\n'
    grid = GRID.replace('"memory"', '"memory", "qdrant://127.0.0.1:9"').replace(
        '"hashed"', '"hashed", "word-vectors:nowhere.txt"'
    )
    found = run(write_scenario(tmp_path, more, grid), tmp_path / "run", tmp_path / "work")
    reasons = {left.what: left.reason for left in found.left_out}
    assert reasons.keys() == {
        "the dataset gone",
        "the store qdrant://127.0.0.1:9",
        "the embedding function word-vectors:nowhere.txt",
    }
    assert reasons["the dataset gone"] == "${NOWHERE}/set: the variable NOWHERE is not set"
    assert "nothing answers at qdrant://127.0.0.1:9" in reasons["the store qdrant://127.0.0.1:9"]
    assert len(found.summary.rows) == 8
    assert str(tmp_path) not in (found.path / "left-out.json").read_text("utf-8")


def test_what_needs_no_embedding_function_is_measured_with_the_first_that_there_is(tmp_path):
    grid = GRID.replace('"hashed"', '"word-vectors:nowhere.txt", "hashed"')
    found = run(write_scenario(tmp_path, grid=grid), tmp_path / "run", tmp_path / "work")
    assert "whole, memory, keyword" in {configuration.label for configuration in found.configurations.values()}
    assert len(found.summary.rows) == 8


def test_a_store_that_there_is_not_is_an_error_at_once(tmp_path):
    path = write_scenario(tmp_path, grid=GRID.replace('"memory"', '"memry"'))
    with pytest.raises(ConfigurationError, match="'memry' is no store: write one of edge, memory"):
        run(path, tmp_path / "run", tmp_path / "work")


def test_a_peer_that_there_is_not_is_an_error_at_once(tmp_path):
    with pytest.raises(ConfigurationError, match="no system is called 'best'"):
        run(write_scenario(tmp_path, 'peers = ["best"]'), tmp_path / "run", tmp_path / "work")


class Alphabet(System):
    """Finds everything, in the order of its names."""

    name = "alphabet"
    legs = frozenset({"keyword"})

    def ingest(self, passages, vectors):
        assert vectors is None
        self._names = [passage.id for passage in passages]

    def search(self, text, vector, k, filter=None):  # noqa: A002
        assert vector is None
        return [(name, 1.0 / (n + 1)) for n, name in enumerate(sorted(self._names))][:k]

    def close(self):
        pass


@pytest.fixture
def alphabet(monkeypatch):
    """Registered as any peer is, and no longer than a test: the tests of all systems would find it."""
    monkeypatch.setattr(systems, "_systems", dict(systems._systems))
    return register_system(Alphabet)


@pytest.mark.usefixtures("alphabet")
def test_a_peer_is_measured_on_the_same_passages(tmp_path):
    grid = '[grid]\nembeddings = ["hashed"]\nchunkers = [{ kind = "whole" }]\nstores = ["memory"]\n'
    found = run(write_scenario(tmp_path, 'peers = ["alphabet"]', grid), tmp_path / "run", tmp_path / "work")
    (peer,) = [c for c in found.configurations.values() if c.is_peer]
    assert peer.label == "whole, alphabet, keyword (peer)"
    records = found.records("office", peer.id)
    assert [name for name, _ in records[0].top] == list(DOCUMENTS)
    assert {record.reason for record in records} == {FOUND}
    assert found.summary.rows[-1].configuration == peer.id
    assert found.summary.rows[-1].against.difference < 0


def test_a_peer_whose_code_has_changed_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(systems, "_systems", dict(systems._systems))
    grid = '[grid]\nchunkers = [{ kind = "whole" }]\nstores = ["memory"]\nsearches = [{ mode = "keyword" }]\n'
    path = write_scenario(tmp_path, 'peers = ["backwards"]', grid)
    (tmp_path / "plug").mkdir()
    source = tmp_path / "plug" / "peer_backwards.py"

    def reused(reverse):
        source.write_text(BACKWARDS.replace("REVERSE", str(reverse)), "utf-8")
        spec = importlib.util.spec_from_file_location("peer_backwards", source)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "peer_backwards", module)
        spec.loader.exec_module(module)
        found = run(path, tmp_path / "run", tmp_path / "work")
        (peer,) = [c for c in found.configurations.values() if c.is_peer]
        steps = [step.reused for step in found.times.steps if step.step == "answers"]
        return steps, found.records("office", peer.id)[0].top[0][0]

    assert reused(reverse=False) == ([False, False], "keys")
    assert reused(reverse=False) == ([True, True], "keys")
    assert reused(reverse=True) == ([True, False], "noise")


BACKWARDS = """
from retriever.evaluation.systems import System, register_system

@register_system
class Backwards(System):
    name = "backwards"
    legs = frozenset({"keyword"})

    def ingest(self, passages, vectors):
        self._names = [passage.id for passage in passages]

    def search(self, text, vector, k, filter=None):
        return [(name, 1.0 / (n + 1)) for n, name in enumerate(sorted(self._names, reverse=REVERSE))][:k]

    def close(self):
        pass
"""


def test_another_reranker_under_the_same_name_is_another_one(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    first = reranker_digest(f"cross-encoder:{folder}")
    assert first
    assert first == reranker_digest(str(folder)) == reranker_digest(f"late-interaction:{folder}")
    (folder / "model.safetensors").write_bytes(b"others")
    assert reranker_digest(str(folder)) not in (None, first)
    (tmp_path / "empty").mkdir()
    assert reranker_digest(f"late-interaction:{tmp_path / 'empty'}") is None


def test_a_run_is_written_where_a_link_leads(tmp_path):
    path = write_scenario(tmp_path)
    first = run(path, tmp_path / "run", tmp_path / "work")
    (tmp_path / "latest").symlink_to(tmp_path / "run", target_is_directory=True)
    assert contents(run(path, tmp_path / "latest", tmp_path / "work").path) == contents(first.path)
    assert (tmp_path / "latest").is_symlink()
    assert not list(tmp_path.glob(".run*"))


@pytest.mark.parametrize(("at_least", "passes"), [(0.1, True), (0.999, False)])
def test_bars(tmp_path, at_least, passes):
    bars = f'[[bars]]\ndataset = "office"\nconfiguration = "*, keyword"\nmeasure = "MRR@10"\nat_least = {at_least}\n'
    found = run(write_scenario(tmp_path, grid=GRID + bars), tmp_path / "run", tmp_path / "work")
    assert len(found.summary.bars) == 2
    assert [bar.holds for bar in found.summary.bars] == [passes] * 2
    assert found.summary.passed is passes


def test_a_bar_about_nothing_is_missed(tmp_path):
    bars = '[[bars]]\ndataset = "office"\nconfiguration = "*splade*"\nmeasure = "MRR@10"\nat_least = 0.1\n'
    found = run(write_scenario(tmp_path, grid=GRID + bars), tmp_path / "run", tmp_path / "work")
    assert [(bar.value, bar.holds) for bar in found.summary.bars] == [(None, False)]


def test_searches_beyond_fusion_go_through_the_public_search(tmp_path):
    grid = GRID.replace("[{ mode", '[{ mmr = 0.3 }, { mode = "semantic", min_cosine = 0.2 }, { mode')
    found = run(write_scenario(tmp_path, grid=grid), tmp_path / "run", tmp_path / "work")
    labels = {c.label: c.id for c in found.configurations.values()}
    assert "hashed, whole, memory, hybrid relative mmr 0.3" in labels
    strict = found.run("office", labels["hashed, whole, memory, semantic min_cosine 0.2"])
    plain = found.run("office", labels["hashed, whole, memory, semantic"])
    for query, ranking in plain.items():
        assert [d for d, score in ranking if score >= 0.2] == [d for d, _ in strict.get(query, [])]


class Shortest(Reranker):
    kind = "shortest"

    def _score(self, query, texts):
        return [-len(text) for text in texts]


class Moody(Shortest):
    kind = "moody"

    def _score(self, query, texts):
        raise EmbeddingError("the reranker moody is not in the mood")


@pytest.fixture
def rerankers():
    takers = [register("retriever.rerankers", cls.kind, cls) for cls in (Shortest, Moody)]
    yield
    for take_away in takers:
        take_away()


def test_a_reranker_orders_the_best_and_one_that_fails_leaves_the_others_alone(tmp_path, rerankers):
    grid = GRID.replace("[{ mode", '[{ rerank = "shortest", rerank_depth = 3 }, { rerank = "moody" }, { mode')
    found = run(write_scenario(tmp_path, grid=grid), tmp_path / "run", tmp_path / "work")
    labels = {c.label: c.id for c in found.configurations.values()}
    reranked = found.run("office", labels["hashed, whole, memory, hybrid relative rerank shortest 3"])
    lengths = {name: len(f"{title} {text}".strip()) for name, (title, text) in DOCUMENTS.items()}
    assert {len(ranking) for ranking in reranked.values()} == {3}
    for ranking in reranked.values():
        assert [lengths[name] for name, _ in ranking] == sorted(lengths[name] for name, _ in ranking)
    assert {left.what.rsplit(" ", 1)[-1]: left.reason for left in found.left_out} == {
        "moody": "the reranker moody is not in the mood"
    }
    assert len(found.left_out) == 2
    assert len(found.summary.rows) == 8 + 2


def test_gold_spans_are_measured_for_every_chunker(tmp_path):
    (tmp_path / "docs").mkdir()
    text = "Trains are booked by the office. " * 20 + "Keys are rotated every quarter. " + "Coffee is free. " * 20
    (tmp_path / "docs" / "all.txt").write_text(text, "utf-8")
    (tmp_path / "docs" / "other.txt").write_text("Backups run at night. " * 30, "utf-8")
    (tmp_path / "q.jsonl").write_text('{"_id": "q", "text": "how often are keys rotated"}\n', "utf-8")
    start = text.index("Keys")
    gold = {"query": "q", "document": "all.txt", "start": start, "end": start + 31}
    (tmp_path / "r.jsonl").write_text(json.dumps(gold) + "\n", "utf-8")
    scenario = tmp_path / "own.toml"
    scenario.write_text(
        'name = "own"\n[[datasets]]\nname = "mine"\nfolder = "docs"\nqueries = "q.jsonl"\nqrels = "r.jsonl"\n' + GRID,
        "utf-8",
    )
    found = run(scenario, tmp_path / "run", tmp_path / "work")
    by_label = {found.configurations[row.configuration].label: row.measures for row in found.summary.rows}
    whole, cut = by_label["whole, memory, keyword"], by_label["hashed, 16/4, memory, keyword"]
    assert whole["CharRecall@10"] == 1.0
    assert cut["CharIoU@10"] > whole["CharIoU@10"]


def test_a_reader_refuses_what_is_no_run(tmp_path, small):
    with pytest.raises(InvalidInput, match=r"holds no manifest\.json"):
        read_run_folder(tmp_path)
