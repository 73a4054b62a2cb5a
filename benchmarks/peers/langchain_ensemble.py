"""LangChain's EnsembleRetriever over its BM25Retriever and langchain-chroma: the hybrid search of its tutorials.

Measured: adding the documents to both (the keyword index is built whole, in memory); then ``invoke``, which asks both
for k documents and fuses them by reciprocal rank. Fair: as documented, with equal weights, c 60, BM25Retriever's own
defaults (words are what stands between spaces), and documents told apart by an id and not by their text; of up to 2k
documents the first k count. BM25Retriever knows no filter. Scores are not given back: here they are 1 / rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.langchain_chroma_peer import LangChainChroma
from benchmarks.peers.langchain_documents import PASSAGE, documents
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector


@register_system
class LangChainEnsemble(System):
    """``EnsembleRetriever`` of ``langchain-classic``."""

    name = "langchain-ensemble"
    legs = frozenset({"semantic", "keyword"})
    filters = False
    is_persistent = False
    needs: ClassVar[Mapping[str, str]] = {
        "langchain_classic": "langchain-classic",
        "langchain_community": "langchain-community",
        "rank_bm25": "rank-bm25",
        "langchain_chroma": "langchain-chroma",
    }

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._dense = LangChainChroma(folder)
        self._passages: list[Passage] = []
        self._keyword: Any = None
        self._both: dict[int, Any] = {}

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Add to the vector store, and build the keyword index of all passages so far."""
        with warnings.catch_warnings():  # the package announces its own end
            warnings.simplefilter("ignore", DeprecationWarning)
            from langchain_community.retrievers import BM25Retriever

        self._dense.ingest(passages, vectors)
        self._passages += passages
        self._keyword = BM25Retriever.from_documents(documents(self._passages))
        self._both = {}

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002
        """Both with both; else the one that can."""
        if filter:
            raise ValueError("BM25Retriever has no filters")
        if not text:
            return self._dense.search(text, vector, k)
        if vector is None:
            found = self._keyword.model_copy(update={"k": k}).invoke(text)
        else:
            self._dense.embeddings.know_query(text, vector)
            found = self._ensemble(k).invoke(text)
        return [(document.metadata[PASSAGE], 1 / rank) for rank, document in enumerate(found[:k], 1)]

    def _ensemble(self, k: int) -> Any:  # noqa: ANN401
        from langchain_classic.retrievers import EnsembleRetriever

        if k not in self._both:
            dense = self._dense.vectorstore.as_retriever(search_kwargs={"k": k})
            keyword = self._keyword.model_copy(update={"k": k})
            self._both[k] = EnsembleRetriever(retrievers=[keyword, dense], weights=[0.5, 0.5], id_key=PASSAGE)
        return self._both[k]

    def close(self) -> None:
        """Let go of the vector store."""
        self._dense.close()
