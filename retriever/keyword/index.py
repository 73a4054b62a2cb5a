"""What a keyword index is: the protocol of a replica beside a store that has no keyword search of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from retriever.filters import Filter
from retriever.sparse.vector import SparseVector
from retriever.stores import Candidate
from retriever.types import Chunk


@dataclass(frozen=True, slots=True)
class KeywordRecord:
    """What the replica keeps of a record. Of the chunk, the text is not kept.

    :param chunk: its id, source, document id and metadata are searchable by filters.
    :param terms: how often each of the analyser's terms occurs in the text.
    :param digest: a short text that changes when the record changes; handed back by :meth:`KeywordIndex.digests`.
    :param sparse: the learned sparse vector, if there is one.
    """

    chunk: Chunk
    terms: Mapping[str, int]
    digest: str
    sparse: SparseVector | None = None


class Matches(NamedTuple):
    """The records that satisfy a filter.

    :param ids: chunk ids, in no stated order.
    :param exact: False where some of them may not satisfy it: look at the record itself.
    """

    ids: list[str]
    exact: bool


class KeywordIndex(Protocol):
    """A replica of a store's records: the engine's BM25 over terms of our analyser, filters with our meaning.

    Several processes read one index; one at a time writes. Changes are seen by nobody, and lost if the process dies,
    until :meth:`commit`, which is all or nothing. Constructing one touches no disk. May be used from several threads.

    An index that cannot be read is as good as none: the next writer makes it anew. Where only a search meets the
    damage, it raises :class:`~retriever.errors.StoreDamaged`, and from then on :meth:`position` is None.
    """

    def position(self) -> str | None:
        """The note of the last commit that this object has seen; None where there is no index yet."""

    def count(self) -> int:
        """How many records there are, as of the last commit seen."""

    def lock(self) -> bool:
        """Become the only writer, until :meth:`commit` or :meth:`rollback`; False where somebody is, without waiting.

        Somebody is another process, another object, or another thread that uses this one: it cannot be taken twice.
        A writer sees the newest commit.
        """

    def upsert(self, records: Iterable[KeywordRecord]) -> None:
        """Add records, replacing those with the same chunk id. Needs the lock."""

    def delete(self, chunk_ids: Iterable[str]) -> None:
        """Remove records; unknown ids have no effect. Needs the lock."""

    def clear(self) -> None:
        """Remove all records. Needs the lock."""

    def commit(self, position: str) -> None:
        """Make the changes visible and durable together with a note, and let go of the lock."""

    def rollback(self) -> None:
        """Forget the changes and let go of the lock; no effect without it."""

    def refresh(self) -> None:
        """See what other processes have committed."""

    def search(self, terms: Mapping[str, int], depth: int, condition: Filter | None = None) -> list[Candidate]:
        """The best records by BM25, best first; a record without any of the terms is not among them.

        :param terms: how often each term occurs in the query.
        :param depth: how many at most.
        :param condition: holds for all of them, but see ``exact`` of :meth:`matching`.
        :return: keys are chunk ids; equal scores in the order of their ids.
        """

    def search_sparse(self, vector: SparseVector, depth: int, condition: Filter | None = None) -> list[Candidate]:
        """The best records by the dot product of learned sparse vectors, best first, with rounded weights.

        :param vector: of the query.
        :param depth: how many at most.
        :param condition: as for :meth:`search`.
        :return: keys are chunk ids; a record that shares no term with the query is not among them.
        """

    def matching(self, condition: Filter, limit: int | None = None) -> Matches | None:
        """The records that satisfy a filter.

        :param condition: any filter.
        :param limit: give up beyond so many.
        :return: None where there are more than ``limit``.
        """

    def is_exact(self, condition: Filter | None) -> bool:
        """Whether :meth:`search` and :meth:`matching` answer a filter exactly, without a look at the records."""

    def digests(self, chunk_ids: Sequence[str] | None = None) -> dict[str, str]:
        """The digests of records, by chunk id.

        :param chunk_ids: None for all of them; missing ones are left out.
        """

    def destroy(self) -> None:
        """Remove the index with its folder."""

    def close(self) -> None:
        """Let go of files; uncommitted changes are forgotten. The next call opens again."""
