"""Writing records: to the collection, which is the truth, and then to the keyword index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retriever.errors import RecordsRefused
from retriever.keyword.index import KeywordRecord
from retriever.stores import Record
from retriever.types import Chunk
from retriever_chroma.collection import Collection
from retriever_chroma.convert import HASH, replacing, to_metadata
from retriever_chroma.replica import Replica

_NAMED = 5


def write(collection: Collection, replica: Replica, records: Sequence[Record]) -> Iterator[RecordsRefused]:
    """Write records, fewer at a time where Chroma refuses them; what it refuses one by one is yielded.

    :param collection: where to.
    :param replica: that follows.
    :param records: at least one, and not more than Chroma takes.
    """
    try:
        _write(collection, replica, records)
    except RecordsRefused as refusal:
        if len(records) == 1:
            yield RecordsRefused(str(refusal), [records[0].chunk.id])
            return
        half = len(records) // 2
        yield from write(collection, replica, records[:half])
        yield from write(collection, replica, records[half:])


def rewrite(collection: Collection, replica: Replica, chunks: Sequence[Chunk]) -> None:
    """Replace metadata; unknown ids have no effect.

    :param collection: where to.
    :param replica: that follows.
    :param chunks: not more than Chroma takes.
    """
    old = {row.id: row.metadata for row in collection.rows([chunk.id for chunk in chunks], ["metadatas"])}
    known = [chunk for chunk in chunks if chunk.id in old]
    if not known:
        return
    sparse = [replica.sparse(old[chunk.id]) for chunk in known]
    new = [to_metadata(chunk, vector) for chunk, vector in zip(known, sparse, strict=True)]
    merged = [replacing(fields, old[chunk.id]) for chunk, fields in zip(known, new, strict=True)]
    collection.update([chunk.id for chunk in known], merged)
    parts = zip(known, new, sparse, strict=True)
    replica.upsert(
        [KeywordRecord(chunk, replica.terms(chunk.text), fields[HASH], vector) for chunk, fields, vector in parts]
    )


def refused(refusals: Sequence[RecordsRefused]) -> RecordsRefused:
    """One error for all of them.

    :param refusals: at least one.
    """
    ids = [chunk_id for refusal in refusals for chunk_id in refusal.chunk_ids]
    some = ", ".join(ids[:_NAMED]) + (", …" if len(ids) > _NAMED else "")
    return RecordsRefused(f"{refusals[0]}; {len(ids)} records are refused, all others are written: {some}", ids)


def _write(collection: Collection, replica: Replica, records: Sequence[Record]) -> None:
    ids = [record.chunk.id for record in records]
    new = [to_metadata(record.chunk, record.sparse) for record in records]
    old = {row.id: row.metadata for row in collection.rows(ids, ["metadatas"])}
    collection.upsert(
        ids,
        [record.vector for record in records],
        [record.chunk.text for record in records],
        [replacing(fields, old.get(key)) for key, fields in zip(ids, new, strict=True)],
    )
    pairs = zip(records, new, strict=True)
    replica.upsert([KeywordRecord(r.chunk, r.terms, fields[HASH], r.sparse) for r, fields in pairs])
