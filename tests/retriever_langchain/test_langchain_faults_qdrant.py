"""What is wrong in langchain-qdrant 1.1.0: each test fails there and passes here."""

# The line of its qdrant.py, and the tests that hold it:
#   1045-1047       generators           a_generator_of_texts_is_written
#   1058-1068, 516  zip drops texts      fewer_ids_than_texts_are_refused, fewer_vectors_than_texts_are_an_error,
#                                        ids_that_are_returned_are_of_documents_that_are_stored
#   1050, 1088      short metadatas      fewer_metadatas_than_texts_write_nothing, …_are_refused
#   1030-1036       no Document.id       documents_have_their_id, a_document_that_is_added_again_is_there_once
#                   metadata polluted    documents_have_the_metadata_that_was_given,
#                                        metadata_of_a_document_that_is_added_again_is_the_same
#   ids             UUIDs, mixed         any_string_is_an_id, some_documents_have_ids_and_others_none
#   830             MMR inverted         lambda_mult_is_the_share_of_relevance, lambda_mult_by_vector_is_…
#   605-627         k candidates fused   what_is_good_in_both_legs_wins, pages_of_hybrid_search_are_full
#                   RRF as relevance     a_score_threshold_drops_what_is_not_relevant, …_keeps_perfect_hits
#   1004-1020       DOT, MANHATTAN       relevance_rises_with_similarity, relevance_is_there_whatever_the_distance
#   664-670         extra request        a_query_by_vector_is_one_request
#   749-755         "dummy_text"         mmr_embeds_the_query_alone
#   944-945, 978    caller's options     what_the_caller_passes_is_not_changed
#   871-875         delete               deleting_without_ids_deletes_everything, deleting_no_ids_deletes_none,
#                                        deleting_with_a_filter_…, deleting_with_an_unknown_argument_is_refused
#   925-942         force_recreate       data_survive_a_provider_that_is_down
#   asynchronous methods                 asynchronous_methods_leave_the_loops_executor_to_the_application
#   models that change                   another_model_of_the_same_dimension_is_refused
# The other tests hold what else is known of it under faults.

from __future__ import annotations

import gc
import zlib
from contextlib import closing, suppress
from uuid import UUID

import pytest
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings, SparseVector
from peers import COMPASS, SILENT, Flaky, Vectors, fault, threads_of_asynchronous_calls
from pydantic import ValidationError
from qdrant_client import QdrantClient, models

from retriever import EmbeddingError, InvalidInput, RetrieverError
from retriever_langchain import RetrieverVectorStore
from retriever_qdrant import QdrantStore

IDS = [str(UUID(int=n)) for n in range(4)]


class Words(SparseEmbeddings):
    """Counts words."""

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        words = text.split()
        counts = {zlib.crc32(word.encode()): float(words.count(word)) for word in words}
        return SparseVector(indices=list(counts), values=list(counts.values()))


class Counting(QdrantClient):
    """Counts how often it is asked what a collection is like."""

    asked = 0

    def get_collection(self, *args, **kwargs):
        self.asked += 1
        return super().get_collection(*args, **kwargs)


