import json
import urllib.request

import pytest
from harness_sets import write_scenario

import benchmarks.peers  # noqa: F401 - they register themselves
from retriever.errors import ConfigurationError, StoreUnavailable
from retriever.evaluation.harness.configurations import Configuration, configurations
from retriever.evaluation.harness.places import PLACES, check_place, empty_place
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.scenario import ChunkerSpec, Grid, SearchSpec
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.harness.timing import timed_configurations
from retriever.retriever import Retriever
from retriever.testing.servers import chroma_server, free_port
from retriever.types import Document

pytestmark = pytest.mark.slow

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
SEARCHES = 'searches = [{ mode = "keyword" }, {}]\n'


def run(path, folder):
    return run_scenario(path, folder / "run", Workspace(folder / "work"), Progress(hidden=True))


@pytest.mark.parametrize("name", PLACES)
def test_every_place_is_empty_and_works(name):
    check_place(name)
    with empty_place(name, "a-name") as store, Retriever.open(store, embedding="hashed") as r:
        assert store.count() == 0
        r.index([Document("a", "E4711 means that the disk is full.")])
        assert [hit.document_id for hit in r.search("E4711", 1)] == ["a"]


@pytest.mark.parametrize("name", ["edg", "./folder", "chroma:./folder", "http://127.0.0.1:80"])
def test_what_is_no_place(name):
    with pytest.raises(ConfigurationError, match="is no store: write one of edge, memory"):
        check_place(name)


def test_a_server_that_does_not_answer():
    with pytest.raises(StoreUnavailable, match=r"nothing answers at qdrant://127\.0\.0\.1:"):
        check_place(f"qdrant://127.0.0.1:{free_port()}")


@pytest.mark.slow
def test_a_server_by_its_address_gives_the_same_and_is_left_clean(tmp_path):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with chroma_server(tmp_path / "server") as server:
        address = f"chroma://127.0.0.1:{server.port}"
        grid = f'[grid]\nchunkers = [{{ kind = "whole" }}]\nstores = ["memory", "{address}"]\n{SEARCHES}'
        found = run(write_scenario(tmp_path, grid=grid), tmp_path)
        with opener.open(f"http://127.0.0.1:{server.port}{COLLECTIONS}") as answer:
            assert json.load(answer) == []
    rows = {found.configurations[row.configuration].label: row.measures for row in found.summary.rows}
    assert len(rows) == 4
    assert rows[f"whole, {address}, keyword"]["nDCG@10"] == pytest.approx(rows["whole, memory, keyword"]["nDCG@10"])


def test_a_peers_chunker_cuts_for_our_store(tmp_path):
    grid = (
        '[grid]\nembeddings = ["sentence-transformers/all-MiniLM-L6-v2", "hashed"]\n'
        'chunkers = [{ peer = "langchain-recursive", size = 12, overlap = 2 }]\n'
        f'stores = ["memory"]\n{SEARCHES}'
    )
    found = run(write_scenario(tmp_path, grid=grid), tmp_path)
    labels = {found.configurations[row.configuration].label: row for row in found.summary.rows}
    assert labels.keys() == {
        "all-MiniLM-L6-v2, langchain-recursive 12/2, memory, keyword",
        "all-MiniLM-L6-v2, langchain-recursive 12/2, memory, hybrid relative",
    }
    row = labels["all-MiniLM-L6-v2, langchain-recursive 12/2, memory, keyword"]
    assert row.chunks > 6
    assert row.measures["Success@1"] >= 4 / 6
    records = {record.query: record for record in found.records("office", row.configuration)}
    assert records["q2"].top[0][0] == "errors"
    reasons = {left.reason for left in found.left_out}
    assert any("has no tokenizer" in reason for reason in reasons)


def test_bare_engines_rank_as_our_semantic_leg_does(tmp_path):
    grid = '[grid]\nchunkers = [{ kind = "whole" }]\nstores = ["memory"]\nsearches = [{ mode = "semantic" }]\n'
    path = write_scenario(tmp_path, 'peers = ["bare-edge", "bare-chroma", "bm25s"]', grid)
    found = run(path, tmp_path)
    labels = {c.label: c.id for c in found.configurations.values()}
    ours = found.run("office", labels["hashed, whole, memory, semantic"])
    for peer in ("bare-edge", "bare-chroma"):
        theirs = found.run("office", labels[f"hashed, whole, {peer}, semantic (peer)"])
        assert [d for d, _ in theirs["q1"]][:1] == [d for d, _ in ours["q1"]][:1]
        assert dict(theirs["q2"])["errors"] == pytest.approx(dict(ours["q2"])["errors"], abs=1e-4)
    assert "whole, bm25s, keyword (peer)" in labels


