"""An index that is opened when it is first needed, by whichever thread needs it first."""

from __future__ import annotations

import os
import threading

from langchain_core.embeddings import Embeddings

from retriever import Retriever
from retriever.address import parse_address
from retriever.embedding import EmbeddingFunction, EmbeddingInput
from retriever.identity import check_settings
from retriever.opening import PathInput
from retriever.sparse import SparseInput, resolve_sparse
from retriever.sparse.recorded import check_sparse
from retriever.stores import Store
from retriever_langchain.attaching import Attachment
from retriever_langchain.embedding_function import as_embedding_function
from retriever_langchain.embeddings import EmbeddingFunctionEmbeddings

Place = PathInput | Store | Retriever
"""Where an index is: a folder or an address, a store, or an open retriever."""


class LazyIndex:
    """An index at a place.

    :param place: a folder, an address, a store, an open retriever, or a collection to attach to.
    :param embedding: what a user passed; None for what built the index.
    :param sparse: a learned sparse model that a user passed; None for the index's own, if it has one.
    :raises ConfigurationError: for an address that is none, or that holds a secret.
    """

    def __init__(
        self,
        place: Place | Attachment,
        embedding: Embeddings | EmbeddingInput | None,
        sparse: SparseInput | None = None,
    ) -> None:
        if isinstance(place, str | os.PathLike):
            parse_address(os.fspath(place))  # from here on it is shown: one that holds a secret is refused
        self._place = place
        self._given = embedding
        self._sparse = sparse
        self._lock = threading.Lock()
        self._opened: Retriever | None = None

    @property
    def retriever(self) -> Retriever:
        """The index, open. Where opening fails, the next call tries again.

        :raises StoreNotFound: where there is none and no embedding function was given.
        :raises IndexMismatch: where it was built with another embedding function.
        """
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    @property
    def embeddings(self) -> Embeddings:
        """What embeds; nothing is opened or loaded until it does."""
        return self._given if isinstance(self._given, Embeddings) else IndexEmbeddings(self)

    def close(self) -> None:
        """Let go of files, locks and connections. The next call opens again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            if isinstance(self._place, Attachment):
                self._opened = None  # its client is closed as well
                self._place.close()

    def __str__(self) -> str:
        place = self._place
        return str(place if isinstance(place, str) else getattr(place, "address", place))

    def _open(self) -> Retriever:
        function = None if self._given is None else as_embedding_function(self._given)
        place = self._place
        if isinstance(place, Retriever):
            check_settings(place.manifest, place.address, function, None, None)
            terms = None if self._sparse is None else resolve_sparse(self._sparse)
            check_sparse(place.manifest, place.address, terms, None)
            return place
        if not isinstance(place, Attachment):
            return Retriever.open(place, embedding=function, sparse=self._sparse)
        try:
            return Retriever.open(place.open(), embedding=function, sparse=self._sparse)
        except BaseException:
            place.close()
            raise


class IndexEmbeddings(EmbeddingFunctionEmbeddings):
    """The embedding function of an index, loaded when it is first used.

    :param index: the index.
    """

    def __init__(self, index: LazyIndex) -> None:
        self._index = index

    @property
    def _function(self) -> EmbeddingFunction:  # type: ignore[override]  # read only here
        return self._index.retriever.embedding

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._index)!r})"