@pytest.fixture
def client():
    """Qdrant in memory."""
    opened = Counting(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def make(side, client):
    """An empty vector store. Ours always compares by cosine, and has its own sparse vectors."""
    made = []

    def call(embedding=None, *, mode="semantic", distance=models.Distance.COSINE):
        embedding = embedding or Vectors(COMPASS)
        if side == "ours":
            made.append(RetrieverVectorStore(QdrantStore(client=client, collection="docs"), embedding, mode=mode))
            return made[-1]
        client.create_collection(
            "docs",
            vectors_config=models.VectorParams(size=len(embedding.embed_query("north")), distance=distance),
            sparse_vectors_config={"langchain-sparse": models.SparseVectorParams()},
        )
        hybrid = {"retrieval_mode": RetrievalMode.HYBRID, "sparse_embedding": Words()} if mode == "hybrid" else {}
        return QdrantVectorStore(client, "docs", embedding, distance=distance, **hybrid)

    yield call
    for store in made:
        store.close()


def texts_in(store):
    return sorted(doc.page_content for doc in store.similarity_search("north", k=100))


def metadata_in(store, side):
    """As it is stored."""
    if side == "ours":
        return [doc.metadata for doc in store.similarity_search("north", k=100)]
    points, _ = store.client.scroll("docs", limit=100)
    return [point.payload["metadata"] for point in points]


@fault("lq:1045-1047: a generator is silently not stored")
def test_a_generator_of_texts_is_written(make):
    store = make()
    ids = store.add_texts(text for text in ["north", "east"])
    assert len(ids) == 2
    assert texts_in(store) == ["east", "north"]


@fault("lq:1058-1068: fewer ids than texts silently drop texts", SILENT)
def test_fewer_ids_than_texts_are_refused(make):
    with pytest.raises(ValueError, match="1 ids for 2"):
        make().add_texts(["north", "east"], ids=IDS[:1])


@fault("lq:1058-1068, lq:516: fewer vectors than texts silently drop texts, and all ids are returned")
def test_ids_that_are_returned_are_of_documents_that_are_stored(make):
    embedding = Flaky(COMPASS)
    store = make(embedding)
    store.add_texts(["north"], ids=IDS[:1])
    embedding.losing, returned = True, []
    with suppress(EmbeddingError):
        returned = store.add_texts(["east", "south"], ids=IDS[1:3])
    assert len(store.get_by_ids(returned)) == len(returned)


@fault("lq:1058-1068: fewer vectors than texts are no error", SILENT)
def test_fewer_vectors_than_texts_are_an_error(make):
    embedding = Flaky(COMPASS)
    store = make(embedding)
    store.add_texts(["north"])
    embedding.losing = True
    with pytest.raises(EmbeddingError):
        store.add_texts(["east", "south"])
    assert texts_in(store) == ["north"]


@fault("lq:1050, 1088: fewer metadatas than texts are an IndexError after batches were written")
def test_fewer_metadatas_than_texts_write_nothing(make):
    store = make()
    with pytest.raises((ValueError, IndexError)):
        store.add_texts(list(COMPASS), [{"n": n} for n in range(3)], batch_size=2)
    assert texts_in(store) == []


@fault("lq:1050, 1088: fewer metadatas than texts are silently None on the edge of a batch", SILENT)
def test_fewer_metadatas_than_texts_are_refused(make):
    with pytest.raises(ValueError, match="2 metadatas for 4 texts"):
        make().add_texts(list(COMPASS), [{"n": n} for n in range(2)], batch_size=2)


@fault("lq:1030-1036: Document.id is never set")
def test_documents_have_their_id(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}], ids=IDS[1:2])
    found = [
        *store.similarity_search("north"),
        *store.get_by_ids(IDS[1:2]),
        *store.max_marginal_relevance_search("north"),
        *store.similarity_search_by_vector(COMPASS["north"]),
    ]
    assert [doc.id for doc in found] == IDS[1:2] * 4


@fault("lq:1030-1036: _id and _collection_name are in the metadata")
def test_documents_have_the_metadata_that_was_given(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}], ids=IDS[1:2])
    assert [doc.metadata for doc in store.similarity_search("north")] == [{"n": 1}]
    assert [doc.metadata for doc in store.get_by_ids(IDS[1:2])] == [{"n": 1}]


@fault("lq:1030-1036: _id and _collection_name are written back")
def test_metadata_of_a_document_that_is_added_again_is_the_same(make, side):
    store = make()
    store.add_texts(["north"], [{"n": 1}], ids=IDS[1:2])
    store.add_documents(store.similarity_search("north"), ids=IDS[1:2])
    assert metadata_in(store, side) == [{"n": 1}]


@fault("lq:1030-1036: without Document.id what is added again is doubled")
def test_a_document_that_is_added_again_is_there_once(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}], ids=IDS[1:2])
    store.add_documents(store.similarity_search("north"))
    assert texts_in(store) == ["north"]


