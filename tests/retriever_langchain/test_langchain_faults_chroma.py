"""What is wrong in langchain-chroma 1.1.0: each test fails there and passes here."""

# The line of its vectorstores.py, and the tests that hold it:
#   619-625    generators                a_generator_of_texts_is_written, …_with_metadatas_is_written
#   628-640    longer metadatas          more_metadatas_than_texts_are_refused_by_name
#   641-675    two upserts, no batches   a_call_that_is_refused_has_written_nothing, more_texts_than_a_batch_…_takes
#   1204       no metadata               a_document_without_metadata_is_got_by_its_id
#   1202, 1459 empty lists               getting_no_ids_gives_none, deleting_no_ids_deletes_none
#   1064-1073  MMR                       mmr_gives_as_many_as_were_asked_for, mmr_gives_the_documents_that_it_chose,
#                                        mmr_is_in_the_order_of_its_choice
#   786-815    raw distances             relevance_by_vector_is_higher_for_what_is_closer
#   904-943    l2, ip, thresholds        relevance_on_a_collection_with_squared_distances, …_with_inner_products,
#                                        a_score_threshold_keeps_perfect_hits
#   1014       nested list               an_image_is_found_by_its_vector
#   418-419    default function          no_embedding_function_comes_from_nowhere
#   922        .configuration            what_the_server_names_is_never_built
#   asynchronous methods                 asynchronous_methods_leave_the_loops_executor_to_the_application
#   models that change                   another_model_of_the_same_dimension_is_refused
# The other tests hold what else is known of it under faults.

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import chromadb
import numpy as np
import pytest
from chromadb.api.types import Documents, EmbeddingFunction
from chromadb.utils.embedding_functions import known_embedding_functions
from langchain_chroma import Chroma
from langchain_core.documents import Document
from peers import COMPASS, SILENT, Pictures, Vectors, fault, threads_of_asynchronous_calls
from pydantic import ValidationError

from retriever import InvalidInput, RetrieverError, StoreNotFound
from retriever_chroma import ChromaStore
from retriever_langchain import RetrieverVectorStore


@pytest.fixture
def client():
    """Chroma in memory; what a test made in it goes with it."""
    opened = chromadb.EphemeralClient()
    before = {collection.name for collection in opened.list_collections()}  # all such clients of a process share them
    yield opened
    for name in {collection.name for collection in opened.list_collections()} - before:
        opened.delete_collection(name)


@pytest.fixture
def make(side, client):
    """An empty vector store."""
    made = []

    def call(embedding=None, mode="hybrid"):
        embedding = embedding or Vectors(COMPASS)
        if side == "peer":
            cosine = {"hnsw": {"space": "cosine"}}
            return Chroma(f"docs-{uuid.uuid4().hex}", embedding, client=client, collection_configuration=cosine)
        made.append(RetrieverVectorStore(ChromaStore(), embedding, mode=mode))
        return made[-1]

    yield call
    for store in made:
        store.close()


@pytest.fixture
def attach(side, client):
    """A vector store over a collection that is there."""
    made = []

    def call(name, embedding):
        if side == "peer":
            return Chroma(name, embedding, client=client)
        made.append(RetrieverVectorStore.from_chroma(name, embedding, client=client))
        return made[-1]

    yield call
    for store in made:
        store.close()


@pytest.fixture
def filled(client):
    """The name of a collection of plain Chroma with the four directions in it."""

    def call(space="cosine", **options):
        name = f"docs-{uuid.uuid4().hex}"
        options.setdefault("embedding_function", None)
        collection = client.create_collection(name, configuration={"hnsw": {"space": space}}, **options)
        collection.add(ids=list(COMPASS), embeddings=list(COMPASS.values()), documents=list(COMPASS))
        return name

    return call


@fault("lc:619-625: a generator is exhausted before it is read", ValueError)
def test_a_generator_of_texts_is_written(make):
    store = make()
    ids = store.add_texts(text for text in ["north", "east"])
    assert sorted(doc.page_content for doc in store.similarity_search("north", k=9)) == ["east", "north"]
    assert len(set(ids)) == 2


