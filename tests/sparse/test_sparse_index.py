"""Indexes with a learned sparse model, on every store."""

import json

import chromadb
import numpy as np
import pytest
from qdrant_client import QdrantClient

from retriever import (
    ChunkerConfig,
    ConfigurationError,
    Document,
    IndexMismatch,
    InvalidInput,
    ManifestUnreadable,
    Retriever,
    copy_index,
    repair_index,
)
from retriever.embedding.base import CANARIES
from retriever.filters import parse_filter
from retriever.manifest import Manifest, parse_manifest
from retriever.memory import MemoryStore
from retriever.sparse import SparseConfig, SparseVector
from retriever.stores import KeepsSparse
from retriever.testing import CountingSparse
from retriever_chroma import ChromaStore
from retriever_qdrant import QdrantStore

WORDS = [
    *("rotate", "signing", "key", "cake", "flour", "eggs", "door", "lock", "error", "sugar", "night", "river"),
    *("stone", "cloud", "paper"),
]
SMALL = ChunkerConfig(size=8, overlap=0)
QUERIES = ["rotate the signing keys", "flour and eggs", "stone", "river of clouds at night"]


def text(n):
    choose = np.random.default_rng(n)
    return " ".join(choose.choice(WORDS, 12)) + f" number{n}"


DOCUMENTS = [Document(f"d{n}", text(n), {"half": n % 2}) for n in range(60)]


def make_store(kind, folder):
    return {
        "memory": lambda: MemoryStore(),
        "edge": lambda: QdrantStore(folder / "edge"),
        "server": lambda: QdrantStore(client=QdrantClient(":memory:"), collection="docs"),
        "chroma": lambda: ChromaStore(path=folder / "chroma"),
    }[kind]()


def fill(store, **settings):
    r = Retriever.open(store, embedding="counting", chunker=SMALL, sparse="counting", **settings)
    r.index(DOCUMENTS, source="s")
    return r


@pytest.fixture(params=["memory", "edge", "server", "chroma"])
def store(request, tmp_path, counting, terms):
    store = make_store(request.param, tmp_path)
    yield store
    store.close()


@pytest.fixture
def exact(counting, terms):
    return fill(MemoryStore("exact"))


def sparse_of(store):
    ids = sorted(entry.chunk_id for entry in store.entries())
    found = store.sparse_vectors([store.key(name) for name in ids])
    return {name: found[store.key(name)] for name in ids}


@pytest.mark.parametrize("condition", [None, {"half": 1}])
def test_all_stores_agree_with_the_exact_one(store, exact, condition):
    r = fill(store)
    assert sparse_of(r.store) == sparse_of(exact.store)
    for query in QUERIES:
        found = r.search(query, 20, mode="sparse", filter=condition)
        wanted = exact.search(query, 20, mode="sparse", filter=condition)
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted])
        scores = {hit.chunk.id: hit.score for hit in exact.search(query, 200, mode="sparse", filter=condition)}
        assert all(hit.score == pytest.approx(scores[hit.chunk.id]) for hit in found)
        assert all(hit.chunk.metadata["half"] == 1 for hit in found if condition)
        one, other = (x.search(query, 200, filter=condition) for x in (r, exact))
        assert {h.chunk.id: h.score for h in one} == pytest.approx({h.chunk.id: h.score for h in other}, abs=0.02)


def test_every_hit_explains_its_three_legs(store):
    r = fill(store)
    query = "rotate the signing keys"
    (asked,) = CountingSparse().encode_queries([query])
    hits = r.search(query, 30, depth=30)
    alone = [hit.chunk.id for hit in r.search(query, 30, depth=30, mode="sparse")]
    vectors = sparse_of(r.store)
    assert {hit.legs["sparse"].rank for hit in hits} > {None, 1}
    for hit in hits:
        assert list(hit.legs) == ["semantic", "keyword", "sparse"]
        leg = hit.legs["sparse"]
        assert leg.score == pytest.approx(vectors[hit.chunk.id].dot(asked))  # beyond the depth as well
        if leg.rank is not None:
            assert alone[leg.rank - 1] == hit.chunk.id
    (best, *_) = r.search(query, mode="sparse")
    assert (list(best.legs), best.legs["sparse"].rank, best.score) == (["sparse"], 1, best.legs["sparse"].score)


