"""The retriever in chains, with callbacks, and as a tool of an agent."""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from langchain_samples import Watched, ids_of, ships, texts_of
from pydantic import BaseModel, Field, ValidationError

import retriever
from retriever import FilterError, InvalidInput, MemoryStore, Retriever
from retriever_langchain import RETRIEVAL, HybridRetriever, RetrieverVectorStore

TEXT = "\n\n".join(
    f"## Part {n}\n\nThis part is about the ship number {n}, which carries cakes. " + f"Word{n} and more words. " * 40
    for n in range(6)
)


@pytest.fixture
def index():
    with Retriever.open("memory:", embedding="hashed") as opened:
        opened.index(
            [retriever.Document("guide.md", TEXT, {"lang": "en"}), retriever.Document("b", "a cake", {"n": 1})]
        )
        yield opened


@pytest.fixture
def vectors():
    made = RetrieverVectorStore(MemoryStore(), Watched())
    made.add_documents(ships(6), ids=[f"d{n}" for n in range(6)])
    return made


class Told(BaseCallbackHandler):
    """Notes what it is told."""

    def __init__(self):
        self.events = []

    def on_retriever_start(self, serialized, query, *, run_id, parent_run_id=None, tags=None, metadata=None, **kwargs):
        self.events.append(("start", query, kwargs.get("name"), set(tags or ()), metadata))

    def on_retriever_end(self, documents, **kwargs):
        self.events.append(("end", documents))

    def on_retriever_error(self, error, **kwargs):
        self.events.append(("error", error))


class TestFound:
    def test_says_why_and_where(self, index):
        query = "the ship number 3 with Word3"
        found = HybridRetriever(index=index, k=5).invoke(query)
        hits = index.search(query, 5)
        assert ids_of(found) == [hit.chunk.id for hit in hits]
        for document, hit in zip(found, hits, strict=True):
            assert document.metadata[RETRIEVAL] == {
                "score": hit.score,
                "legs": {name: {"rank": leg.rank, "score": leg.score} for name, leg in hit.legs.items()},
                "matched_terms": list(hit.matched_terms),
                "document_id": hit.chunk.document_id,
                "source": "",
                "start": hit.chunk.start,
                "end": hit.chunk.end,
            }
            assert {k: v for k, v in document.metadata.items() if k != RETRIEVAL} == dict(hit.chunk.metadata)

    def test_spans_lead_to_the_text(self, index):
        texts = {"guide.md": TEXT, "b": "a cake"}
        found = HybridRetriever(index=index, k=20).invoke("ship number cake")
        assert len(found) > 6
        for document in found:
            where = document.metadata[RETRIEVAL]
            assert texts[where["document_id"]][where["start"] : where["end"]] == document.page_content

    def test_is_plain_on_every_store(self, store):
        vectors = RetrieverVectorStore(store, Watched())
        vectors.add_documents(ships(3, tags=["a", "b"], x=0.5))
        for mode in ("hybrid", "semantic", "keyword"):
            for document in HybridRetriever(index=vectors, mode=mode).invoke("ships"):
                assert json.loads(json.dumps(document.metadata)) == document.metadata
                assert Document.model_validate_json(document.model_dump_json()) == document
                assert set(document.metadata[RETRIEVAL]["legs"]) >= (
                    {mode} if mode != "hybrid" else {"semantic", "keyword"}
                )

    def test_may_be_written_back(self, vectors):
        found = HybridRetriever(index=vectors, k=6).invoke("ships")
        assert vectors.add_documents(found) == ids_of(found)
        assert RETRIEVAL in found[0].metadata
        again = vectors.get_by_ids([f"d{n}" for n in range(6)])
        assert [d.metadata for d in again] == [d.metadata for d in ships(6)]
        assert not any(vectors.similarity_search("ships", filter={RETRIEVAL: {"$exists": True}}))

    def test_a_value_of_the_users_own_under_that_key_is_kept(self, vectors):
        vectors.add_texts(["mine"], [{RETRIEVAL: "hand-made"}], ids=["x"])
        assert vectors.get_by_ids(["x"])[0].metadata == {RETRIEVAL: "hand-made"}