@fault("ids must be UUIDs or integers", ValueError)
@pytest.mark.parametrize("name", ["doc-1", "1"])
def test_any_string_is_an_id(make, name):
    store = make()
    assert store.add_texts(["north"], ids=[name]) == [name]
    assert [doc.page_content for doc in store.get_by_ids([name])] == ["north"]


@fault("mixed ids: pydantic error", ValidationError)
def test_some_documents_have_ids_and_others_none(make):
    store = make()
    ids = store.add_documents([Document(id=IDS[1], page_content="north"), Document(page_content="east")])
    assert ids[0] == IDS[1]
    assert {doc.page_content for doc in store.get_by_ids(ids)} == {"north", "east"}


ALIKE = {"north": [1, 0, 0], "a": [1, 0.05, 0], "b": [1, 0.1, 0], "c": [0.7, 0, 0.7]}


@fault("lq:830, #39052: lambda_mult is inverted")
@pytest.mark.parametrize(("balance", "chosen"), [(1.0, ["a", "b"]), (0.1, ["a", "c"])])
def test_lambda_mult_is_the_share_of_relevance(make, balance, chosen):
    store = make(Vectors(ALIKE, 3))
    store.add_texts(["a", "b", "c"])
    found = store.max_marginal_relevance_search("north", k=2, lambda_mult=balance)
    assert [doc.page_content for doc in found] == chosen


@fault("lq:830: lambda_mult is inverted for vectors as well")
def test_lambda_mult_by_vector_is_the_share_of_relevance(make):
    store = make(Vectors(ALIKE, 3))
    store.add_texts(["a", "b", "c"])
    found = store.max_marginal_relevance_search_by_vector(ALIKE["north"], k=2, lambda_mult=1.0)
    assert [doc.page_content for doc in found] == ["a", "b"]


@fault("lq:605-627: only k candidates of each leg are fused")
def test_what_is_good_in_both_legs_wins(make):
    vectors = {
        "apple pie": [1.0, 0.0],
        "a recipe": [1.0, 0.0],
        "some apple pie": [0.95, 0.31],
        "apple pie apple pie apple pie": [-1.0, 0.0],
        "an apple that fell from a tree in somebody's garden": [-0.9, 0.44],
    }
    store = make(Vectors(vectors), mode="hybrid")
    store.add_texts(list(vectors)[1:])
    assert [doc.page_content for doc in store.similarity_search("apple pie", k=1)] == ["some apple pie"]


@fault("lq:605-627: offset is applied after k candidates of each leg were fused")
def test_pages_of_hybrid_search_are_full(make):
    store = make(Vectors(size=8), mode="hybrid")
    store.add_texts([f"apple number {n}" for n in range(40)])
    pages = [store.similarity_search("apple", k=4, offset=offset) for offset in (0, 4, 8)]
    assert [len(page) for page in pages] == [4, 4, 4]
    assert len({doc.page_content for page in pages for doc in page}) == 12


@fault("lq:605-627: score_threshold is compared with the RRF score: what is opposite passes")
def test_a_score_threshold_drops_what_is_not_relevant(make):
    store = make(Vectors({"north star": [0.0, 1.0], "south star": [0.0, -1.0]}), mode="hybrid")
    store.add_texts(["south star"])
    assert store.similarity_search_with_relevance_scores("north star", score_threshold=0.9) == []


@fault("lq:605-627: score_threshold is compared with the RRF score: what is identical does not pass")
def test_a_score_threshold_keeps_perfect_hits(make):
    store = make(Vectors({"up": [0.0, 1.0], **COMPASS}), mode="hybrid")
    store.add_texts(["north", "south"])
    found = store.similarity_search_with_relevance_scores("up", score_threshold=0.9)
    assert [doc.page_content for doc, _ in found] == ["north"]


@fault("lq:1004-1020: DOT takes a similarity for a distance: the order is inverted")
def test_relevance_rises_with_similarity(make):
    store = make(distance=models.Distance.DOT)
    store.add_texts(["north", "south"])
    scores = {doc.page_content: score for doc, score in store.similarity_search_with_relevance_scores("north")}
    assert scores == pytest.approx({"north": 1.0, "south": 0.0}, abs=1e-6)