def test_a_learned_model_takes_the_place_of_bm25(store, counting, terms):
    r = fill(store, keyword=False)
    hit = r.search("rotate the signing keys")[0]
    assert list(hit.legs) == ["semantic", "sparse"]
    assert hit.matched_terms
    assert r.search("stone", mode="sparse")
    with pytest.raises(InvalidInput, match="no keyword leg, only semantic and sparse"):
        r.search("stone", mode="keyword")
    with pytest.raises(InvalidInput, match="leave it out"):
        r.search("stone", sparse_weight=0.5)
    terms.reset()
    counting.reset()
    r.recalibrate()
    assert (terms.documents, counting.documents) == ([], [])
    assert r.index(DOCUMENTS, source="s").skipped == r.store.count()
    report = r.verify()
    assert (report.problems, report.warnings) == ([], [])
    for mode in ({"keyword_weight": 1.0}, {"keyword_weight": 1.0, "fusion": "rrf"}):
        found = [h.chunk.id for h in r.search("stone", 5, **mode)]
        assert found == [h.chunk.id for h in r.search("stone", 5, mode="sparse")]


def test_nothing_is_encoded_twice(store, counting, terms):
    r = fill(store)
    before = sparse_of(r.store)
    assert len(terms.documents) == len(set(terms.documents))
    terms.reset()
    assert r.index(DOCUMENTS, source="s").skipped == len(before)
    changed = [Document(d.id, d.text, {"half": 7}) for d in DOCUMENTS]
    assert r.index(changed, source="s").updated == len(before)
    r.recalibrate()
    assert terms.documents == []
    assert sparse_of(r.store) == before
    assert r.search("stone", mode="sparse", filter={"half": 7})
    longer = [Document("d0", "a wholly new sentence"), *changed[1:]]
    assert r.index(longer, source="s").added == 1
    assert terms.documents == ["a wholly new sentence"]
    assert r.search("wholly", mode="sparse")[0].document_id == "s::d0"
    r.upsert([Document("own", "a document of its own")])
    assert r.search("document", 1, mode="sparse")[0].chunk.id == "own"
    assert r.verify().problems == []
    assert r.delete(documents=["s::d0"]) == 1
    assert r.search("wholly", mode="sparse") == []


def test_copying_takes_the_vectors_along(store, exact, counting, terms, tmp_path):
    terms.reset()
    counting.reset()
    report = copy_index(exact.store, store)
    assert (report.copied, report.lost) == (exact.store.count(), 0)
    assert (terms.documents, counting.documents) == ([], [])
    assert sparse_of(store) == sparse_of(exact.store)
    assert copy_index(exact.store, store).present == exact.store.count()
    back = MemoryStore("back")
    assert copy_index(store, back, sparse="counting").copied == report.copied
    assert len(terms.documents) >= report.copied
    assert sparse_of(back) == sparse_of(exact.store)


def test_copying_adds_a_model(counting, terms):
    plain = Retriever.open(MemoryStore("plain"), embedding="counting", chunker=SMALL)
    plain.index(DOCUMENTS)
    target = MemoryStore("target")
    copy_index(plain.store, target, sparse="counting")
    r = Retriever.open(target)
    assert r.search("stone", mode="sparse")
    assert r.verify().problems == []
    with pytest.raises(IndexMismatch, match="another learned sparse model"):
        copy_index(plain.store, target)


def test_verify_finds_other_vectors(store):
    r = fill(store)
    entry = next(iter(r.store.entries()))
    key = r.store.key(entry.chunk_id)
    record = [r.store.fetch([key])[key], r.store.vectors([key])[key]]
    from retriever.stores import Record

    r.store.upsert([Record(*record, {}, SparseVector.of([5], [1.0]))])
    (problem,) = r.verify().problems
    assert entry.chunk_id in problem
    assert "learned sparse vector is not what the model gives now" in problem


def test_repair_keeps_the_vectors(tmp_path, counting, terms, monkeypatch):
    place = f"chroma:{tmp_path / 'db'}"
    with fill(place) as r:
        before, found = sparse_of(r.store), [h.chunk.id for h in r.search("stone", mode="sparse")]
    terms.reset()
    assert repair_index(place).chunks == len(before)
    assert terms.documents == []
    with Retriever.open(place) as r:
        assert sparse_of(r.store) == before
        assert [h.chunk.id for h in r.search("stone", mode="sparse")] == found


def test_the_replica_can_be_thrown_away(tmp_path, counting, terms):
    import shutil

    place = f"chroma:{tmp_path / 'db'}"
    with fill(place) as r:
        found = [(h.chunk.id, h.score) for h in r.search("stone", mode="sparse")]
    for keyword in (tmp_path / "db").rglob("keyword"):
        shutil.rmtree(keyword)
    with Retriever.open(place) as r:
        assert [(h.chunk.id, h.score) for h in r.search("stone", mode="sparse")] == found