@fault("lc:619-625: a generator is exhausted, and the metadatas have no texts", IndexError)
def test_a_generator_of_texts_with_metadatas_is_written(make):
    store = make()
    ids = store.add_texts((text for text in ["north", "east"]), [{"n": 1}, {"n": 2}])
    assert [doc.metadata for doc in store.get_by_ids(ids)] == [{"n": 1}, {"n": 2}]


@fault("lc:628-640: metadatas longer than texts", IndexError)
def test_more_metadatas_than_texts_are_refused_by_name(make):
    store = make()
    with pytest.raises(ValueError, match="2 metadatas for 1 text"):
        store.add_texts(["north"], [{"n": 1}, {"n": 2}])


@fault("lc:641-675: one call is two upserts")
def test_a_call_that_is_refused_has_written_nothing(make):
    store = make()
    with pytest.raises((ValueError, chromadb.errors.DuplicateIDError), match="b"):
        store.add_texts(["north", "east", "west"], [{"n": 1}, {}, {}], ids=["a", "b", "b"])
    assert store.get_by_ids(["a", "b"]) == []


@fault("lc:641-675: no batching", chromadb.errors.InternalError)
def test_more_texts_than_a_batch_of_chroma_takes(make, client):
    store = make()
    count = client.get_max_batch_size() + 1
    ids = store.add_texts([f"text {n}" for n in range(count)])
    assert len(store.get_by_ids([ids[0], ids[-1]])) == 2


@fault("lc:1204: a document without metadata", ValidationError)
def test_a_document_without_metadata_is_got_by_its_id(make):
    store = make()
    ids = store.add_texts(["north"])
    assert store.get_by_ids(ids) == [Document(id=ids[0], page_content="north")]


@fault("lc:1202: get_by_ids([]) raises", ValueError)
def test_getting_no_ids_gives_none(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}])
    assert store.get_by_ids([]) == []


@fault("lc:1459: delete([]) raises", ValueError)
def test_deleting_no_ids_deletes_none(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}])
    store.delete([])
    assert len(store.similarity_search("north")) == 1


BLANK = {"north": [0.0, 1.0], "near": [0.2, 1.0], "far": [1.0, 0.2]}


@pytest.fixture
def with_a_blank(client):
    """The name of a collection whose best row has no document."""
    name = f"docs-{uuid.uuid4().hex}"
    collection = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    collection.add(ids=["blank"], embeddings=[[0.1, 1.0]])
    collection.add(ids=["near", "far"], embeddings=[BLANK["near"], BLANK["far"]], documents=["near", "far"])
    return name


@fault("lc:1064-1073: rows without a document are dropped after MMR's choice: fewer documents")
def test_mmr_gives_as_many_as_were_asked_for(attach, with_a_blank):
    store = attach(with_a_blank, Vectors(BLANK))
    assert len(store.max_marginal_relevance_search("north", k=2, lambda_mult=0.2)) == 2


@fault("lc:1064-1073: MMR's indices are of the full result, and are looked up in a shorter one: other documents")
def test_mmr_gives_the_documents_that_it_chose(attach, with_a_blank):
    store = attach(with_a_blank, Vectors(BLANK))
    chosen = store.max_marginal_relevance_search("north", k=2, lambda_mult=1.0)
    assert "far" not in [doc.id for doc in chosen]


@fault("lc:1064-1073: MMR's result is in the order of similarity")
def test_mmr_is_in_the_order_of_its_choice(make):
    store = make(Vectors({"q": [1, 0, 0], "a": [1, 0.05, 0], "b": [1, 0.1, 0], "c": [0.7, 0, 0.7]}, 3), "semantic")
    store.add_texts(["a", "b", "c"])
    found = store.max_marginal_relevance_search("q", k=3, lambda_mult=0.3)
    assert [doc.page_content for doc in found] == ["a", "c", "b"]