@fault("lq:1004-1020: MANHATTAN raises", ValueError)
def test_relevance_is_there_whatever_the_distance(make):
    store = make(distance=models.Distance.MANHATTAN)
    store.add_texts(["north", "south"])
    assert len(store.similarity_search_with_relevance_scores("north")) == 2


@fault("lq:664-670: every query by vector asks for the collection first")
def test_a_query_by_vector_is_one_request(make, client):
    store = make()
    store.add_texts(["north"])
    store.similarity_search_by_vector(COMPASS["north"])
    client.asked = 0
    store.similarity_search_by_vector(COMPASS["north"])
    assert client.asked == 0


@fault('lq:749-755: MMR embeds "dummy_text" on every query')
def test_mmr_embeds_the_query_alone(make):
    embedding = Vectors(COMPASS)
    store = make(embedding)
    store.add_texts(["north"])
    store.max_marginal_relevance_search("north")
    embedding.documents.clear()
    embedding.queries.clear()
    store.max_marginal_relevance_search("north")
    assert (embedding.documents, embedding.queries) == ([], ["north"])


@fault("lq:944-945, 978-980: the caller's vector_params and collection_create_options are changed")
def test_what_the_caller_passes_is_not_changed(side, client):
    """Ours has no such options, and unknown ones are errors; it leaves alone all that it does take."""
    options = {"vector_params": {}, "collection_create_options": {}}
    if side == "peer":
        QdrantVectorStore.from_texts(["north"], Vectors(COMPASS), location=":memory:", **options).client.close()
    else:
        with pytest.raises(TypeError, match="vector_params"):
            RetrieverVectorStore.from_texts(["north"], Vectors(COMPASS), **options)
        metadatas, ids = [{"tags": ["a"]}, {}], [None, "1"]
        documents = [Document(page_content="west", metadata={"tags": ["b"]})]
        store = QdrantStore(client=client, collection="docs")
        with RetrieverVectorStore(store, Vectors(COMPASS)) as made:
            made.add_texts(["north", "east"], metadatas, ids=ids)
            made.add_documents(documents)
        assert (metadatas, ids) == ([{"tags": ["a"]}, {}], [None, "1"])
        assert documents == [Document(page_content="west", metadata={"tags": ["b"]})]
    assert options == {"vector_params": {}, "collection_create_options": {}}


@fault("lq:871-875: delete() raises", ValueError)
def test_deleting_without_ids_deletes_everything(make):
    """As the interface has it: "If None, delete all"."""
    store = make()
    store.add_texts(["north", "east"])
    store.delete()
    assert texts_in(store) == []


@fault("lq:871-875: delete([]) raises", ValueError)
def test_deleting_no_ids_deletes_none(make):
    store = make()
    store.add_texts(["north"])
    store.delete([])
    assert texts_in(store) == ["north"]


@fault("lq:871-875: keyword arguments of delete are ignored, a filter among them")
def test_deleting_with_a_filter_deletes_only_what_satisfies_it(make):
    store = make()
    store.add_texts(["north", "east"], [{"old": True}, {"old": False}], ids=IDS[:2])
    old = models.FieldCondition(key="metadata.old", match=models.MatchValue(value=True))
    store.delete(IDS[:2], filter=models.Filter(must=[old]))
    assert texts_in(store) == ["east"]


@fault("lq:871-875: unknown keyword arguments of delete are ignored", SILENT)
def test_deleting_with_an_unknown_argument_is_refused(make):
    store = make()
    store.add_texts(["north"], ids=IDS[:1])
    with pytest.raises(TypeError, match="namespace"):
        store.delete(IDS[:1], namespace="another")
    assert texts_in(store) == ["north"]