def test_another_model_or_none_is_refused(tmp_path, counting, terms):
    class Other(CountingSparse):
        kind = "other"

    class Changed(CountingSparse):
        """The same name and settings, other vectors."""

        @staticmethod
        def _weights(text):
            return [len(text)], [1.0]

    place = str(tmp_path / "index")
    fill(place).close()
    with pytest.raises(IndexMismatch, match=r"was built with counting, not with other.*sparse=.*the object itself"):
        Retriever.open(place, sparse=Other())
    with Retriever.open(place, sparse=Changed()) as r, pytest.raises(IndexMismatch, match="now gives other"):
        r.search("x", mode="sparse")
    with pytest.raises(IndexMismatch, match="with keywords"):
        Retriever.open(place, keyword=False)
    Retriever.open(place, sparse="counting", keyword=True).close()
    plain = str(tmp_path / "plain")
    Retriever.open(plain, embedding="counting").close()
    with pytest.raises(IndexMismatch, match="without a learned sparse model"):
        Retriever.open(plain, sparse="counting")
    with Retriever.open(plain) as r:
        assert r.sparse is None
        for settings, message in (({"mode": "sparse"}, "no sparse leg"), ({"sparse_weight": 0.5}, "leave it out")):
            with pytest.raises(InvalidInput, match=message):
                r.search("x", **settings)
    with pytest.raises(ConfigurationError, match="needs a learned sparse model"):
        Retriever.open(str(tmp_path / "new"), embedding="counting", keyword=False)


def test_manifests_of_before_open(tmp_path, counting):
    with Retriever.open(str(tmp_path), embedding="counting") as r:
        r.index(DOCUMENTS)
        scores = [(h.chunk.id, h.score) for h in r.search("stone")]
    file = tmp_path / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    assert (manifest.pop("sparse"), manifest.pop("keyword")) == (None, True)
    file.write_text(json.dumps(manifest), "utf-8")
    with Retriever.open(str(tmp_path)) as r:
        assert (r.manifest.sparse, r.manifest.keyword) == (None, True)
        assert [(h.chunk.id, h.score) for h in r.search("stone")] == scores


class ThirdParty:
    """A store that has never heard of learned sparse vectors."""

    address = "third:party"

    def __init__(self):
        self._inner = MemoryStore()

    def __getattr__(self, name):
        if name == "sparse_vectors":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_stores_that_do_not_know_of_it_go_on(exact, counting, terms):
    store = ThirdParty()
    assert not isinstance(store, KeepsSparse)
    with pytest.raises(ConfigurationError, match="third:party keeps no learned sparse vectors"):
        Retriever.open(store, embedding="counting", sparse="counting")
    assert store.read_manifest() is None
    r = Retriever.open(store, embedding="counting", chunker=SMALL)
    r.index(DOCUMENTS)
    assert list(r.search("stone")[0].legs) == ["semantic", "keyword"]
    with pytest.raises(ConfigurationError, match="keeps no learned"):
        copy_index(exact.store, ThirdParty())


def test_attached_collections_have_none(counting, terms):
    import chromadb

    client = chromadb.EphemeralClient()
    client.create_collection("foreign-sparse", metadata={"hnsw:space": "cosine"}).add(
        ids=["1"], documents=["x"], embeddings=[[0.0] * 255 + [1.0]]
    )
    with pytest.raises(ConfigurationError, match="no learned sparse vectors"):
        Retriever.open(ChromaStore.attach(client, "foreign-sparse"), embedding="counting", sparse="counting")
    client.delete_collection("foreign-sparse")


def test_weights_move_between_the_legs(exact):
    query = "rotate the signing keys"
    for weight, mode in ((0.0, "keyword"), (1.0, "sparse")):
        alone = [hit.chunk.id for hit in exact.search(query, 5, mode=mode)]
        assert [h.chunk.id for h in exact.search(query, 5, keyword_weight=1.0, sparse_weight=weight)] == alone
    for weight in (-0.1, 1.1, float("nan"), "a"):
        with pytest.raises(InvalidInput, match="sparse_weight is"):
            exact.search(query, sparse_weight=weight)
    for hit in exact.search(query, 5, min_cosine=0.1, mmr=0.5):
        assert hit.legs["semantic"].score >= 0.1
    pages = [h.chunk.id for offset in (0, 3, 6) for h in exact.search(query, 3, offset=offset)]
    assert pages == [h.chunk.id for h in exact.search(query, 9)]


