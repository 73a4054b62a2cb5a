"""A LangChain vector store over any of our stores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, get_args

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from retriever import InvalidInput, RecordsRefused, Retriever, TruncationWarning
from retriever.batched import batched
from retriever.embedding import EmbeddingInput
from retriever.filters import And, parse_filter
from retriever.metadata import check_text
from retriever.sparse import SparseInput
from retriever.types import Mode
from retriever_langchain.asynchronous import asynchronous
from retriever_langchain.attaching import Attachment, chroma_collection, qdrant_collection
from retriever_langchain.documents import to_document, to_records
from retriever_langchain.executor import write_off_loop
from retriever_langchain.filters import FilterLike, to_filter
from retriever_langchain.opening import LazyIndex, Place
from retriever_langchain.searching import Searches

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from qdrant_client import QdrantClient

MEMORY = "memory:"
"""Where documents go unless a store is named: nothing is kept when the process ends."""

_PAGE = 256


class RetrieverVectorStore(Searches):
    """LangChain's vector store, with hybrid search over embedded Qdrant, Qdrant servers and Chroma.

    A document is one record and its id is any string; nothing is cut (use
    :class:`~retriever_langchain.RetrieverTextSplitter`, or :meth:`retriever.Retriever.index`, which cuts by itself).
    A document without an id gets one from its content, so adding it again changes nothing. Constructing opens
    nothing: the first call does. Scores are higher for what is better. Unknown keyword arguments are errors.

    Every method has an asynchronous twin, which runs in a few threads of this package and not on the event loop.

    :param store: a folder, an address such as ``chroma:./index``, a store, or an open :class:`retriever.Retriever`.
    :param embedding: of LangChain, one of ours, or a name of one; an index that exists is opened without.
    :param mode: ``hybrid``, ``semantic``, ``keyword`` or ``sparse``: how to search where a call does not say.
    :param sparse: a learned sparse model, which a new index is made with: see :meth:`retriever.Retriever.open`.
    :raises InvalidInput: for another mode.
    :raises ConfigurationError: for an address that is none, or that holds a secret.
    """

    def __init__(
        self,
        store: Place | Attachment = MEMORY,
        embedding: Embeddings | EmbeddingInput | None = None,
        *,
        mode: Mode = "hybrid",
        sparse: SparseInput | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise InvalidInput(f"unknown mode {mode!r}: {', '.join(get_args(Mode))}")
        self._index = LazyIndex(store, embedding, sparse)
        self.mode = mode

    @property
    def retriever(self) -> Retriever:
        """The index, opened when it is first needed.

        :raises StoreNotFound: where there is none and no embedding function was given.
        :raises IndexMismatch: where it was built with another embedding function.
        """
        return self._index.retriever

    @property
    def embeddings(self) -> Embeddings:
        """What embeds, as LangChain has it."""
        return self._index.embeddings

    def add_texts(  # type: ignore[override]  # unknown keyword arguments are errors
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
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
        found = [None] * len(pages) if metadatas is None else list(metadatas)
        if len(found) != len(pages):
            raise InvalidInput(f"there are {len(found)} metadatas for {len(pages)} texts: give each text one")
        documents = [_document(n, *pair) for n, pair in enumerate(zip(pages, found, strict=True))]
        return self.add_documents(documents, ids=ids, batch_size=batch_size)

    def add_documents(  # type: ignore[override]  # unknown keyword arguments are errors
        self,
        documents: Iterable[Document],
        *,
        ids: Iterable[str | None] | None = None,
        batch_size: int | None = None,
    ) -> list[str]:
        """Write documents; those with a known id are replaced whole, and not embedded where the text is the same.

        All are checked before any is written. Where an error ends the call on its way, some are written, each whole:
        call it again, and only what is missing is embedded. The ids of chunks that :meth:`retriever.Retriever.index`
        made are refused: they are found by searches, but kept in step with their document.

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
        self._check_free([record.id for record in records])
        report = self.retriever.upsert(records)
        if report.failed:
            reasons = dict.fromkeys(problem.reason for problem in report.failed)
            raise RecordsRefused("; ".join(reasons), [problem.item for problem in report.failed])
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
        :raises InvalidInput: for an empty filter without ids.
        """
        condition = parse_filter(to_filter(filter))
        if ids is not None:
            self.retriever.delete(chunks=ids, filter=condition)
            return True
        everything = And(())
        if filter is not None and condition in (None, everything):
            raise InvalidInput("an empty filter would delete everything: if that is meant, leave it out")
        self.retriever.delete(filter=condition or everything)
        return True

    aadd_texts = asynchronous(add_texts, writes=True)
    aadd_documents = asynchronous(add_documents, writes=True)
    aget_by_ids = asynchronous(get_by_ids)
    adelete = asynchronous(delete, writes=True)

    @classmethod
    def from_texts(  # type: ignore[override]  # unknown keyword arguments are errors
        cls,
        texts: Iterable[str],
        embedding: Embeddings | EmbeddingInput,
        metadatas: Iterable[dict[str, Any] | None] | None = None,
        *,
        ids: Iterable[str | None] | None = None,
        store: Place = MEMORY,
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
        ids: Iterable[str | None] | None = None,
        store: Place = MEMORY,
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

    def _check_free(self, ids: Sequence[str]) -> None:
        """Chunks that ``Retriever.index`` made are found as well; written back, they would leave their document."""
        for page in batched(ids, _PAGE):
            for chunk in self.retriever.get(page):
                if chunk.document_id != chunk.id:
                    raise InvalidInput(
                        f"the id {chunk.id!r} is that of a chunk of {chunk.document_id!r}, which Retriever.index made: "
                        "index that document again, or give this one another id"
                    )

    @classmethod
    def _filled(
        cls,
        fill: Callable[[Self], object],
        store: Place,
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
        return await write_off_loop(cls.from_texts, *args, **kwargs)

    @classmethod
    async def afrom_documents(cls, *args: Any, **kwargs: Any) -> Self:
        """As :meth:`from_documents`, off the loop."""
        return await write_off_loop(cls.from_documents, *args, **kwargs)

    def close(self) -> None:
        """Let go of files, locks and connections. The next call opens again."""
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._index)!r})"


def _document(n: int, text: str, metadata: Mapping[str, Any] | None) -> Document:
    """Checked first: the messages of pydantic do not say which of them it is."""
    check_text(text, f"text {n}")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata {n} is a {type(metadata).__name__}, not a dictionary")
    return Document(page_content=text, metadata=dict(metadata or {}))
