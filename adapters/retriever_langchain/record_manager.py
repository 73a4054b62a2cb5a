"""A record manager for LangChain's ``index`` that keeps no records: it asks the store what is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from langchain_core.documents import Document
from langchain_core.indexing import RecordManager

from retriever import InvalidInput
from retriever.batched import batched
from retriever.filters import And, Compare, Filter, In, Reserved
from retriever_langchain.asynchronous import asynchronous
from retriever_langchain.documents import to_document
from retriever_langchain.vectorstore import RetrieverVectorStore

_PAGE = 256
_LEAST_STEP = 1e-6  # seconds: no two readings of the clock are the same


class StoreRecordManager(RecordManager):
    """The ledger of a vector store, as LangChain's ``index`` wants it.

    A second book of what was written drifts from the store: where that is lost, ``index`` skips everything and reports
    success. This one has no book. What exists is what the store holds; all that is remembered, while the process
    lives, is which documents the run at hand has met, so that a cleanup spares them.

    Cleaning up concerns the documents that were added through LangChain, and those given to
    :meth:`retriever.Retriever.index` without a source. There are no namespaces: ``cleanup="full"`` deletes every such
    document that the run has not met, whoever added it. Several loaders into one store take ``scoped_full``.

    With ``cleanup="incremental"`` LangChain itself deletes after every batch what the run has not met *yet*: a source
    that spans several batches loses the documents of its later ones, which are then embedded again. No record manager
    can prevent that. ``scoped_full`` ends with the same contents and deletes last.

    :param vectorstore: the one that is given to ``index``.
    :param source_id_key: the one that is given to ``index``.
    """

    def __init__(
        self, vectorstore: RetrieverVectorStore, source_id_key: str | Callable[[Document], str] = "source"
    ) -> None:
        super().__init__(repr(vectorstore))
        self._vectorstore = vectorstore
        self._source_id_key = source_id_key
        self._met: dict[str, float] = {}
        self._offset = time.time() - time.monotonic()
        self._last = 0.0
        self._clock = threading.Lock()

    def create_schema(self) -> None:
        """Nothing to create."""

    def get_time(self) -> float:
        """Seconds since 1970, by a clock that only goes forward."""
        with self._clock:
            self._last = max(time.monotonic() + self._offset, self._last + _LEAST_STEP)
            return self._last

    def update(
        self,
        keys: Sequence[str],
        *,
        group_ids: Sequence[str | None] | None = None,
        time_at_least: float | None = None,
    ) -> None:
        """Note that the run at hand has met these documents.

        :param keys: their ids.
        :param group_ids: read from the documents themselves, so not kept; as many as keys.
        :param time_at_least: a time that was read before.
        :raises InvalidInput: where the lengths differ, or the time is still to come.
        """
        if group_ids is not None and len(group_ids) != len(keys):
            raise InvalidInput(f"there are {len(group_ids)} group ids for {len(keys)} keys")
        now = self.get_time()
        if time_at_least is not None and time_at_least > now:
            raise InvalidInput(f"the time {time_at_least} is still to come: it is not from this record manager")
        self._met.update(dict.fromkeys(keys, now))

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Whether the store holds each of these documents.

        :param keys: their ids.
        """
        there = {chunk.id for page in batched(keys, _PAGE) for chunk in self._vectorstore.retriever.get(page)}
        return [key in there for key in keys]

    def list_keys(
        self,
        *,
        before: float | None = None,
        after: float | None = None,
        group_ids: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Ids of documents in the store.

        :param before: only those that no run has met since.
        :param after: only those that a run has met since.
        :param group_ids: only those of these sources.
        :param limit: how many at most; by default all.
        """
        found = (key for key in self._keys(group_ids) if self._was_met(key, before, after))
        return list(islice(found, limit))

    def delete_keys(self, keys: Sequence[str]) -> None:
        """Forget documents that ``index`` has deleted from the store.

        :param keys: their ids.
        """
        for key in keys:
            self._met.pop(key, None)

    acreate_schema = asynchronous(create_schema)
    aget_time = asynchronous(get_time)
    aupdate = asynchronous(update)
    aexists = asynchronous(exists)
    alist_keys = asynchronous(list_keys)
    adelete_keys = asynchronous(delete_keys)

    def _was_met(self, key: str, before: float | None, after: float | None) -> bool:
        met = self._met.get(key, 0.0)
        return (before is None or met < before) and (after is None or met > after)

    def _keys(self, group_ids: Sequence[str] | None) -> Iterator[str]:
        ours: Filter = Compare(Reserved.SOURCE, "eq", "")
        key = self._source_id_key
        if group_ids is not None and isinstance(key, str):
            ours = And((ours, In(key, tuple(group_ids))))
        store = self._vectorstore.retriever.store
        for page in batched((entry.chunk_id for entry in store.entries(ours)), _PAGE):
            if group_ids is None or isinstance(key, str):
                yield from page
            else:
                wanted = set(group_ids)
                chunks = self._vectorstore.retriever.get(page)
                yield from (chunk.id for chunk in chunks if _source_of(to_document(chunk), key) in wanted)


def _source_of(document: Document, key: Callable[[Document], str]) -> str | None:
    """None for a document that was added otherwise, and has not what the function reads."""
    try:
        return key(document)
    except LookupError:
        return None