def test_a_leg_that_finds_nothing_leaves_its_share_to_the_other(counting):
    """The rest of the share would go to the semantic leg: an exact match would be second."""

    class Rare(CountingSparse):
        """Knows one word."""

        kind = "rare"

        def _encode(self, texts, role):
            return [([1], [1.0]) if "gone" in text else ([], []) for text in texts]

    def scores(hits):
        return {hit.chunk.id: hit.score for hit in hits}

    r = Retriever.open("memory:", embedding="counting", sparse=Rare())
    r.index([*DOCUMENTS, Document("x", "gone")])
    for query, weight, finds, finds_not in (("stone", 0.0, "keyword", "sparse"), ("begone", 1.0, "sparse", "keyword")):
        assert r.search(query, mode=finds)
        assert r.search(query, mode=finds_not) == []
        for settings in ({}, {"fusion": "rrf"}, {"keyword_weight": 0.9}):
            alone = scores(r.search(query, 50, sparse_weight=weight, **settings))
            assert scores(r.search(query, 50, **settings)) == pytest.approx(alone)
            other = scores(r.search(query, 50, sparse_weight=1 - weight, **settings))
            assert other != pytest.approx(alone)  # as was asked for


def test_records_of_other_programs_are_encoded_where_they_are_written(counting, terms, tmp_path):
    client = chromadb.PersistentClient(str(tmp_path / "chroma"))
    r = fill(ChromaStore(client, "docs"))
    there = client.get_collection("docs", embedding_function=None)
    there.add(ids=["foreign"], embeddings=[[1.0] * counting().dimension], documents=["a text from elsewhere"])
    copied = MemoryStore("copied")
    terms.reset()
    report = copy_index(r.store, copied)
    assert (report.lost, report.copied) == (0, r.store.count())
    assert set(terms.documents) - set(CANARIES) == {"a text from elsewhere"}
    assert r.recalibrate().calibration.complete
    wanted = CountingSparse().encode_documents(["a text from elsewhere"])[0]
    assert sparse_of(r.store)["foreign"] == sparse_of(copied)["foreign"] == wanted
    assert r.search("elsewhere", 1, mode="sparse")[0].chunk.id == "foreign"
    r.close()


def test_too_long_texts_are_counted(counting):
    from retriever.tokeniser import WordTokeniser

    class Short(CountingSparse):
        kind = "short"
        Config = SparseConfig
        max_tokens = 5
        tokeniser = WordTokeniser()

    r = Retriever.open("memory:", embedding="counting", sparse=Short())
    report = r.index([Document("a", "one two three four five six seven"), Document("b", "one two")])
    assert (report.added, report.truncated, report.sparse_truncated) == (2, 0, 1)


def test_the_command_line(run_cli, tmp_path, counting, terms):
    docs, place = tmp_path / "docs", tmp_path / "index"
    docs.mkdir()
    (docs / "a.txt").write_text("Rotate the signing key.")
    (docs / "b.txt").write_text("Flour and eggs.")
    arguments = ("--store", place, "--embedding", "counting", "--sparse", "counting", "--no-keyword")
    assert run_cli("index", docs, *arguments)[0] == 0
    code, out, _ = run_cli("search", "signing", "--store", place, "--mode", "sparse", "--json")
    (hit,) = json.loads(out)["hits"]
    assert (code, hit["document_id"].endswith("a.txt"), hit["legs"]["sparse"]["rank"]) == (0, True, 1)
    code, out, _ = run_cli("info", "--store", place)
    assert "counting, 4,294,967,296 terms" in out
    assert "the sparse leg takes its place" in out
    code, out, _ = run_cli("info", "--store", place, "--json")
    info = json.loads(out)
    assert (info["sparse"], "canaries" in info["manifest"]["sparse"]) == ("counting", False)
    assert run_cli("copy", place, tmp_path / "other", "--sparse", "counting")[0] == 0
    code, out, _ = run_cli("search", "signing", "--store", tmp_path / "other", "--sparse-weight", "0.5")
    assert code == 1


def test_the_manifest_goes_through_json(exact):
    manifest = exact.manifest
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert [len(canary.indices) for canary in manifest.sparse.canaries]


@pytest.mark.parametrize(
    "canary",
    [
        {"indices": [2, 1], "weights": [1, 1]},
        {"indices": [1], "weights": [1, 2]},
        {"indices": [1], "weights": [0]},
        {"indices": [2**32], "weights": [1]},
        {"indices": [1], "weights": [1e39]},
    ],
)
def test_damaged_canaries_are_found_when_the_manifest_is_read(exact, canary):
    facts = exact.manifest.model_dump()
    facts["sparse"]["canaries"][1] = canary
    with pytest.raises(ManifestUnreadable, match=r"damaged at 'sparse\.canaries\.1"):
        parse_manifest(json.dumps(facts), "x")


def test_filters_reach_the_leg_by_itself(exact):
    keys = {c.key for c in exact.store.search(_query(exact, parse_filter({"half": 0}))).sparse}
    assert keys
    assert all(chunk.metadata["half"] == 0 for chunk in exact.store.fetch(list(keys)).values())


def _query(r, condition):
    from retriever.stores import Query

    return Query(50, None, None, condition, r.sparse.encode_queries(["stone river"])[0])
