"""One Chroma collection: every call goes through here, with its errors, its retries and its pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from retriever.batched import batched
from retriever.errors import StoreNotFound
from retriever.retrying import retried
from retriever.types import FloatVector
from retriever_chroma.convert import Stored
from retriever_chroma.errors import RecordMissing, chroma_errors

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection as ChromaCollection

T = TypeVar("T")

IDS_A_CALL = 5_000
"""``get`` fails from 32,766."""

_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Calling:
    """How calls are made.

    :param where: the store's address, for messages.
    :param secret: what no message may hold.
    :param timeout: seconds for one attempt; None where there is no network, and a call is made once.
    :param deadline: seconds for all attempts.
    :param repair: advice for messages about damage.
    """

    where: str
    secret: str | None = None
    timeout: float | None = None
    deadline: float = 0.0
    repair: str | None = None

    def __call__(self, call: Callable[[], T], *, moving: bool = True) -> T:
        """Call, again where that may help; raise errors of this package only.

        :param call: may be repeated.
        :param moving: a missing record was deleted by somebody meanwhile, so that the next attempt does not meet it.
        """
        for _ in range(_ATTEMPTS if moving else 0):
            with suppress(RecordMissing):
                return self._in_time(call)
        return self._in_time(call)

    def _in_time(self, call: Callable[[], T]) -> T:
        if self.timeout is None:
            return self._once(call)
        return retried(lambda: self._once(call), deadline=self.deadline, timeout=self.timeout)

    def _once(self, call: Callable[[], T]) -> T:
        with chroma_errors(self.where, self.secret, self.repair):
            return call()

    def __repr__(self) -> str:
        return f"Calling({self.where!r})"


class Row(NamedTuple):
    """A record, as far as it was asked for."""

    id: str
    document: str | None
    metadata: Stored | None


class Collection:
    """A collection and the way it is called.

    :param raw: chromadb's object, opened without an embedding function.
    :param calling: how calls are made.
    """

    def __init__(self, raw: ChromaCollection, calling: Calling) -> None:
        # A server may name functions in there, which chromadb would import and build as soon as it looks.
        raw._model["serialized_schema"] = None
        self._raw = raw
        self._call = calling
        self.id = str(raw.id)
        self.metadata: Mapping[str, Any] = raw.metadata or {}

    @property
    def space(self) -> str:
        """``cosine``, ``l2`` or ``ip``; never through ``configuration``, which builds what the server names."""
        settings = self._raw.configuration_json
        for kind in ("hnsw", "spann"):
            found = settings.get(kind)
            if isinstance(found, Mapping) and found:
                return str(found.get("space", "l2"))
        return "l2"

    @property
    def embedding_function(self) -> object:
        """What the configuration says of its embedding function, as it is: nothing is built."""
        return self._raw.configuration_json.get("embedding_function")

    @property
    def dimension(self) -> int | None:
        """Of its vectors, as of when it was opened; None where there was none."""
        return self._raw._model.dimension

    def count(self) -> int:
        """How many records there are."""
        return self._call(self._raw.count)

    def rows(self, ids: Sequence[str], include: Sequence[str]) -> Iterator[Row]:
        """Records by id, in no stated order; missing ones are left out.

        :param ids: any number.
        :param include: ``metadatas`` and ``documents``, or less.
        """
        for page in batched(ids, IDS_A_CALL):
            yield from self._rows(include, ids=list(page))

    def all_rows(
        self, include: Sequence[str], where: Mapping[str, Any] | None = None, page: int = IDS_A_CALL
    ) -> Iterator[Row]:
        """All records, in pages.

        :param include: as for :meth:`rows`.
        :param where: Chroma's condition.
        :param page: how many a call.
        """
        offset = 0
        while True:
            found = self._rows(include, where=where, limit=page, offset=offset)
            yield from found
            if len(found) < page:
                return
            offset += page

    def last_id(self, count: int) -> str | None:
        """The id of the last row.

        :param count: how many there are.
        """
        rows = self._rows([], limit=1, offset=count - 1)
        return rows[0].id if rows else None

    def vectors(self, ids: Sequence[str]) -> dict[str, FloatVector]:
        """Embeddings by id, as Chroma keeps them.

        :param ids: any number.
        """
        found: dict[str, FloatVector] = {}
        for page in batched(ids, IDS_A_CALL):
            got = self._call(lambda page=page: self._raw.get(ids=list(page), include=["embeddings"]))  # type: ignore[misc]
            rows: Any = got["embeddings"] if got["ids"] else []
            found |= {key: np.asarray(row, np.float32) for key, row in zip(got["ids"], rows, strict=True)}
        return found

    def query(
        self, vector: FloatVector, depth: int, ids: Sequence[str] | None = None, include: Sequence[str] = ("distances",)
    ) -> dict[str, list[Any]]:
        """The nearest records.

        :param vector: of the query.
        :param depth: how many at most.
        :param ids: only among these, all of which have to be there.
        :param include: what of them.
        :return: ``ids`` and what was included, each a list.
        :raises RecordMissing: where one of the ids is not there.
        """
        some = None if ids is None else list(ids)
        answer: Mapping[str, Any] = self._call(
            lambda: self._raw.query(query_embeddings=[vector], n_results=depth, ids=some, include=list(include)),  # type: ignore[arg-type]
            moving=some is None,
        )
        return {part: answer[part][0] for part in ("ids", *include)}

    def upsert(
        self, ids: Sequence[str], vectors: Sequence[FloatVector], texts: Sequence[str], metadata: Sequence[Stored]
    ) -> None:
        """Write records; metadata is merged into what is there.

        :param ids: distinct, not more than Chroma takes.
        :param vectors: of each.
        :param texts: of each.
        :param metadata: of each; None as a value removes the key.
        """
        self._call(
            lambda: self._raw.upsert(
                ids=list(ids),
                embeddings=list(vectors),  # type: ignore[arg-type]  # float32 is among them
                documents=list(texts),
                metadatas=list(metadata),
            )
        )

    def update(self, ids: Sequence[str], metadata: Sequence[Stored]) -> None:
        """Merge metadata into records; unknown ids have no effect.

        :param ids: distinct, not more than Chroma takes.
        :param metadata: of each; None as a value removes the key.
        """
        self._call(lambda: self._raw.update(ids=list(ids), metadatas=list(metadata)))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove records; unknown ids have no effect.

        :param ids: not more than Chroma takes.
        """
        self._call(lambda: self._raw.delete(ids=list(ids)))

    def replace_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace the collection's own metadata, all of it.

        :param metadata: with string keys.
        """
        self._call(lambda: self._raw.modify(metadata=dict(metadata)))
        self.metadata = dict(metadata)

    def rename(self, name: str) -> None:
        """Give the collection another name, which no other has.

        :param name: the new one.
        """
        self._call(lambda: self._raw.modify(name=name))

    def _rows(self, include: Sequence[str], **what: Any) -> list[Row]:
        got = self._call(lambda: self._raw.get(include=list(include), **what))  # type: ignore[arg-type]
        ids = got["ids"]
        nothing: list[None] = [None] * len(ids)
        documents = got["documents"] if "documents" in include else nothing
        metadatas = got["metadatas"] if "metadatas" in include else nothing
        return [Row(*row) for row in zip(ids, documents or nothing, metadatas or nothing, strict=True)]


def open_collection(client: ClientAPI, name: str, calling: Calling) -> Collection | None:
    """The collection of that name; None where there is none.

    :param client: of Chroma.
    :param name: of the collection.
    :param calling: how calls are made.
    """
    try:
        raw = calling(lambda: client.get_collection(name, embedding_function=None))
    except StoreNotFound:
        return None
    return Collection(raw, calling)
