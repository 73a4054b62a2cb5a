"""A LangChain retriever that says why each document was found."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, Field, field_validator

from retriever import Retriever
from retriever.search_options import SearchSettings
from retriever.types import Mode
from retriever_langchain.documents import explained
from retriever_langchain.executor import off_loop
from retriever_langchain.searching import search
from retriever_langchain.tool import DESCRIPTION, NAME, arguments_of, retrieval_tool
from retriever_langchain.vectorstore import RetrieverVectorStore


class HybridRetriever(BaseRetriever):
    """Hybrid search as a step of a chain.

    Each document carries its stored metadata and, under :data:`~retriever_langchain.RETRIEVAL`, a dictionary with
    ``score``, ``legs`` (rank and raw score in the semantic and the keyword leg), ``matched_terms``, ``document_id``,
    ``source`` and the span ``start`` to ``end`` in its document. All of these are plain values.

    ``k``, ``mode``, ``filter`` and what ``settings`` may hold can be given to a single call as well, in place of the
    retriever's own: ``retriever.invoke(question, k=3)``.

    :param index: an open :class:`retriever.Retriever`, or a :class:`~retriever_langchain.RetrieverVectorStore`.
    :param k: how many documents at most.
    :param mode: ``hybrid``, ``semantic``, ``keyword`` or ``sparse``; by default the vector store's own,
        ``hybrid`` of an index.
    :param filter: in our filter language, or a filter of qdrant-client.
    :param settings: others of :meth:`retriever.Retriever.search`, such as ``min_cosine`` and ``mmr``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: Retriever | RetrieverVectorStore
    k: int = 4
    mode: Mode | None = None
    filter: Any = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def _known(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if unknown := settings.keys() - SearchSettings.__annotations__.keys() | settings.keys() & {"mode", "filter"}:
            raise ValueError(f"search takes no {', '.join(sorted(unknown))} among its settings")
        return settings

    def as_tool(
        self,
        args_schema: type[BaseModel] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        arg_types: dict[str, type] | None = None,
    ) -> BaseTool:
        """A tool for agents.

        The model reads each passage after its id, document and span; the documents themselves are the artifact of the
        tool's message.

        :param args_schema: with a field ``query``; others are what a call takes, for a model that is to choose ``k`` or
            ``filter``: what it gives replaces the retriever's own, None leaves that. So leave ``filter`` out where the
            retriever's own says what may be seen. By default ``query`` alone.
        :param name: that the model calls; ``search_documents`` where the retriever has no name of its own.
        :param description: for the model; say what the documents are about.
        :param arg_types: instead of a schema, arguments beside ``query``.
        :raises InvalidInput: where the schema has no ``query``.
        """
        arguments = args_schema if args_schema is not None else arguments_of(arg_types or {})
        return retrieval_tool(self, arguments, name or self.name or NAME, description or DESCRIPTION)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        del run_manager  # the base class tells it of results and errors
        return self._search(query, **given)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **given: Any
    ) -> list[Document]:
        del run_manager
        return await off_loop(self._search, query, **given)

    def _search(self, query: str, **given: Any) -> list[Document]:
        store = self.index if isinstance(self.index, RetrieverVectorStore) else None
        index = self.index if isinstance(self.index, Retriever) else self.index.retriever
        own = {"k": self.k, "mode": self.mode or (store.mode if store else "hybrid"), "filter": self.filter}
        settings: dict[str, Any] = {**own, **self.settings, **given}
        return [explained(hit) for hit in search(index, query, settings.pop("k"), settings.pop("filter"), settings)]
