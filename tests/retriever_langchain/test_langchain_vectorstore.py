"""What the vector store writes, gets, deletes and refuses."""

from __future__ import annotations

import copy
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_samples import HASHED, Watched, contents, ids_of, ships, texts_of
from qdrant_client import models

import retriever
from retriever import (
    FilterError,
    InvalidInput,
    MemoryStore,
    RecordsRefused,
    Retriever,
    TruncationWarning,
)
from retriever.embedding import EmbeddingFunction
from retriever_langchain import EmbeddingFunctionEmbeddings, RetrieverVectorStore

ODD = [
    "1",
    "d/1",
    "source::d",
    "d#2",
    "née 名前 🙂",
    "a b\n",
    "0" * 10_000,
    "'\"\\",
    "$in",
    "018f6e1c-0000-7000-8000-00000000",
]


class TestAdding:
    def test_texts_from_a_list(self, everywhere):
        assert everywhere.add_texts(["a ship", "a cake"], [{"n": 1}, {"n": 2}], ids=["s", "c"]) == ["s", "c"]
        assert contents(everywhere) == {"s": ("a ship", {"n": 1}), "c": ("a cake", {"n": 2})}

    def test_everything_from_generators(self, vectors):
        names = vectors.add_texts(
            (text for text in ("a ship", "a cake")), ({"n": n} for n in range(2)), ids=(name for name in ("s", "c"))
        )
        assert names == ["s", "c"]
        assert contents(vectors) == {"s": ("a ship", {"n": 0}), "c": ("a cake", {"n": 1})}

    def test_documents_from_a_generator(self, vectors):
        names = vectors.add_documents(document for document in ships(3))
        assert texts_of(vectors.get_by_ids(names)) == texts_of(ships(3))

    def test_nothing(self, everywhere):
        assert everywhere.add_texts([]) == everywhere.add_documents([]) == everywhere.add_texts(iter(())) == []

    def test_metadata_may_be_missing(self, vectors):
        vectors.add_texts(["a", "b"], [None, {"n": 1}], ids=["a", "b"])
        assert contents(vectors) == {"a": ("a", {}), "b": ("b", {"n": 1})}

    def test_any_string_is_an_id(self, everywhere):
        assert everywhere.add_texts(["a ship"] * len(ODD), ids=iter(ODD)) == ODD
        assert ids_of(everywhere.get_by_ids(ODD)) == ODD
        assert {*ids_of(everywhere.similarity_search("ship", k=20))} == {*ODD}
        assert everywhere.delete(ODD[1:])
        assert ids_of(everywhere.get_by_ids(ODD)) == ODD[:1]

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["a", ""], "non-empty string, not ''"),
            (["a", 5], "not 5"),
            (["a", b"b"], "not b'b'"),
            (["a", "\ud800"], "lone surrogate"),
            (["a", "a"], "'a' is there twice"),
            (["a"], "1 ids for 2"),
            (["a", "b", "c"], "3 ids for 2"),
            ("ab", "not one string"),
        ],
    )
    def test_what_cannot_be_an_id_is_refused_before_anything_is_written(self, vectors, embeddings, names, message):
        with pytest.raises(InvalidInput, match=message):
            vectors.add_texts(["a ship", "a cake"], ids=names)
        assert embeddings.documents == []
        vectors.add_texts(["x"], ids=["x"])
        assert contents(vectors).keys() == {"x"}

    @pytest.mark.parametrize(
        ("metadata", "message"),
        [
            ({"when": object()}, "document 'bad': metadata 'when' is a object"),
            ({"deep": {"a": 1}}, "document 'bad': metadata 'deep' is a dict"),
            ({"score": float("nan")}, "document 'bad': metadata 'score' is nan"),
            ({"mixed": [1, "a"]}, "document 'bad': metadata 'mixed' mixes"),
            ({"big": 2**60}, "document 'bad': metadata 'big'"),
            ({1: "a"}, "document 'bad': metadata key 1"),
            ({"": "a"}, "document 'bad': metadata key ''"),
        ],
    )
    def test_metadata_that_cannot_be_stored_is_named(self, vectors, embeddings, metadata, message):
        documents = [Document(id="good", page_content="fine"), Document(id="bad", page_content="b", metadata=metadata)]
        with pytest.raises(InvalidInput, match=message):
            vectors.add_documents(documents)
        assert embeddings.documents == []

    def test_a_document_without_an_id_is_named_by_its_number(self, vectors):
        with pytest.raises(InvalidInput, match="document 'number 1': metadata 'x'"):
            vectors.add_texts(["a", "b"], [{}, {"x": {}}])

    def test_what_is_no_text_is_named(self, vectors):
        with pytest.raises(InvalidInput, match="text 1 is a NoneType"):
            vectors.add_texts(["a", None])
        with pytest.raises(InvalidInput, match="text 1 holds a lone surrogate"):
            vectors.add_texts(["a", "\ud800"])
        with pytest.raises(InvalidInput, match="not one string"):
            vectors.add_texts("abc")
        with pytest.raises(InvalidInput, match="metadata 0 is a list"):
            vectors.add_texts(["a"], [[]])
        with pytest.raises(InvalidInput, match="2 metadatas for 1 texts"):
            vectors.add_texts(["a"], [{}, {}])
        with pytest.raises(InvalidInput, match="document number 1 is a Document, not a Document of LangChain"):
            vectors.add_documents([*ships(1), retriever.Document("a", "a")])
        with pytest.raises(InvalidInput, match="document number 0 is a str"):
            vectors.add_documents("abc")

    def test_unknown_arguments_are_named(self, vectors):
        for call in (vectors.add_texts, vectors.add_documents, vectors.delete):
            with pytest.raises(TypeError, match="upsert"):
                call([], upsert=True)

    def test_ids_are_taken_before_the_documents_own(self, vectors):
        documents = [Document(id="mine", page_content="a"), Document(id="mine too", page_content="b")]
        names = vectors.add_documents(documents, ids=["given", None])
        assert names[0] == "given"
        assert names[1] not in ("mine", "mine too")
        assert vectors.add_documents(documents) == ["mine", "mine too"]

    def test_without_ids_the_same_call_again_changes_nothing(self, everywhere, embeddings):
        documents = [*ships(3), *ships(1)]
        names = everywhere.add_documents(documents)
        assert len(set(names)) == 4  # equal documents stay apart
        embeddings.forget()
        assert everywhere.add_documents(iter(documents)) == names
        assert everywhere.add_texts(texts_of(documents), [d.metadata for d in documents]) == names
        assert embeddings.documents == []
        assert len(contents(everywhere)) == 4

    def test_an_id_from_content_depends_on_metadata(self, vectors):
        first, second = vectors.add_texts(["a", "a"], [{"n": 1}, {"n": 2}])
        assert vectors.add_texts(["a"], [{"n": 2}]) == [second] != [first]

    def test_nothing_of_the_callers_is_changed(self, everywhere):
        metadata = {"tags": ["a", "b"], "none": None, "empty": [], "pair": (1, 2)}
        documents = [Document(page_content="a ship", metadata=metadata), Document(id="x", page_content="b")]
        metadatas, texts, ids = [{"n": 1}], ["c"], ["c"]
        before = copy.deepcopy((documents, metadatas, texts, ids))
        everywhere.add_documents(documents)
        everywhere.add_texts(texts, metadatas, ids=ids)
        found = everywhere.similarity_search("a ship", k=1)[0]
        found.metadata["tags"].append("c")
        assert (documents, metadatas, texts, ids) == before
        assert everywhere.similarity_search("a ship", k=1)[0].metadata["tags"] == ["a", "b"]

    def test_blank_documents_are_kept(self, everywhere):
        everywhere.add_texts(["", " \n", "a ship"], ids=["empty", "blank", "ship"])
        assert texts_of(everywhere.get_by_ids(["blank", "empty"])) == [" \n", ""]
        assert "ship" in ids_of(everywhere.similarity_search("ship"))

    def test_writing_an_id_again_replaces_the_whole_document(self, everywhere):
        everywhere.add_texts(["a ship", "other"], [{"a": 1, "b": 2}, {}], ids=["x", "y"])
        everywhere.add_texts(["a cake"], [{"b": 3}], ids=["x"])
        assert contents(everywhere) == {"x": ("a cake", {"b": 3}), "y": ("other", {})}
        assert everywhere.similarity_search("ship", mode="keyword") == []
        assert ids_of(everywhere.similarity_search("cake", mode="keyword")) == ["x"]

    def test_other_metadata_alone_is_not_embedded(self, everywhere, embeddings):
        everywhere.add_texts(["a ship"], [{"a": 1}], ids=["x"])
        embeddings.forget()
        everywhere.add_texts(["a ship"], [{"b": 2}], ids=["x"])
        assert embeddings.documents == []
        assert contents(everywhere) == {"x": ("a ship", {"b": 2})}
        assert everywhere.similarity_search("ship", filter={"a": 1}) == []
        assert ids_of(everywhere.similarity_search("ship", filter={"b": 2})) == ["x"]

    def test_long_documents_are_warned_of_once(self):
        vectors = RetrieverVectorStore(MemoryStore(), Short())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            vectors.add_texts(["short", *(f"{n} {'long ' * 50}" for n in range(3))])
        assert [(w.category, str(w.message)[:8]) for w in caught] == [(TruncationWarning, "3 of 4 d")]

    def test_what_the_store_refuses_is_named_and_the_rest_written(self):
        vectors = RetrieverVectorStore(Picky(), Watched())
        with pytest.raises(RecordsRefused, match="too big") as caught:
            vectors.add_texts(["fine", "REFUSE me", "fine too", "REFUSE"], ids=["a", "b", "c", "d"])
        assert sorted(caught.value.chunk_ids) == ["b", "d"]
        assert str(caught.value).count("too big") == 1
        assert contents(vectors).keys() == {"a", "c"}

    def test_chunks_of_a_document_are_not_torn_out_of_it(self, store):
        """What a search found may be written back; not what Retriever.index keeps in step itself."""
        with Retriever.open(store, embedding="hashed") as opened:
            opened.index([retriever.Document("d", "A ship at sea. " * 500)])
            vectors = RetrieverVectorStore(opened)
            found = vectors.similarity_search("ship", k=2)
            before = list(opened.store.entries())
            with pytest.raises(InvalidInput, match=f"'{found[0].id}' is that of a chunk of 'd'"):
                vectors.add_documents([Document(page_content="new"), *found])
            assert sorted(opened.store.entries()) == sorted(before)
            elsewhere = RetrieverVectorStore.from_documents(found, "hashed")
            assert elsewhere.get_by_ids(ids_of(found)) == found