def relevance(store, text, vector):
    """Of each document, by the method of the peer that line is about, or ours."""
    by_vector = getattr(store, "similarity_search_by_vector_with_relevance_scores", None)
    found = by_vector(vector) if by_vector else store.similarity_search_with_relevance_scores(text)
    return {doc.page_content: score for doc, score in found}


@fault("lc:786-815: relevance scores are raw distances")
def test_relevance_by_vector_is_higher_for_what_is_closer(make):
    store = make()
    store.add_texts(list(COMPASS))
    scores = relevance(store, "north", COMPASS["north"])
    assert scores == pytest.approx({"north": 1, "east": 0.5, "west": 0.5, "south": 0}, abs=1e-6)


@fault("lc:904-943: l2 subtracts a squared distance from 1: negative scores")
def test_relevance_on_a_collection_with_squared_distances(attach, filled):
    found = attach(filled("l2"), Vectors(COMPASS)).similarity_search_with_relevance_scores("north")
    assert all(0 <= score <= 1 for _, score in found)
    assert {doc.id: score for doc, score in found} == pytest.approx(
        {"north": 1, "east": 0.5, "west": 0.5, "south": 0}, abs=1e-6
    )


@fault("lc:904-943: ip gives an identical vector -0.0")
def test_relevance_on_a_collection_with_inner_products(attach, filled):
    found = attach(filled("ip"), Vectors(COMPASS)).similarity_search_with_relevance_scores("north")
    assert {doc.id: score for doc, score in found} == pytest.approx(
        {"north": 1, "east": 0.5, "west": 0.5, "south": 0}, abs=1e-6
    )


@fault("#38506, #24545, #10864: a score threshold drops perfect hits")
def test_a_score_threshold_keeps_perfect_hits(attach, filled):
    store = attach(filled("ip"), Vectors(COMPASS))
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
    assert [doc.id for doc in retriever.invoke("north")] == ["north"]


@fault("lc:1014: image search by relevance passes a nested list", ValueError)
def test_an_image_is_found_by_its_vector(make, tmp_path):
    """Ours has no methods for images: the vector of one is searched for."""
    picture = str(tmp_path / "picture.png")
    store = make(Pictures({**COMPASS, picture: [0.0, 1.0]}))
    store.add_texts(["north", "south"])
    search = getattr(store, "similarity_search_by_image_with_relevance_score", None)
    found = (
        [doc for doc, _ in search(picture, k=1)]
        if search
        else store.similarity_search_by_vector(store.embeddings.embed_image([picture])[0], k=1)
    )
    assert [doc.page_content for doc in found] == ["north"]


@fault("lc:418-419: Chroma's default embedding function is attached, which downloads a model at first use")
def test_no_embedding_function_comes_from_nowhere(side, client, filled, tmp_path):
    """Opening without an embedding function: ours says that one is needed."""
    name = filled()
    if side == "peer":
        store = Chroma(name, client=client, create_collection_if_not_exists=False)
        assert store._collection._embedding_function is None
    else:
        store = RetrieverVectorStore.from_chroma(name, client=client)
        with pytest.raises(StoreNotFound, match="say which embedding function to use"):
            store.similarity_search("north")


class Tripwire(EmbeddingFunction[Documents]):
    """A function that a server's configuration may name: notes that it was built."""

    built: ClassVar[list[dict[str, Any]]] = []

    def __call__(self, input: Documents) -> list[Any]:  # noqa: A002
        return [np.array(COMPASS.get(text, COMPASS["north"]), np.float32) for text in input]

    def __init__(self) -> None:
        pass

    @staticmethod
    def name() -> str:
        return "tripwire"

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> EmbeddingFunction[Documents]:
        Tripwire.built.append(config)
        return Tripwire()

    def get_config(self) -> dict[str, Any]:
        return {"trust_remote_code": True}


@pytest.fixture
def tripwire(monkeypatch):
    monkeypatch.setitem(known_embedding_functions, "tripwire", Tripwire)
    monkeypatch.setattr(Tripwire, "built", [])
    return Tripwire


