"""Opening, searching, deleting and verifying through the facade, on the exact store and on the embedded one."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from retriever import (
    ChunkerConfig,
    ConfigurationError,
    Document,
    FilterError,
    IndexMismatch,
    InvalidInput,
    ManifestUnreadable,
    MemoryStore,
    NotAStore,
    Retriever,
    StoreNotFound,
)
from retriever.embedding.hashed import HashedEmbedding
from retriever.embedding.wrapped import CallableEmbedding
from retriever.opening import destroy_index
from retriever.registry import register
from retriever.tokeniser import WordTokeniser

TOPICS = {
    "keys": "Rotate the signing key every ninety days with the rotate command, then restart the service.",
    "cakes": "A cake needs flour, sugar, eggs and butter; bake it for an hour.",
    "ships": "The ship left the harbour at dawn with a cargo of grain and a crew of nine.",
    "E4711": "Error E4711 means that the cable is loose.",
    "中文": "签名密钥每九十天轮换一次，然后重新启动服务。",
}


@pytest.fixture(params=["memory", "edge"])
def filled(request, tmp_path):
    address = "memory:" if request.param == "memory" else str(tmp_path / "index")
    with Retriever.open(address, embedding="hashed") as retriever:
        retriever.index(
            [Document(name, text, {"n": n, "even": n % 2 == 0}) for n, (name, text) in enumerate(TOPICS.items())]
        )
        yield retriever


def ids(hits):
    return [hit.document_id for hit in hits]


@pytest.mark.parametrize("mode", ["hybrid", "semantic", "keyword"])
@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("how do I rotate the signing key?", "keys"),
        ("sugar and eggs", "cakes"),
        ("E4711", "E4711"),
        ("密钥 轮换", "中文"),
    ],
)
def test_the_right_document_comes_first(filled, mode, query, document):
    hits = filled.search(query, 2, mode=mode)
    assert hits[0].document_id == document
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_hit_explains_itself(filled):
    hits = filled.search("rotating the signing key", 5)
    first = hits[0]
    assert first.text == TOPICS["keys"] == first.chunk.text
    assert (first.legs["semantic"].rank, first.legs["keyword"].rank) == (1, 1)
    assert first.matched_terms == ("rotat", "sign", "key")
    for hit in hits:
        vectors = filled.embedding.embed_documents([hit.text, "rotating the signing key"])
        assert hit.legs["semantic"].score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)
        if not hit.matched_terms:
            assert hit.legs["keyword"].rank is None
            assert hit.legs["keyword"].score == 0.0


def test_a_hit_that_only_the_keyword_leg_found_has_its_cosine(filled):
    query = "key key key key 密钥 flour"
    hits = filled.search(query, 4, depth=4, keyword_weight=1.0)
    alone = [hit for hit in hits if hit.legs["semantic"].rank is None]
    vector = filled.embedding.embed_query(query)
    for depth in (1, 2):
        alone += [
            h for h in filled.search(query, depth, depth=depth, keyword_weight=1.0) if not h.legs["semantic"].rank
        ]
    assert alone
    for hit in alone:
        (text,) = filled.embedding.embed_documents([hit.text])
        assert hit.legs["semantic"].score == pytest.approx(float(text @ vector), abs=1e-4)


def test_pages_agree_with_one_long_list(filled):
    for settings in ({}, {"mode": "semantic"}, {"mode": "keyword"}, {"mmr": 0.5}, {"fusion": "rrf"}):
        whole = filled.search("the service and the ship, error cable 密钥", 5, **settings)
        pages = [filled.search("the service and the ship, error cable 密钥", 1, offset=n, **settings) for n in range(5)]
        assert ids(whole) == [document for page in pages for document in ids(page)]


def test_a_filter_holds_in_every_mode(filled):
    for mode in ("hybrid", "semantic", "keyword"):
        hits = filled.search("the service ship error cake 密钥", mode=mode, filter={"even": True})
        assert hits
        assert all(hit.chunk.metadata["even"] is True for hit in hits)
        assert filled.search("key", mode=mode, filter={"n": {"$gt": 99}}) == []


def test_reserved_fields_can_be_filtered(filled):
    filled.index([Document("keys", TOPICS["keys"])], source="other")
    assert ids(filled.search("signing key", filter={"$source": "other"})) == ["other::keys"]
    assert ids(filled.search("signing key", filter={"$document": "keys"})) == ["keys"]


def test_min_cosine_is_about_the_raw_cosine(filled):
    hits = filled.search("rotate the signing key")
    middle = hits[1].legs["semantic"].score + 1e-3
    for mode in ("hybrid", "semantic", "keyword"):
        kept = filled.search("rotate the signing key", mode=mode, min_cosine=middle)
        assert kept
        assert all(hit.legs["semantic"].score >= middle for hit in kept)
    assert filled.search("rotate the signing key", min_cosine=1.0) == []


def test_mmr_changes_the_order_and_one_does_not(filled):
    filled.index([Document("keys again", TOPICS["keys"] + " Again.")])
    plain = ids(filled.search("rotate the signing key", 6))
    assert ids(filled.search("rotate the signing key", 6, mmr=1.0)) == plain
    assert set(plain[:2]) == {"keys", "keys again"}
    varied = ids(filled.search("rotate the signing key", 6, mmr=0.3))
    assert set(varied[:2]) != {"keys", "keys again"}
    assert sorted(varied) == sorted(plain)


def test_keyword_weight_moves_between_the_legs(filled):
    query = "the cable of the ship is loose"
    assert ids(filled.search(query, keyword_weight=0.0)) == ids(filled.search(query, mode="semantic"))
    keyword = ids(filled.search(query, mode="keyword"))
    assert ids(filled.search(query, keyword_weight=1.0))[: len(keyword)] == keyword


def test_a_batch_is_its_single_searches(filled):
    queries = ["signing key", "flour", "密钥"]
    batch = filled.search_batch(queries, 3, mode="hybrid")
    assert [ids(hits) for hits in batch] == [ids(filled.search(query, 3)) for query in queries]
    assert filled.search_batch([]) == []


@pytest.mark.parametrize(
    ("query", "settings", "message"),
    [
        ("", {}, "empty"),
        (" \n", {}, "empty"),
        ("a\ud800", {}, "surrogate"),
        (None, {}, "string"),
        ("x", {"k": 0}, "k is 0"),
        ("x", {"k": -1}, "k is -1"),
        ("x", {"k": 2.5}, "k is 2.5"),
        ("x", {"offset": -1}, "offset is -1"),
        ("x", {"k": 10, "offset": 191}, "offset \\+ k is 201"),
        ("x", {"depth": 0}, "depth is 0"),
        ("x", {"mode": "fuzzy"}, "fuzzy"),
        ("x", {"fusion": "dbsf"}, "dbsf"),
        ("x", {"keyword_weight": 1.5}, "1.5"),
        ("x", {"mmr": -0.1}, "mmr is -0.1"),
        ("x", {"min_cosine": 2}, "min_cosine is 2"),
        ("x", {"keyword_weight": float("nan")}, "nan"),
    ],
)
def test_unusable_arguments_are_named(filled, query, settings, message):
    with pytest.raises(InvalidInput, match=message):
        filled.search(query, **settings)


def test_unknown_operators_and_unknown_arguments_are_errors(filled):
    with pytest.raises(FilterError, match=r"\$near"):
        filled.search("x", filter={"n": {"$near": 1}})
    with pytest.raises(InvalidInput, match="filters"):
        filled.search_batch(["x"], filters={"n": 1})
    with pytest.raises(InvalidInput, match="list of queries"):
        filled.search_batch("x")


def test_an_empty_index_answers_with_nothing(tmp_path):
    for address in ("memory:", str(tmp_path / "i")):
        with Retriever.open(address, embedding="hashed") as retriever:
            assert retriever.search("anything") == []
            assert retriever.info().chunks == 0
            assert retriever.verify().problems == []


def test_a_query_of_stop_words_alone_finds_by_meaning_only(filled):
    assert filled.search("what is the", mode="keyword") == []
    assert filled.search("what is the") == [], "hashed words leave stop words out, too"
    lengths = CallableEmbedding(lambda texts: [[len(text), 1.0] for text in texts], called="lengths")
    with Retriever.open("memory:", embedding=lengths) as reads_them:
        reads_them.index([Document("a", "text")])
        assert ids(reads_them.search("what is the")) == ["a"]


def test_delete_by_document_source_and_filter(filled):
    filled.index([Document("keys", "another source")], source="other")
    assert filled.delete(documents=["keys", "no such document"]) == 1
    assert filled.delete(source="other") == 1
    assert filled.delete(documents=["cakes", "ships"], filter={"even": True}) == 1
    assert {entry.document_id for entry in filled.store.entries()} == {"cakes", "E4711", "中文"}
    with pytest.raises(InvalidInput, match="say what to delete"):
        filled.delete()
    with pytest.raises(InvalidInput, match="list of ids"):
        filled.delete(documents="keys")
    assert filled.delete(documents=[]) == 0


def test_an_index_opens_by_its_address_alone(tmp_path):
    path = tmp_path / "index"
    with Retriever.open(path, embedding="hashed:64", language="german", chunker=ChunkerConfig(size=50)) as made:
        made.index([Document("d", "Die Häuser am Hafen")])
    with Retriever.open(str(path)) as opened:
        assert ids(opened.search("Haus", mode="keyword")) == ["d"]
        assert ids(opened.search("Häuser am Hafen")) == ["d"]
        assert opened.embedding.dimension == 64
        assert opened.manifest.chunker.size == 50
        assert opened.info().sources == {"": 1}


def test_no_index_and_no_embedding_function_creates_nothing(tmp_path):
    with pytest.raises(StoreNotFound, match="embedding="):
        Retriever.open(tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "hashed:128"}, r"dimension 256.*hashed:128.*dimension is '256' there, '128' here"),
        ({"chunker": ChunkerConfig(size=64)}, "size 256.*size 64"),
        ({"language": "french"}, "english, not french"),
    ],
)
def test_another_setting_is_refused_and_both_sides_are_named(tmp_path, settings, message):
    Retriever.open(tmp_path / "i", embedding="hashed").close()
    with pytest.raises(IndexMismatch, match=message):
        Retriever.open(tmp_path / "i", **settings)
    with Retriever.open(tmp_path / "i", embedding="hashed", language="English") as opened:
        assert opened.store.count() == 0


def test_a_model_that_changed_under_its_name_is_refused(tmp_path):
    class Drifting(HashedEmbedding):
        kind = "drifting"
        shift = 0

        def _embed(self, texts, role):
            return np.roll(super()._embed(texts, role), self.shift, axis=1)

    unregister = register("retriever.embeddings", "drifting", Drifting)
    try:
        with Retriever.open(tmp_path / "i", embedding="drifting") as made:
            made.index([Document("d", "some words")])
        Drifting.shift = 1
        with Retriever.open(tmp_path / "i") as opened:
            assert ids(opened.search("words", mode="keyword")) == ["d"]
            with pytest.raises(IndexMismatch, match="other vectors"):
                opened.search("words")
            with pytest.raises(IndexMismatch, match="other vectors"):
                opened.index([Document("e", "more words")])
            assert opened.store.count() == 1
    finally:
        unregister()


def test_a_manifest_from_a_newer_version_is_refused(tmp_path):
    Retriever.open(tmp_path / "i", embedding="hashed").close()
    file = tmp_path / "i" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"schema_version": 99, "more": 1}))
    with pytest.raises(ManifestUnreadable, match=r"99.*upgrade"):
        Retriever.open(tmp_path / "i")
    file.write_text("{")
    with pytest.raises(ManifestUnreadable, match="damaged"):
        Retriever.open(tmp_path / "i")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(NotAStore, match="photos"):
        Retriever.open(tmp_path / "photos", embedding="hashed")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "empty"),
        ("ftp:./x", "ftp"),
        ("qdrant://u:secret@h/x", "no user, password"),
        ("memory://host/x", "server"),
    ],
)
def test_addresses_that_lead_nowhere(address, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        Retriever.open(address, embedding="hashed")
    assert "secret" not in str(caught.value)


def test_delete_all_leaves_other_files_and_does_not_mind_them(tmp_path):
    retriever = Retriever.open(tmp_path / "i", embedding="hashed")
    (tmp_path / "i" / "mine.txt").write_text("mine")
    retriever.delete_all()
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["mine.txt"]


def test_filter_fields_are_added_and_change_no_answer(tmp_path):
    with Retriever.open(tmp_path / "i", embedding="hashed", filter_fields={"n": "number"}) as retriever:
        retriever.index([Document(str(n), f"word {n}", {"n": n / 2, "s": str(n)}) for n in range(8)])
        before = sorted(ids(retriever.search("word", filter={"n": {"$lt": 1.6}, "s": {"$ne": "2"}})))
        assert before == ["0", "1", "3"]
    with Retriever.open(tmp_path / "i", filter_fields={"s": "keyword"}) as retriever:
        assert retriever.manifest.filter_fields == {"n": "number", "s": "keyword"}
        assert sorted(ids(retriever.search("word", filter={"n": {"$lt": 1.6}, "s": {"$ne": "2"}}))) == before
    with pytest.raises(InvalidInput, match="filter_fields"):
        Retriever.open("memory:", embedding="hashed", filter_fields={"n": "int"})


def test_verify_finds_a_foreign_vector(tmp_path):
    with Retriever.open(tmp_path / "i", embedding="hashed") as retriever:
        retriever.index([Document(str(n), f"text about thing{n}") for n in range(5)])
        assert retriever.verify().problems == []
        (entry, *_) = retriever.store.entries()
        chunk = retriever.store.fetch([retriever.store.key(entry.chunk_id)])[retriever.store.key(entry.chunk_id)]
        from retriever.stores import Record

        retriever.store.upsert([Record(chunk, retriever.embedding.embed_query("something else"), {"x": 1})])
        (problem,) = retriever.verify().problems
        assert entry.chunk_id in problem


def test_verify_finds_a_damaged_text(filled):
    (entry, *_) = (entry for entry in filled.store.entries() if entry.document_id == "cakes")
    key = filled.store.key(entry.chunk_id)
    chunk = filled.store.fetch([key])[key]
    damaged = replace(chunk, text="X" * len(chunk.text))
    if filled.address == "memory:":
        filled.store._records[chunk.id] = replace(filled.store._records[chunk.id], chunk=damaged)
        assert filled.verify().problems, "its vector is of another text"
    else:
        import qdrant_edge as edge

        shard, _ = filled.store._store._open()
        shard.update(edge.UpdateOperation.set_payload([key], {"text": damaged.text}))
        assert any("not what was written" in problem for problem in filled.verify().problems)


def test_a_damaged_index_can_be_destroyed(tmp_path):
    Retriever.open(tmp_path / "i", embedding="hashed").close()
    (tmp_path / "i" / "manifest.json").write_text("{")
    destroy_index(tmp_path / "i")
    assert not (tmp_path / "i").exists()
    with pytest.raises(StoreNotFound):
        destroy_index(tmp_path / "i")


def test_changing_the_index_from_within_a_run_is_refused(filled):
    def documents():
        yield Document("a", "text")
        filled.delete(documents=["keys"])

    with pytest.raises(InvalidInput, match="indexing already"):
        filled.index(documents())
    assert filled.delete(documents=["keys"]) == 1


def test_an_interrupted_recalibration_shows(filled, monkeypatch):
    def fail(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(filled.store, "upsert", fail)
        with pytest.raises(KeyboardInterrupt):
            filled.recalibrate()
    assert "interrupted" in filled.verify().warnings[0]
    filled.recalibrate()
    assert filled.verify().warnings == []


def test_values_of_the_wrong_kind_are_named(filled):
    for settings in ({"mmr": "a"}, {"keyword_weight": "a"}, {"min_cosine": "a"}, {"depth": 10**30}):
        with pytest.raises(InvalidInput, match=next(iter(settings))):
            filled.search("x", **settings)
    for what in (Document("a", "b"), None, 3):
        with pytest.raises(InvalidInput, match="iterable of documents"):
            filled.index(what)
    for store in (None, 3, b"x"):
        with pytest.raises(ConfigurationError, match="a store is"):
            Retriever.open(store, embedding="hashed")


def test_unusable_filter_fields_make_nothing(tmp_path):
    for key in ("", "\ud800"):
        with pytest.raises(InvalidInput):
            Retriever.open(tmp_path / "i", embedding="hashed", filter_fields={key: "keyword"})
        assert not (tmp_path / "i").exists()


def test_sources_are_told_apart_in_info(filled):
    filled.index([Document("a::b", "one")])
    filled.index([Document("b", "two")], source="a")
    assert filled.info().sources == {"": len(TOPICS) + 1, "a": 1}


def test_delete_all_removes_the_folder(tmp_path):
    retriever = Retriever.open(tmp_path / "i", embedding="hashed")
    retriever.index([Document("d", "text")])
    retriever.delete_all()
    assert not (tmp_path / "i").exists()
    with pytest.raises(StoreNotFound):
        Retriever.open(tmp_path / "i")


@pytest.mark.parametrize("settings", [{}, {"mmr": 0.5}, {"min_cosine": -1.0, "mode": "keyword"}], ids=str)
def test_many_threads_search_while_one_indexes_and_deletes(filled, settings):
    errors = []

    def search():
        try:
            for _ in range(15):
                assert "keys" in ids(filled.search("rotate the signing key", 50, **settings))
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(10):
        filled.index([Document(f"extra {m}", f"a key in document number {n} {m}") for m in range(20)])
        filled.delete(documents=[f"extra {m}" for m in range(0, 20, 2)])
        assert filled.verify().problems == []
    for thread in threads:
        thread.join()
    assert errors == []
    assert filled.store.count() == len(TOPICS) + 10


def test_scores_fall(filled):
    for mode in ("hybrid", "semantic", "keyword"):
        hits = filled.search("the service and a ship with error E4711", mode=mode)
        assert all(a.score >= b.score for a, b in pairwise(hits))


def test_a_relative_path_works_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("docs/a.md").write_text("# Title\n\nSome words.")
    with Retriever.open("./index", embedding="hashed") as retriever:
        retriever.index("docs/")
        (hit,) = retriever.search("words")
        assert hit.document_id == f"{tmp_path.resolve().as_posix()}/docs::a.md"
        assert hit.chunk.metadata["headings"] == ["Title"]


def test_verify_names_chunks_without_a_vector():
    class Vectorless(MemoryStore):
        def vectors(self, keys):
            return {}

    with Retriever.open(Vectorless(), embedding="hashed") as retriever:
        retriever.index([Document("a", TOPICS["keys"]), Document("b", TOPICS["cakes"])])
        problems = retriever.verify().problems
        assert len([problem for problem in problems if "has no vector" in problem]) == 2


class Foreign(HashedEmbedding):
    """Does not know every second word."""

    kind = "foreign"

    class Tokeniser(WordTokeniser):
        unknown_id = 7

        def encode_batch(self, texts):
            encodings = super().encode_batch(texts)
            for encoding in encodings:
                encoding.ids = [7 if n % 2 else 0 for n in range(len(encoding))]
            return encodings

    tokeniser = Tokeniser()


def test_an_attached_collection_is_measured_when_it_is_opened():
    import chromadb

    from retriever_chroma import ChromaStore

    function = Foreign()
    client = chromadb.EphemeralClient()
    collection = client.get_or_create_collection("attached-and-measured", embedding_function=None)
    texts = ["one two three four", "five six seven eight nine ten"] * 4
    vectors = function.embed_documents(texts)
    collection.add(ids=[str(n) for n in range(len(texts))], documents=texts, embeddings=vectors)
    unregister = register("retriever.embeddings", "foreign", Foreign)
    try:
        with Retriever.open(ChromaStore.attach(client, "attached-and-measured"), embedding=function) as retriever:
            calibration = retriever.manifest.calibration
            assert (calibration.chunks, calibration.average_length) == (8, 5.0)
            assert calibration.unknown_rate == 0.5
            assert retriever.search("seven", 1)[0].text == texts[1]
    finally:
        unregister()
        client.delete_collection("attached-and-measured")


def test_another_model_is_refused_where_a_collection_is_attached():
    import chromadb

    from retriever_chroma import ChromaStore

    client = chromadb.EphemeralClient()
    collection = client.get_or_create_collection("attached-and-refused", embedding_function=None)
    vectors = np.random.default_rng(0).standard_normal((3, 256))
    collection.add(ids=["a", "b", "c"], documents=["one two", "three", "four five"], embeddings=vectors)
    store = ChromaStore.attach(client, "attached-and-refused")
    with pytest.raises(IndexMismatch, match="were not made by hashed"):
        Retriever.open(store, embedding="hashed")
    assert ChromaStore.attach(client, "attached-and-refused").read_manifest() is None
    client.delete_collection("attached-and-refused")


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_no_cosine_is_beyond_its_bounds_so_that_the_lowest_threshold_keeps_all(mode):
    """Of vectors of length 1, rounding makes products a little over 1 and under -1."""

    class Opposite(HashedEmbedding):
        def _embed(self, texts, role):
            vectors = np.stack([np.random.default_rng(len(text)).normal(size=self.dimension) for text in texts])
            return (-vectors if role == "query" else vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)

    with Retriever.open("memory:", embedding=Opposite()) as retriever:
        retriever.index([Document(f"d{n}", "ship" + "x" * n + " ship") for n in range(60)])
        for n in range(60):
            query = "ship" + "y" * n + " ship"  # as long as one of the documents
            hits = retriever.search(query, 60, mode=mode, min_cosine=-1.0)
            assert len(hits) == 60
            assert all(-1 <= hit.legs["semantic"].score <= 1 for hit in hits)


def knows_few_words(texts):
    words = ("alpha", "beta", "gamma")
    return [[float(word in text.split()) for word in words] for text in texts]


@pytest.mark.parametrize("store", ["memory:", "edge"])
def test_a_query_of_unknown_words_is_not_answered_by_meaning(store, tmp_path):
    """Its vector is all zeros, to which every text is as near: what the words find must not sink among those."""
    embedding = CallableEmbedding(knows_few_words, called="few words")
    texts = [f"alpha beta number {n}" for n in range(60)] + ["gamma zyxwv", "beta zyxwv and many other words beside it"]
    with Retriever.open(store if store == "memory:" else tmp_path / "index", embedding=embedding) as retriever:
        retriever.index([Document(str(n), text) for n, text in enumerate(texts)])
        assert set(ids(retriever.search("zyxwv", 5))) == {"60", "61"}
        assert set(ids(retriever.search("zyxwv", 5, mode="keyword"))) == {"60", "61"}
        assert retriever.search("zyxwv", 5, mode="semantic") == []
        assert ids(retriever.search("gamma", 1, mode="semantic")) == ["60"]


def test_the_way_to_another_model_says_all_its_settings_or_takes_the_object(tmp_path):
    with Retriever.open(tmp_path / "index", embedding="hashed") as retriever:
        retriever.index([Document("a", "text")])
    with pytest.raises(IndexMismatch, match=r"retriever copy .* NEW --embedding hashed:512"):
        Retriever.open(tmp_path / "index", embedding="hashed:512")
    config = HashedEmbedding.from_name("512").config.model_copy(update={"too_long": "split"})
    with pytest.raises(IndexMismatch, match="with the object itself"):
        Retriever.open(tmp_path / "index", embedding=HashedEmbedding(config))