class Short(EmbeddingFunction):
    """Reads 16 tokens."""

    kind = "short"
    dimension = HASHED.dimension
    max_tokens = 16
    tokeniser = HASHED.tokeniser

    def _embed(self, texts, role):
        return HASHED.embed_documents(texts)


class Picky(MemoryStore):
    """Does not take everything."""

    def upsert(self, records):
        refused = [record.chunk.id for record in records if "REFUSE" in record.chunk.text]
        super().upsert([record for record in records if record.chunk.id not in refused])
        if refused:
            raise RecordsRefused("some are too big", refused)


class TestGettingAndDeleting:
    @pytest.fixture
    def filled(self, everywhere):
        everywhere.add_documents(ships(6), ids=[f"d{n}" for n in range(6)])
        return everywhere

    def test_getting_is_in_order_and_leaves_out_what_is_missing(self, filled):
        assert ids_of(filled.get_by_ids(["d3", "none", "d1", "d3"])) == ["d3", "d1", "d3"]
        assert filled.get_by_ids([]) == []
        with pytest.raises(InvalidInput, match="not one string"):
            filled.get_by_ids("d1")

    def test_deleting(self, filled):
        assert filled.delete(["d1", "none", "d1"]) is True
        assert filled.delete([]) is True
        assert contents(filled).keys() == {"d0", "d2", "d3", "d4", "d5"}
        assert filled.delete(filter={"n": {"$gte": 4}}) is True
        assert contents(filled).keys() == {"d0", "d2", "d3"}
        assert filled.delete(["d0", "d3"], filter={"odd": True}) is True
        assert contents(filled).keys() == {"d0", "d2"}
        assert filled.delete() is True
        assert contents(filled) == {}
        filled.add_texts(["again"], ids=["again"])
        assert ids_of(filled.similarity_search("again")) == ["again"]

    def test_a_filter_that_does_not_parse_deletes_nothing(self, filled):
        for empty in ({}, models.Filter(), models.Filter(must=[])):
            with pytest.raises(InvalidInput, match="empty filter would delete everything"):
                filled.delete(filter=empty)
        with pytest.raises(FilterError, match=r"\$nope"):
            filled.delete(filter={"n": {"$nope": 1}})
        assert len(contents(filled)) == 6