class TestSettings:
    def test_of_the_retriever_and_of_a_call(self, vectors):
        asked = HybridRetriever(index=vectors, k=2, filter={"odd": True})
        assert [d.metadata["odd"] for d in asked.invoke("ships")] == [True, True]
        assert len(asked.invoke("ships", k=3)) == 3
        assert {d.metadata["n"] for d in asked.invoke("ships", filter={"n": {"$lt": 2}})} == {0, 1}
        assert asked.invoke("zebra", mode="keyword") == []
        assert len(asked.invoke("ships", min_cosine=0.999)) == 0
        assert len(asked.invoke("ships", k=300)) == 3
        strict = HybridRetriever(index=vectors, settings={"min_cosine": 0.999})
        assert strict.invoke("ships") == []
        assert strict.invoke(ships(1)[0].page_content)
        assert len(strict.invoke("ships", min_cosine=None)) == 4

    def test_over_a_retriever_or_a_vector_store(self, vectors):
        over = HybridRetriever(index=vectors.retriever)
        assert over.invoke("ships") == HybridRetriever(index=vectors).invoke("ships")

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"settings": {"foo": 1}}, "takes no foo"),
            ({"settings": {"mode": "keyword"}}, "takes no mode"),
            ({"settings": {"filter": {}}}, "takes no filter"),
            ({"mode": "hybird"}, "hybrid"),
            ({"search_kwargs": {}}, "search_kwargs"),
        ],
    )
    def test_unknown_ones_are_refused_at_once(self, vectors, fields, message):
        with pytest.raises(ValidationError, match=message):
            HybridRetriever(index=vectors, **fields)

    async def test_unknown_ones_of_a_call(self, vectors):
        asked = HybridRetriever(index=vectors)
        with pytest.raises(InvalidInput, match="takes no foo"):
            asked.invoke("ships", foo=1)
        with pytest.raises(InvalidInput, match="takes no foo"):
            await asked.ainvoke("ships", foo=1)
        with pytest.raises(InvalidInput, match="k is 0"):
            asked.invoke("ships", k=0)
        with pytest.raises(FilterError, match=r"\$nope"):
            asked.invoke("ships", filter={"n": {"$nope": 1}})

    def test_configurable(self, vectors):
        asked = HybridRetriever(index=vectors).configurable_fields(k=ConfigurableField(id="k"))
        assert len(asked.invoke("ships", {"configurable": {"k": 2}})) == 2
        assert len(asked.with_config(configurable={"k": 1}).invoke("ships")) == 1
        assert len(HybridRetriever(index=vectors).bind(k=3).invoke("ships")) == 3
        assert len(HybridRetriever(index=vectors).model_copy(update={"k": 5}).invoke("ships")) == 5


