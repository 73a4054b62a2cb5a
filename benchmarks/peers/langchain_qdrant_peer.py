"""langchain-qdrant in hybrid mode: LangChain's vector store on Qdrant, dense and sparse, fused by reciprocal rank.

Measured: ``add_documents`` with an embedding object that looks the vectors up and a sparse one that counts words; then
``similarity_search_with_score``, whose fusion and depth (k a leg) are its own. Fair: cosine, the same vectors and k,
the IDF modifier, a payload index on the keys that filters use where there is a server. With an address it is a server;
else qdrant-client's local mode in a folder, brute force in Python, as the vector store has nothing else embedded.

The sparse vectors that its documentation shows, FastEmbed's ``Qdrant/bm25``, need files from the network. Here they are
made by the same formula: English stop words and Snowball stems (from bm25s and PyStemmer), tf with k 1.2, b 0.75 and an
average length that is fixed at 256.
"""

from __future__ import annotations

import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.peers.given import point_id
from benchmarks.peers.langchain_documents import BATCH, PASSAGE, documents, given_embeddings
from retriever.batched import batched
from retriever.evaluation.runs import Scored
from retriever.evaluation.systems import Passage, System, Where, register_system
from retriever.types import FloatMatrix, FloatVector

_K, _B, _AVERAGE = 1.2, 0.75, 256


@register_system
class LangChainQdrant(System):
    """``langchain_qdrant.QdrantVectorStore`` with ``RetrievalMode.HYBRID``."""

    name = "langchain-qdrant"
    legs = frozenset({"semantic", "keyword"})
    takes = frozenset({"filter_fields"})
    needs: ClassVar[Mapping[str, str]] = {
        "langchain_qdrant": "langchain-qdrant",
        "bm25s": "bm25s",
        "Stemmer": "PyStemmer",
    }

    def __init__(self, folder: Path, address: str | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, address, settings)
        self._name = f"langchain-{uuid.uuid4().hex[:8]}" if address else "langchain"
        self._embeddings = given_embeddings()
        self._client: Any = None
        self._stores: dict[str, Any] = {}

    def ingest(self, passages: Sequence[Passage], vectors: FloatMatrix | None) -> None:
        """Make the collection where it is not there, and add documents."""
        if vectors is None:
            raise ValueError("langchain-qdrant in hybrid mode needs vectors")
        self._create(int(vectors.shape[1]))
        self._embeddings.know(passages, vectors)
        for batch in batched(passages, BATCH):
            self._as("HYBRID").add_documents(documents(batch), ids=[point_id(passage.id) for passage in batch])

    def search(self, text: str, vector: FloatVector | None, k: int, filter: Where | None = None) -> list[Scored]:  # noqa: A002
        """Hybrid with both; else its sparse mode, or its search by a vector."""
        condition = _condition(filter)
        if vector is None:
            found = self._as("SPARSE").similarity_search_with_score(text, k, condition)
        elif not text:
            found = self._as("DENSE").similarity_search_with_score_by_vector(vector.tolist(), k, condition)
        else:
            self._embeddings.know_query(text, vector)
            found = self._as("HYBRID").similarity_search_with_score(text, k, condition)
        return [(document.metadata[PASSAGE], score) for document, score in found]

    def close(self) -> None:
        """Let go; the collection goes as well where it is on a server."""
        if self._client is not None:
            if self.address is not None:
                self._client.delete_collection(self._name)
            self._client.close()
        self._client, self._stores = None, {}

    def _connected(self) -> Any:  # noqa: ANN401 - qdrant_client is not imported before it is needed
        import os

        from qdrant_client import QdrantClient

        if self._client is None and self.address is None:
            self._client = QdrantClient(path=str(self.folder / "qdrant"), force_disable_check_same_thread=True)
        elif self._client is None:
            host, _, port = str(self.address).rpartition(":")
            key = os.environ.get("QDRANT_API_KEY")
            self._client = QdrantClient(
                host=host,
                grpc_port=int(port),
                prefer_grpc=True,
                api_key=key,
                https=False,
                timeout=60,
                check_compatibility=False,  # it would ask by HTTP
            )
        return self._client

    def _create(self, dimension: int) -> None:
        from qdrant_client import models

        client = self._connected()
        if client.collection_exists(self._name):
            return
        client.create_collection(
            self._name,
            vectors_config=models.VectorParams(size=dimension, distance=models.Distance.COSINE),
            sparse_vectors_config={"langchain-sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        for key in self.settings.get("filter_fields", {}) if self.address else ():
            client.create_payload_index(self._name, f"metadata.{key}", models.PayloadSchemaType.KEYWORD)

    def _as(self, mode: str) -> Any:  # noqa: ANN401
        """The vector store in one of its modes, over the one collection."""
        from langchain_qdrant import QdrantVectorStore, RetrievalMode

        if mode not in self._stores:
            self._stores[mode] = QdrantVectorStore(
                self._connected(),
                self._name,
                self._embeddings,
                RetrievalMode[mode],
                sparse_embedding=sparse_embeddings(),
                validate_embeddings=False,
                validate_collection_config=False,  # it would embed a text that nobody gave a vector for
            )
        return self._stores[mode]


def _condition(where: Where | None) -> Any:  # noqa: ANN401
    from qdrant_client import models

    conditions: list[Any] = [
        models.FieldCondition(key=f"metadata.{key}", match=models.MatchValue(value=value))
        for key, value in (where or {}).items()
    ]
    return models.Filter(must=conditions) if conditions else None


def sparse_embeddings() -> Any:  # noqa: ANN401 - its base class comes from langchain-qdrant
    """An object of LangChain's interface that makes sparse vectors of words."""
    import bm25s
    import Stemmer
    from langchain_qdrant import SparseEmbeddings, SparseVector

    stemmer = Stemmer.Stemmer("english")

    def counts(texts: Iterable[str]) -> list[Counter[int]]:
        tokens: Any = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return [Counter(zlib.crc32(token.encode()) for token in words) for words in tokens]

    class WordCounts(SparseEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[SparseVector]:
            return [_weighted(found) for found in counts(texts)]

        def embed_query(self, text: str) -> SparseVector:
            words = sorted(counts([text])[0])
            return SparseVector(indices=words, values=[1.0] * len(words))

    def _weighted(found: Counter[int]) -> SparseVector:
        norm = _K * (1 - _B + _B * found.total() / _AVERAGE)
        words = sorted(found)
        return SparseVector(indices=words, values=[found[w] * (_K + 1) / (found[w] + norm) for w in words])

    return WordCounts()