def test_a_peer_whose_server_is_not_there_is_left_out(tmp_path):
    grid = '[grid]\nchunkers = [{ kind = "whole" }]\nstores = ["memory"]\n'
    found = run(write_scenario(tmp_path, 'peers = ["bare-qdrant-server"]', grid), tmp_path)
    assert len(found.left_out) == 1
    assert "bare-qdrant-server" in found.left_out[0].reason
    assert len(found.summary.rows) == 1


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["bare-qdrant-server", "bare-chroma-server", "langchain-qdrant"])
def test_a_peer_that_fails_in_its_own_way_is_left_out(tmp_path, peer):
    """Each client raises errors of its own where nobody answers: the others are measured all the same."""
    grid = f'[grid]\nchunkers = [{{ kind = "whole" }}]\nstores = ["memory"]\n{LOAD}'
    found = run(write_scenario(tmp_path, f'peers = ["{peer}@127.0.0.1:{free_port()}"]', grid), tmp_path)
    assert len(found.summary.rows) == 1
    assert {record.figures.system for record in found.speed} == {"memory"}
    assert all(f"{peer}@127.0.0.1" in left.what for left in found.left_out)
    assert {left.what.startswith("the speed of") for left in found.left_out} == {True, False}
    assert all("it failed" in left.reason for left in found.left_out)


LOAD = """
[load]
repetitions = 2
requests = 8
workers = 4
seconds = 1.0
capacity_seconds = 0.02
shares = [0.5]
clients = [1]
filters = [0.5]
queries = 3
warm_up = 1
cold = false
"""


def test_what_a_scenario_with_load_times(tmp_path):
    grid = f'[grid]\nchunkers = [{{ kind = "whole" }}]\nstores = ["memory", "qdrant-local"]\n{SEARCHES}{LOAD}'
    path = write_scenario(tmp_path, 'peers = ["bare-edge"]', grid)
    found = run(path, tmp_path)
    timed = [(found.configurations[s.configuration].label, s.repetition) for s in found.speed]
    assert sorted(timed) == [
        ("hashed, whole, bare-edge, semantic (peer)", 0),
        ("hashed, whole, bare-edge, semantic (peer)", 1),
        ("hashed, whole, memory, hybrid relative", 0),
        ("hashed, whole, memory, hybrid relative", 1),
        ("whole, memory, keyword", 0),
        ("whole, memory, keyword", 1),
    ]
    assert [label for label, _ in timed[:3]] == [label for label, _ in timed[5:2:-1]]  # A B B A
    assert all(s.figures.capacity.rate > 0 for s in found.speed)
    assert {left.what.split(" of ")[0] for left in found.left_out} == {"the speed"}
    assert list((tmp_path / "work" / "speed").iterdir()) == []


@pytest.mark.slow
def test_times_of_a_run_that_was_interrupted_are_used_again(tmp_path, monkeypatch):
    grid = f'[grid]\nchunkers = [{{ kind = "whole" }}]\nstores = ["memory"]\n{LOAD}'
    path = write_scenario(tmp_path, grid=grid)
    made, original = [], Workspace.made

    def stops(self, step, inputs, of, make):
        if step == "speed":
            made.append(of)
            if len(made) == 2:
                raise KeyboardInterrupt
        return original(self, step, inputs, of, make)

    monkeypatch.setattr(Workspace, "made", stops)
    with pytest.raises(KeyboardInterrupt):
        run(path, tmp_path)
    found = run(path, tmp_path)
    assert len(made) == 2 + 1
    assert len(found.speed) == 2
    again = run(path, tmp_path)
    assert len(made) == 3 + 2
    assert len(again.speed) == 2


def test_one_embedding_and_one_chunker_are_timed_and_a_peer_by_all_its_legs():
    grid = Grid(
        embeddings=("hashed", "hashed:64"), chunkers=(ChunkerSpec(), ChunkerSpec(size=64)), searches=(SearchSpec(),)
    )
    found = timed_configurations(configurations(grid, {"both": {"semantic", "keyword"}}))
    assert found == [
        Configuration("hashed", ChunkerSpec(), "edge", SearchSpec()),
        Configuration("hashed", ChunkerSpec(), "both", SearchSpec(), is_peer=True),
    ]
