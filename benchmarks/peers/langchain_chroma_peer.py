"""langchain-chroma, LangChain's vector store on Chroma, on a folder.

Measured: ``add_documents``, in batches of 1,000 with an embedding object that looks the vectors up; then
``similarity_search_by_vector_with_relevance_scores``. Fair: cosine, the same vectors and k. It has no keyword search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.given import COSINE
from benchmarks.peers.langchain_documents import BATCH, PASSAGE, documents, given_embeddings
from retriever.batched import batched
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector


@register_system
class LangChainChroma(System):
    """``langchain_chroma.Chroma`` on a folder."""

    name = "langchain-chroma"
    legs = frozenset({"semantic"})
    needs: ClassVar[Mapping[str, str]] = {"langchain_chroma": "langchain-chroma"}

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self.embeddings = given_embeddings()
        self._client: Any = None
        self._store: Any = None

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Add documents."""
        if vectors is None:
            raise ValueError("langchain-chroma needs vectors")
        self.embeddings.know(passages, vectors)
        for batch in batched(passages, BATCH):
            self.vectorstore.add_documents(documents(batch), ids=[passage.id for passage in batch])

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002, ARG002 - the text is not searched for
        """By the vector."""
        if vector is None:
            raise ValueError("langchain-chroma searches by a vector")
        found = self.vectorstore.similarity_search_by_vector_with_relevance_scores(
            vector.tolist(), k=k, filter=dict(filter) if filter else None
        )
        return [(document.metadata[PASSAGE], 1 - distance) for document, distance in found]

    @property
    def vectorstore(self) -> Any:  # noqa: ANN401 - not imported before it is needed
        """The vector store, opened when it is first used."""
        if self._store is None:
            import chromadb
            from chromadb.config import Settings
            from langchain_chroma import Chroma

            self._client = chromadb.PersistentClient(self.folder / "chroma", Settings(anonymized_telemetry=False))
            self._store = Chroma(
                "bare",
                self.embeddings,
                client=self._client,
                collection_configuration=COSINE,  # type: ignore[arg-type]
            )
        return self._store

    def close(self) -> None:
        """Let go."""
        if self._client is not None:
            self._client.close()
        self._client = self._store = None