@fault("lq:925-942: force_recreate deletes before it knows that it can embed")
def test_data_survive_a_provider_that_is_down(side, tmp_path):
    """Ours has no force_recreate, and takes nothing away before what replaces it is there."""
    embedding = Flaky(COMPASS)
    if side == "peer":
        place = {"path": str(tmp_path / "index"), "collection_name": "docs"}
        QdrantVectorStore.from_texts(["north"], embedding, **place).client.close()
        embedding.down = True
        with pytest.raises(ConnectionError) as raised:
            QdrantVectorStore.from_texts(["east"], embedding, **place, force_recreate=True)
        del raised
        gc.collect()  # nothing else lets go of the folder
        with closing(QdrantClient(path=place["path"])) as client:
            assert client.collection_exists("docs")
        return
    store = tmp_path / "index"
    RetrieverVectorStore.from_texts(["north"], embedding, ids=["1"], store=store).close()
    with pytest.raises(TypeError, match="force_recreate"):
        RetrieverVectorStore.from_texts(["east"], embedding, store=store, force_recreate=True)
    embedding.down = True
    with pytest.raises(EmbeddingError):
        RetrieverVectorStore.from_texts(["east"], embedding, ids=["1"], store=store)
    embedding.down = False
    with RetrieverVectorStore(store, embedding) as opened:
        assert texts_in(opened) == ["north"]


@fault("Two sync/async clients: asynchronous methods run the synchronous client in threads")
async def test_asynchronous_methods_leave_the_loops_executor_to_the_application(make):
    """That one is shared with the application's own work, DNS look-ups and files. Ours run in a few threads apart."""
    embedding = Vectors(COMPASS)
    assert await threads_of_asynchronous_calls(make(embedding), embedding) == {"retriever-langchain"}


# The rows of the table of faults that langchain-qdrant is in, and the findings that it is named in.


@fault("killed between the two halves of one call: what is stored already is embedded again")
def test_a_call_that_failed_is_finished_by_calling_again(make):
    embedding = Flaky()
    store = make(embedding)
    texts, ids = [f"text {n}" for n in range(300)], [str(UUID(int=n)) for n in range(300)]
    embedding.most = 280
    with pytest.raises((ConnectionError, EmbeddingError)):
        store.add_texts(texts, ids=ids)
    embedding.most = None
    store.add_texts(texts, ids=ids)
    assert embedding.documents.count("text 0") == 1


@fault("duplicate ids in one call: the last wins silently, and the id is returned twice", SILENT)
def test_an_id_that_is_there_twice_is_refused(make):
    with pytest.raises(ValueError, match="twice"):
        make().add_texts(["north", "east"], ids=[IDS[1], IDS[1]])


@fault("other model, same dimension: accepted", SILENT)
def test_another_model_of_the_same_dimension_is_refused(side, client):
    client.create_collection("docs", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    QdrantVectorStore(client, "docs", Vectors(COMPASS)).add_texts(list(COMPASS))
    turned = Vectors({text: [y, -x] for text, (x, y) in COMPASS.items()})
    attach = RetrieverVectorStore.from_qdrant if side == "ours" else QdrantVectorStore
    with pytest.raises(RetrieverError, match="Vectors"):
        attach(collection_name="docs", embedding=turned, client=client).similarity_search("north")


@fault("NaN/Inf vector: infinity is accepted, and its score is nan", SILENT)
def test_a_vector_with_infinity_is_refused(make):
    store = make(Vectors({**COMPASS, "nowhere": [float("inf"), 0.0]}))
    with pytest.raises(EmbeddingError, match="nowhere"):
        store.add_texts(["nowhere"])


@fault("metadata sets: silently become lists", SILENT)
def test_metadata_that_no_store_can_hold_are_refused_by_name(make):
    with pytest.raises(InvalidInput, match="tags"):
        make().add_texts(["north"], [{"tags": {1, 2}}])


@fault("metadata bytes: UnicodeDecodeError", UnicodeDecodeError)
def test_metadata_that_are_no_text_are_refused_by_name(make):
    with pytest.raises(InvalidInput, match="raw"):
        make().add_texts(["north"], [{"raw": b"\xff"}])


@fault("filters: a dictionary is an AttributeError", AttributeError)
def test_a_dictionary_is_a_filter(make):
    store = make()
    store.add_texts(["north", "south"], [{"n": 1}, {"n": 2}])
    assert [doc.page_content for doc in store.similarity_search("north", filter={"n": 2})] == ["south"]