class TestChains:
    def chain(self, asked, answers):
        prompt = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
        model = GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]))
        context = asked | RunnableLambda(lambda documents: "\n".join(texts_of(documents)))
        return {"context": context, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

    async def test_in_lcel(self, vectors):
        asked = HybridRetriever(index=vectors, k=1)
        told = Told()
        chain = self.chain(asked, ["one", "two", "three words here", "four"])
        assert chain.invoke("document 3", {"callbacks": [told]}) == "one"
        assert texts_of(told.events[1][1]) == ["document 3 about ships and cakes"]
        assert await chain.ainvoke("document 3") == "two"
        assert "".join(chain.stream("document 3")) == "three words here"
        assert "".join([part async for part in chain.astream("document 3")]) == "four"

    async def test_batches(self, vectors):
        asked = HybridRetriever(index=vectors, k=2)
        queries = [f"document {n}" for n in range(6)]
        one_by_one = [asked.invoke(query) for query in queries]
        assert asked.batch(queries) == one_by_one
        assert await asked.abatch(queries, {"max_concurrency": 3}) == one_by_one
        assert list(asked.stream("document 2")) == [one_by_one[2]]
        mixed = asked.batch(["document 1", ""], return_exceptions=True)
        assert mixed[0] == one_by_one[1]
        assert isinstance(mixed[1], InvalidInput)
        assert sorted(n for n, _ in asked.batch_as_completed(queries)) == list(range(6))

    async def test_callbacks(self, vectors):
        asked = HybridRetriever(index=vectors, k=1, tags=["own"], metadata={"who": "us"}, name="library")
        config = {"run_name": "lookup", "tags": ["given"], "metadata": {"request": 7}}
        for invoke in (asked.invoke, asked.ainvoke):
            told = Told()
            found = invoke("ships", {**config, "callbacks": [told]})
            found = found if isinstance(found, list) else await found
            (_, query, name, tags, metadata), end = told.events
            assert (query, name, tags) == ("ships", "lookup", {"own", "given"})
            assert metadata["who"] == "us"
            assert metadata["request"] == 7
            assert end == ("end", found)
        told = Told()
        asked.invoke("ships", {"callbacks": [told]})
        assert told.events[0][2] == "library"

    async def test_errors_pass_through_callbacks(self, vectors):
        asked = HybridRetriever(index=vectors)
        for invoke in (asked.invoke, asked.ainvoke):
            told = Told()
            with pytest.raises(InvalidInput, match="empty") as caught:  # noqa: PT012 - one of them is awaited
                result = invoke(" ", {"callbacks": [told]})
                await result
            assert [event[0] for event in told.events] == ["start", "error"]
            assert told.events[1][1] is caught.value

    async def test_events(self, vectors):
        chain = self.chain(HybridRetriever(index=vectors, k=1), ["yes"])
        events = [event async for event in chain.astream_events("document 3")]
        found = [(e["event"], e["name"]) for e in events if "retriever" in e["event"]]
        assert found == [("on_retriever_start", "HybridRetriever"), ("on_retriever_end", "HybridRetriever")]
        (end,) = [e for e in events if e["event"] == "on_retriever_end"]
        assert texts_of(end["data"]["output"]) == ["document 3 about ships and cakes"]


class Ask(BaseModel):
    """Look it up."""

    query: str
    k: int = Field(default=4, description="how many")
    mode: str = "hybrid"


class TestTool:
    def test_is_one_for_an_agent(self, vectors):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tool = HybridRetriever(index=vectors, k=2).as_tool()
        assert re.fullmatch("[a-zA-Z0-9_-]+", tool.name)
        assert "passages" in tool.description
        schema = tool.tool_call_schema.model_json_schema()
        assert schema["properties"]["query"]["type"] == "string"
        assert schema["required"] == ["query"]
        assert schema["properties"].keys() == {"query"}

    async def test_gives_text_with_ids_and_spans_and_the_documents(self, index):
        asked = HybridRetriever(index=index, k=2)
        tool = asked.as_tool(name="guide", description="The ship's guide.")
        call = {"type": "tool_call", "id": "1", "name": "guide", "args": {"query": "ship number 3"}}
        for message in (tool.invoke(call), await tool.ainvoke(call)):
            assert isinstance(message, ToolMessage)
            assert (message.name, message.tool_call_id) == ("guide", "1")
            assert message.artifact == asked.invoke("ship number 3")
            for document in message.artifact:
                where = document.metadata[RETRIEVAL]
                line = f"[{document.id}] {where['document_id']}, characters {where['start']}-{where['end']}\n"
                assert line + document.page_content in message.content
        assert tool.invoke({"query": "ship number 3"}) == message.content
        assert tool.description == "The ship's guide."

    def test_nothing_found(self, vectors):
        tool = HybridRetriever(index=vectors, mode="keyword").as_tool()
        assert tool.invoke({"query": "zebra"}) == "Nothing was found."

    async def test_tells_its_callbacks(self, vectors):
        told = Told()
        tool = HybridRetriever(index=vectors, name="library").as_tool()
        tool.invoke({"query": "ships"}, {"callbacks": [told]})
        await tool.ainvoke({"query": "ships"}, {"callbacks": [told]})
        assert [event[0] for event in told.events] == ["start", "end"] * 2
        assert HybridRetriever(index=vectors, name="library").as_tool().name == "library"

    def test_arguments_of_its_own(self, vectors):
        asked = HybridRetriever(index=vectors)
        tool = asked.as_tool(Ask)
        call = {
            "type": "tool_call",
            "id": "1",
            "name": tool.name,
            "args": {"query": "ships", "k": 3, "mode": "keyword"},
        }
        assert tool.invoke(call).artifact == asked.invoke("ships", k=3, mode="keyword")
        typed = asked.as_tool(arg_types={"k": int})
        assert typed.tool_call_schema.model_json_schema()["required"] == ["k", "query"]
        assert len(typed.invoke({**call, "args": {"query": "ships", "k": 1}}).artifact) == 1
        with pytest.raises(InvalidInput, match="need a field 'query'"):
            asked.as_tool(_Without)

    async def test_what_a_model_leaves_open_is_the_retrievers_own(self, vectors):
        """A filter may say what this user is allowed to see."""
        asked = HybridRetriever(index=vectors, k=2, mode="semantic", filter={"odd": True})
        tool = asked.as_tool(_Open)
        for arguments in ({"query": "ships"}, {"query": "ships", "k": None, "mode": None, "filter": None}):
            call = {"type": "tool_call", "id": "1", "name": tool.name, "args": arguments}
            for message in (tool.invoke(call), await tool.ainvoke(call)):
                assert message.artifact == asked.invoke("ships")
                assert [d.metadata["odd"] for d in message.artifact] == [True, True]

    def test_a_model_calls_it(self, vectors):
        """As an agent does: the model's calls are run, and their messages go back."""
        tool = HybridRetriever(index=vectors, k=1).as_tool()
        call = {"name": tool.name, "args": {"query": "document 5"}, "id": "c1", "type": "tool_call"}
        model = GenericFakeChatModel(messages=iter([AIMessage("", tool_calls=[call])]))
        (wanted,) = model.invoke("what is in document 5?").tool_calls
        message = tool.invoke(wanted)
        assert message.content.startswith("[d5] d5, characters 0-32\ndocument 5")


class _Open(BaseModel):
    query: str
    k: int | None = None
    mode: str | None = None
    filter: dict[str, Any] | None = None


class _Without(BaseModel):
    question: str


def test_the_mode_is_the_vector_stores_own_unless_one_is_given():
    with RetrieverVectorStore("memory:", "hashed", mode="keyword") as store:
        store.add_texts(["ships and cakes", "dogs"])
        (found,) = HybridRetriever(index=store).invoke("cakes")
        assert set(found.metadata["retrieval"]["legs"]) == {"keyword"}
        assert len(HybridRetriever(index=store, mode="semantic").invoke("cakes")) == 2
        assert len(HybridRetriever(index=store).invoke("cakes", mode="semantic")) == 2
        both = HybridRetriever(index=store.retriever).invoke("cakes")
        assert set(both[0].metadata["retrieval"]["legs"]) == {"semantic", "keyword"}