NAMES = st.sampled_from(["a", "b", "c/1", "d::x", "é", "0"])
STEP = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(NAMES, st.text("ab \n", max_size=6), st.integers(0, 2)), max_size=4)),
    st.tuples(st.just("delete"), st.none() | st.lists(NAMES, max_size=3)),
    st.tuples(st.just("get"), st.lists(NAMES, max_size=4)),
    st.tuples(st.just("again"), st.just([])),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEP, max_size=12))
def test_any_sequence_does_what_it_does_in_langchains_own(steps):
    ours = RetrieverVectorStore(MemoryStore(), "hashed")
    theirs = InMemoryVectorStore(EmbeddingFunctionEmbeddings("hashed"))
    ours.add_texts([])
    last: list[Document] = []
    for verb, what in steps:
        if verb == "add":
            unique = {name: (text, n) for name, text, n in what}
            last = [Document(id=i, page_content=t, metadata={"n": n} if n else {}) for i, (t, n) in unique.items()]
        if verb in ("add", "again"):
            assert ours.add_documents(last) == theirs.add_documents(last)
        elif verb == "get":
            assert ours.get_by_ids(what) == theirs.get_by_ids(what)
        elif what is None:
            ours.delete()
            theirs.delete(list(theirs.store))
        else:
            ours.delete(what)
            theirs.delete(what)
        expected = {key: (value["text"], value["metadata"]) for key, value in theirs.store.items()}
        assert contents(ours) == expected
        assert set(ids_of(ours.similarity_search("ab", k=20, mode="semantic"))) == expected.keys()