@fault("lc:922: .configuration builds the function that the server names")
def test_what_the_server_names_is_never_built(attach, filled, tripwire):
    name = filled(embedding_function=tripwire())
    tripwire.built.clear()
    store = attach(name, Vectors(COMPASS))
    assert store.similarity_search_with_relevance_scores("north", k=1)[0][0].id == "north"
    assert tripwire.built == []


@fault("Asynchronous methods are thread-pool wrappers")
async def test_asynchronous_methods_leave_the_loops_executor_to_the_application(make):
    """That one is shared with the application's own work, DNS look-ups and files. Ours run in a few threads apart."""
    embedding = Vectors(COMPASS)
    assert await threads_of_asynchronous_calls(make(embedding), embedding) == {"retriever-langchain"}


# The rows of the table of faults that langchain-chroma is in, and the findings that it is named in.


@fault("duplicate ids in one call: refused, after embedding was paid for")
def test_what_is_refused_was_not_embedded(make):
    embedding = Vectors(COMPASS)
    store = make(embedding)
    with pytest.raises((ValueError, chromadb.errors.ChromaError)):
        store.add_texts(["north", "south"], ids=["same", "same"])
    assert "south" not in embedding.documents


@fault("10^5 ids: too many SQL variables", chromadb.errors.InternalError)
def test_any_number_of_ids_is_got(make):
    store = make()
    store.add_texts(["north"], [{"n": 1}], ids=["0"])
    assert [doc.id for doc in store.get_by_ids([str(n) for n in range(33_000)])] == ["0"]


@fault("re-upsert with fewer metadata keys: the old ones stay")
def test_replacing_a_document_replaces_its_metadata(make):
    store = make()
    store.add_texts(["north"], [{"author": "a", "draft": True}], ids=["1"])
    store.add_texts(["north"], [{"author": "b"}], ids=["1"])
    assert [doc.metadata for doc in store.get_by_ids(["1"])] == [{"author": "b"}]


@fault("other model, same dimension: accepted", SILENT)
def test_another_model_of_the_same_dimension_is_refused(attach, filled):
    turned = {text: [y, -x] for text, (x, y) in COMPASS.items()}
    with pytest.raises(RetrieverError, match="Vectors"):
        attach(filled(), Vectors(turned)).similarity_search("north")


@fault("lone surrogate: UnicodeEncodeError from deep inside", UnicodeEncodeError)
def test_a_text_that_is_no_text_is_refused_by_its_name(make):
    with pytest.raises(InvalidInput, match="lone surrogate"):
        make(Vectors({"so\ud800uth": [0.0, -1.0]})).add_texts(["north", "so\ud800uth"], ids=["0", "1"])


@fault("metadata NaN/Inf: silently dropped", SILENT)
def test_metadata_that_is_no_number_is_refused_by_its_name(make):
    with pytest.raises(InvalidInput, match="weight"):
        make().add_texts(["north"], [{"weight": float("nan")}])


@fault("metadata int 2**70: silently becomes a float", SILENT)
def test_metadata_that_no_store_can_hold_is_refused_by_its_name(make):
    with pytest.raises(InvalidInput, match="number"):
        make().add_texts(["north"], [{"number": 2**70}])


@fault("k = 0: TypeError", TypeError)
def test_asking_for_nothing_is_an_unusable_value(make):
    store = make()
    store.add_texts(["north"])
    with pytest.raises(ValueError, match="k is 0"):
        store.similarity_search("north", k=0)


@fault("filter of two keys: ValueError", ValueError)
def test_a_filter_of_two_keys_means_both(make):
    store = make()
    store.add_texts(["north", "south"], [{"a": 1, "b": 1}, {"a": 1, "b": 2}])
    assert [doc.page_content for doc in store.similarity_search("north", filter={"a": 1, "b": 2})] == ["south"]


@fault("filter {}: ValueError", ValueError)
def test_an_empty_filter_filters_nothing(make):
    store = make()
    store.add_texts(["north"])
    assert len(store.similarity_search("north", filter={})) == 1
