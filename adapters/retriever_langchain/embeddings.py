"""Our embedding functions as LangChain's ``Embeddings``."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from retriever.embedding import EmbeddingFunction, EmbeddingInput, resolve_embedding
from retriever_langchain.executor import off_loop


class EmbeddingFunctionEmbeddings(Embeddings):
    """Any embedding function of this package, for whatever takes LangChain's ``Embeddings``.

    Documents and queries get the prompts that the model has for them. Two are equal where their settings are.

    :param embedding: an embedding function; ``hashed``, ``KIND:NAME``; or a sentence-transformers model by hub name or
        folder.
    :raises ConfigurationError: where it leads nowhere.
    """

    def __init__(self, embedding: EmbeddingInput) -> None:
        self._function = resolve_embedding(embedding)

    @property
    def function(self) -> EmbeddingFunction:
        """The embedding function below."""
        return self._function

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Vectors of documents.

        :param texts: any number.
        :raises InvalidInput: for a text that is no valid string.
        :raises EmbeddingError: where the embedding function fails.
        """
        given = texts if isinstance(texts, Sequence) else list(texts)
        vectors: list[list[float]] = self._function.embed_documents(given).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Vector of a query.

        :param text: the query.
        :raises InvalidInput: where it is no valid string.
        :raises EmbeddingError: where the embedding function fails.
        """
        vector: list[float] = self._function.embed_query(text).tolist()
        return vector

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As :meth:`embed_documents`, off the event loop.

        :param texts: any number.
        """
        return await off_loop(self.embed_documents, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """As :meth:`embed_query`, off the event loop.

        :param text: the query.
        """
        return await off_loop(self.embed_query, text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EmbeddingFunctionEmbeddings):
            return NotImplemented
        mine, theirs = self._function, other._function
        return (mine.kind, mine.config) == (theirs.kind, theirs.config)

    def __hash__(self) -> int:
        return hash((type(self), self._function.kind, self._function.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._function.name!r})"
