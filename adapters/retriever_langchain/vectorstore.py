"""A LangChain vector store over any of our stores."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from retriever import Hit, InvalidInput, RecordsRefused, Retriever, TruncationWarning
from retriever.embedding import EmbeddingInput
from retriever.filters import And
from retriever.opening import PathInput
from retriever.searching import DEPTH
from retriever.stores import Store
from retriever.types import Mode
from retriever_langchain.asynchronous import asynchronous
from retriever_langchain.attaching import chroma_collection, qdrant_collection
from retriever_langchain.documents import to_document, to_records
from retriever_langchain.embedding_function import as_embedding_function
from retriever_langchain.embeddings import EmbeddingFunctionEmbeddings
from retriever_langchain.executor import off_loop
from retriever_langchain.filters import FilterLike, to_filter

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient

MEMORY = "memory:"
"""Where documents go unless a store is named: nothing is kept when the process ends."""


class RetrieverVectorStore(VectorStore):
    """LangChain's vector store, with hybrid search over embedded Qdrant, Qdrant servers and Chroma.

    A document is one record and its id is any string; nothing is cut (use
    :class:`~retriever_langchain.RetrieverTextSplitter`, or :meth:`retriever.Retriever.index`, which cuts by itself).
    A document without an id gets one from its content, so adding it again changes nothing. Constructing opens
    nothing: the first call does. Scores are higher for what is better. Unknown keyword arguments are errors.

    Every method has an asynchronous twin, which runs in a few threads of this package and not on the event loop.

    :param store: a folder, an address such as ``chroma:./index``, a store, or an open :class:`retriever.Retriever`.
    :param embedding: of LangChain, one of ours, or a name of one; an index that exists is opened without.
    :param mode: ``hybrid``, ``semantic`` or ``keyword``: how to search where a call does not say.
    """

    def __init__(
        self,
        store: PathInput | Store | Retriever = MEMORY,
        embedding: Embeddings | EmbeddingInput | None = None,
        *,
        mode: Mode = "hybrid",
    ) -> None:
        self._place = store
        self._given = embedding
        self._mode: Mode = mode
        self._opening = threading.Lock()
        self._opened: Retriever | None = store if isinstance(store, Retriever) else None

    @property
    def retriever(self) -> Retriever:
        """The index, opened when it is first needed.

        :raises StoreNotFound: where there is none and no embedding function was given.
        :raises IndexMismatch: where it was built with another embedding function.
        """
        with self._opening:
            if self._opened is None:
                assert not isinstance(self._place, Retriever)  # noqa: S101 - for the type checker
                function = None if self._given is None else as_embedding_function(self._given)
                self._opened = Retriever.open(self._place, embedding=function)
            return self._opened

    @property
    def embeddings(self) -> Embeddings:
        """What embeds, as LangChain has it."""
        if isinstance(self._given, Embeddings):
            return self._given
        return EmbeddingFunctionEmbeddings(self.retriever.embedding)

    def add_texts(  # type: ignore[override]  # unknown keyword arguments are errors
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
    ) -> list[str]:
        """Write texts; see :meth:`add_documents`.

        :param texts: any iterable.
        :param metadatas: one for each text.
        :param ids: one for each text; None for those to get one from their content.
        :param batch_size: as for :meth:`add_documents`.
        :return: the ids, in order.
        :raises InvalidInput: where there are not as many metadatas or ids as texts, or a text cannot be stored.
        """
        if isinstance(texts, str):
            raise InvalidInput("texts is a list of texts, not one string")
        pages = list(texts)
        found = [{} for _ in pages] if metadatas is None else list(metadatas)
        if len(found) != len(pages):
            raise InvalidInput(f"there are {len(found)} metadatas for {len(pages)} texts: give each text one")
        documents = [_document(n, *pair) for n, pair in enumerate(zip(pages, found, strict=True))]
        return self.add_documents(documents, ids=ids, batch_size=batch_size)

    def add_documents(  # type: ignore[override]  # unknown keyword arguments are errors
        self,
        documents: Iterable[Document],
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
    ) -> list[str]:
        """Write documents; those with a known id are replaced whole, and not embedded where the text is the same.

        All are checked before any is written. Where an error ends the call on its way, some are written, each whole:
        call it again, and only what is missing is embedded.

        :param documents: any iterable; they are not changed.
        :param ids: in place of the documents' own.
        :param batch_size: what LangChain's ``index`` passes; batches are made here by count and size anyway.
        :return: the ids, in order.
        :raises InvalidInput: naming a document that cannot be stored; nothing is written.
        :raises RecordsRefused: naming documents that the store does not take; all others are written.
        """
        del batch_size
        records = to_records(documents, ids)
        if not records:
            return []
        report = self.retriever.upsert(records)
        if report.failed:
            raise RecordsRefused(
                "; ".join(problem.reason for problem in report.failed), [p.item for p in report.failed]
            )
        if report.truncated:
            warnings.warn(
                f"{report.truncated} of {len(records)} documents are longer than the model reads: their ends are not "
                "embedded. Split them with RetrieverTextSplitter, or give them to Retriever.index",
                TruncationWarning,
                stacklevel=2,
            )
        return [record.id for record in records]

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by their ids, in the order asked for; those that are not there are left out.

        :param ids: any number.
        """
        return [to_document(chunk) for chunk in self.retriever.get(ids)]

    def delete(  # type: ignore[override]  # unknown keyword arguments are errors
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: FilterLike = None,  # noqa: A002 - LangChain's word
    ) -> bool:
        """Delete documents; ids that are not there have no effect.

        :param ids: which; without ids and filter everything, as LangChain has it.
        :param filter: only those that satisfy it.
        """
        condition = to_filter(filter)
        if ids is not None:
            self.retriever.delete(chunks=ids, filter=condition)
        else:
            self.retriever.delete(filter=condition or And(()))
        return True

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[Document]:
        """The best documents for a query.

        :param query: a question, words, an identifier.
        :param k: how many at most.
        :param filter: in our filter language, which Chroma's is a part of; or a filter of qdrant-client.
        :param mode: instead of the vector store's own.
        :param settings: others of :meth:`retriever.Retriever.search`.
        """
        return [to_document(hit.chunk) for hit in self._search(query, k, filter, mode, settings)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[tuple[Document, float]]:
        """The same with scores, the higher the better: fused in hybrid mode, else cosine or BM25.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param filter: as there.
        :param mode: as there.
        :param settings: as there.
        """
        return [(to_document(hit.chunk), hit.score) for hit in self._search(query, k, filter, mode, settings)]

    def similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        filter: FilterLike = None,  # noqa: A002
        mode: Mode | None = None,
        score_threshold: float | None = None,
        **settings: Any,
    ) -> list[tuple[Document, float]]:
        """The same with relevance: ``(1 + cosine) / 2``, from 0 to 1, whatever the mode that found and ordered them.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param filter: as there.
        :param mode: as there.
        :param score_threshold: leave out what is less relevant, before the best ``k`` are taken.
        :param settings: as there.
        """
        if score_threshold is not None:
            if not 0 <= score_threshold <= 1:
                raise InvalidInput(f"score_threshold is {score_threshold!r}: relevance is from 0 to 1")
            settings["min_cosine"] = max(2 * score_threshold - 1, settings.get("min_cosine") or -1.0)
        elif (mode or self._mode) == "keyword":
            settings.setdefault("min_cosine", -1.0)  # cosines are not computed for keyword search otherwise
        hits = self._search(query, k, filter, mode, settings)
        return [(to_document(hit.chunk), _relevance(hit.legs["semantic"].score or 0.0)) for hit in hits]

    def similarity_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: FilterLike = None,  # noqa: A002
        **settings: Any,
    ) -> list[Document]:
        """The documents closest to a vector.

        :param embedding: made by the index's embedding function.
        :param k: how many at most.
        :param filter: as for :meth:`similarity_search`.
        :param settings: ``offset``, ``depth``, ``min_cosine`` of :meth:`retriever.Retriever.search`.
        """
        hits = self._search_by_vector(embedding, k, filter, settings)
        return [to_document(hit.chunk) for hit in hits]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,  # noqa: A002
        *,
        mode: Mode | None = None,
        **settings: Any,
    ) -> list[Document]:
        """Documents that are relevant and unlike each other, in the order in which they were chosen.

        :param query: as for :meth:`similarity_search`.
        :param k: as there.
        :param fetch_k: how many candidates a leg to choose from.
        :param lambda_mult: 1 for relevance alone, 0 for variety alone.
        :param filter: as there.
        :param mode: as there.
        :param settings: as there.
        """
        settings |= {"mmr": lambda_mult, "depth": max(fetch_k, k)}
        return [to_document(hit.chunk) for hit in self._search(query, k, filter, mode, settings)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: FilterLike = None,  # noqa: A002
        **settings: Any,
    ) -> list[Document]:
        """The same for a vector.

        :param embedding: as for :meth:`similarity_search_by_vector`.
        :param k: as there.
        :param fetch_k: as for :meth:`max_marginal_relevance_search`.
        :param lambda_mult: as there.
        :param filter: as there.
        :param settings: as for :meth:`similarity_search_by_vector`.
        """
        settings |= {"mmr": lambda_mult, "depth": max(fetch_k, k)}
        return [to_document(hit.chunk) for hit in self._search_by_vector(embedding, k, filter, settings)]

    aadd_texts = asynchronous(add_texts)
    aadd_documents = asynchronous(add_documents)
    aget_by_ids = asynchronous(get_by_ids)
    adelete = asynchronous(delete)
    asimilarity_search = asynchronous(similarity_search)
    asimilarity_search_with_score = asynchronous(similarity_search_with_score)
    asimilarity_search_with_relevance_scores = asynchronous(similarity_search_with_relevance_scores)
    asimilarity_search_by_vector = asynchronous(similarity_search_by_vector)
    amax_marginal_relevance_search = asynchronous(max_marginal_relevance_search)
    amax_marginal_relevance_search_by_vector = asynchronous(max_marginal_relevance_search_by_vector)

    @classmethod
    def from_texts(  # type: ignore[override]  # unknown keyword arguments are errors
        cls,
        texts: Iterable[str],
        embedding: Embeddings | EmbeddingInput,
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        store: PathInput | Store | Retriever = MEMORY,
        mode: Mode = "hybrid",
    ) -> Self:
        """A vector store with these texts in it. Called again on the same store, it writes only what is new.

        :param texts: as for :meth:`add_texts`.
        :param embedding: as for the constructor.
        :param metadatas: as for :meth:`add_texts`.
        :param ids: as there.
        :param store: as for the constructor.
        :param mode: as there.
        """
        return cls._filled(lambda self: self.add_texts(texts, metadatas, ids=ids), store, embedding, mode)

    @classmethod
    def from_documents(  # type: ignore[override]
        cls,
        documents: Iterable[Document],
        embedding: Embeddings | EmbeddingInput,
        *,
        ids: Sequence[str | None] | None = None,
        store: PathInput | Store | Retriever = MEMORY,
        mode: Mode = "hybrid",
    ) -> Self:
        """A vector store with these documents in it. Called again on the same store, it writes only what is new.

        :param documents: as for :meth:`add_documents`.
        :param embedding: as for the constructor.
        :param ids: as for :meth:`add_documents`.
        :param store: as for the constructor.
        :param mode: as there.
        """
        return cls._filled(lambda self: self.add_documents(documents, ids=ids), store, embedding, mode)

    @classmethod
    def from_chroma(
        cls,
        collection_name: str = "langchain",
        embedding_function: Embeddings | EmbeddingInput | None = None,
        persist_directory: str | None = None,
        *,
        client: ClientAPI | None = None,
        host: str | None = None,
        port: int = 8000,
        ssl: bool = False,
        mode: Mode = "hybrid",
    ) -> Self:
        """Hybrid search on a collection that langchain-chroma filled; the arguments are those of its ``Chroma``.

        The collection is read and never changed: adding and deleting are refused. The keyword index is made when it
        is first opened and follows what other programs write.

        :param collection_name: of the collection.
        :param embedding_function: the one that filled it; others are refused.
        :param persist_directory: of Chroma in a folder.
        :param client: of chromadb, already open.
        :param host: of a server.
        :param port: of the server.
        :param ssl: whether the server speaks TLS.
        :param mode: as for the constructor.
        :raises ConfigurationError: where it is not exactly one place.
        """
        store = chroma_collection(collection_name, client, persist_directory, host, port, ssl)
        return cls(store, embedding_function, mode=mode)

    @classmethod
    def from_qdrant(
        cls,
        collection_name: str,
        embedding: Embeddings | EmbeddingInput | None = None,
        *,
        client: QdrantClient | None = None,
        content_payload_key: str = "page_content",
        metadata_payload_key: str = "metadata",
        vector_name: str = "",
        mode: Mode = "hybrid",
        **connection: Any,
    ) -> Self:
        """Hybrid search on a collection that langchain-qdrant filled; the arguments are those of its vector store.

        Payloads and dense vectors are never changed: adding and deleting are refused. A sparse vector is added to the
        points when the index is first opened.

        :param collection_name: of the collection.
        :param embedding: the one that filled it; others are refused.
        :param client: of qdrant-client, already open.
        :param content_payload_key: of the payload, holds the text.
        :param metadata_payload_key: of the payload, holds the metadata.
        :param vector_name: of the dense vector; empty for the one without a name.
        :param mode: as for the constructor.
        :param connection: instead of a client what ``QdrantClient`` takes: ``url``, ``api_key``, ``path`` …
        :raises ConfigurationError: where it is not exactly one place.
        """
        store = qdrant_collection(
            collection_name, client, content_payload_key, metadata_payload_key, vector_name, connection
        )
        return cls(store, embedding, mode=mode)

    @classmethod
    def _filled(
        cls,
        fill: Callable[[Self], object],
        store: PathInput | Store | Retriever,
        embedding: Embeddings | EmbeddingInput,
        mode: Mode,
    ) -> Self:
        made = cls(store, embedding, mode=mode)
        try:
            fill(made)
        except BaseException:
            if not isinstance(store, Retriever):
                made.close()
            raise
        return made

    @classmethod
    async def afrom_texts(cls, *args: Any, **kwargs: Any) -> Self:
        """As :meth:`from_texts`, off the loop."""
        return await off_loop(cls.from_texts, *args, **kwargs)

    @classmethod
    async def afrom_documents(cls, *args: Any, **kwargs: Any) -> Self:
        """As :meth:`from_documents`, off the loop."""
        return await off_loop(cls.from_documents, *args, **kwargs)

    def close(self) -> None:
        """Let go of files, locks and connections. The next call opens again."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = self._place if isinstance(self._place, str) else getattr(self._place, "address", self._place)
        return f"{type(self).__name__}({str(place)!r})"

    def _get_retriever_tags(self) -> list[str]:
        """As LangChain makes them, but without loading a model for it."""
        return [type(self).__name__] + ([] if self._given is None else [type(self._given).__name__])

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _relevance

    def _search(self, query: str, k: int, given: FilterLike, mode: Mode | None, settings: dict[str, Any]) -> list[Hit]:
        settings.setdefault("depth", max(DEPTH, _whole(k) + _whole(settings.get("offset", 0))))
        found = self.retriever.search_batch([query], k, filter=to_filter(given), mode=mode or self._mode, **settings)
        return found[0]

    def _search_by_vector(self, vector: list[float], k: int, given: FilterLike, settings: dict[str, Any]) -> list[Hit]:
        known = ("offset", "depth", "min_cosine", "mmr")
        if unknown := settings.keys() - set(known):
            raise InvalidInput(f"a search by vector takes no {', '.join(sorted(unknown))}; it takes {', '.join(known)}")
        settings.setdefault("depth", max(DEPTH, _whole(k) + _whole(settings.get("offset", 0))))
        return self.retriever.search_by_vector(vector, k, filter=to_filter(given), **settings)


def _document(n: int, text: str, metadata: dict[str, Any] | None) -> Document:
    if not isinstance(text, str):
        raise InvalidInput(f"text {n} is a {type(text).__name__}, not a string")
    return Document(page_content=text, metadata=metadata or {})


def _relevance(cosine: float) -> float:
    return min(1.0, max(0.0, (1 + cosine) / 2))


def _whole(value: object) -> int:
    """The number, or 0 for what the search is going to refuse."""
    return value if isinstance(value, int) else 0
