"""A retriever as a tool of an agent: what the model reads cites where it is from, the documents come along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field, create_model

from retriever import InvalidInput
from retriever_langchain.documents import RETRIEVAL

QUERY = "query"
"""The argument that every such tool has; others are settings of the search."""

NAME = "search_documents"
DESCRIPTION = (
    "Searches the documents by meaning and by keywords. Returns the passages that fit best, each after a line with its "
    "id in brackets, the document it is from and the characters it covers there."
)
_ASK = "What to look for: a question, words or an identifier."


def retrieval_tool(retriever: BaseRetriever, arguments: type[BaseModel], name: str, description: str) -> StructuredTool:
    """A tool that searches.

    :param retriever: searches; further arguments of the tool go to its ``invoke``.
    :param arguments: with at least ``query``; None for one that the model has not chosen.
    :param name: of the tool.
    :param description: for the model.
    :raises InvalidInput: where there is no argument ``query``.
    """
    if QUERY not in arguments.model_fields:
        raise InvalidInput(f"the arguments of the tool {name!r} need a field {QUERY!r}, a string")

    # The tool's callbacks come through the context.
    def search(**given: Any) -> tuple[str, list[Document]]:
        found = retriever.invoke(given.pop(QUERY), **_chosen(given))
        return passages(found), found

    async def asearch(**given: Any) -> tuple[str, list[Document]]:
        found = await retriever.ainvoke(given.pop(QUERY), **_chosen(given))
        return passages(found), found

    return StructuredTool(
        name=name,
        description=description,
        args_schema=arguments,
        func=search,
        coroutine=asearch,
        response_format="content_and_artifact",
    )


def _chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """What a model left open is the retriever's own: None as the default of a filter must not take that one away."""
    return {name: value for name, value in given.items() if value is not None}


def arguments_of(types: Mapping[str, type]) -> type[BaseModel]:
    """The schema of a tool's arguments: a query, and what else is asked for.

    :param types: by name.
    """
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in types.items()}
    return create_model("Search", **{**fields, QUERY: (str, Field(description=_ASK))})


def passages(documents: list[Document]) -> str:
    """What the model reads.

    :param documents: of a :class:`~retriever_langchain.HybridRetriever`.
    """
    if not documents:
        return "Nothing was found."
    return "\n\n".join(f"{_heading(document)}\n{document.page_content}" for document in documents)


def _heading(document: Document) -> str:
    found = document.metadata[RETRIEVAL]
    return f"[{document.id}] {found['document_id']}, characters {found['start']}-{found['end']}"
