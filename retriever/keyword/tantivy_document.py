"""What tantivy keeps of a record: the schema, and the way from records and terms to its fields.

key       indexed: the chunk id, or what marks the note
id        stored: the chunk id
digest    stored: as given
position  stored: of the note only, which is written in the same commit as the records
body      indexed: every term as often as it occurs
impacts   indexed: the bits of the learned sparse weights, see :mod:`retriever.keyword.impacts`
facts     indexed: what filters ask for
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tantivy import Document, Schema, SchemaBuilder

from retriever.keyword import facts, impacts
from retriever.keyword.index import KeywordRecord

BODY_TOKENIZER = "terms"
"""Splits at ASCII white space; to be registered with each index object that writes."""

NOTE = "n"
"""The key of the note."""

_LONGEST = 250
"""Characters. The engine drops tokens over 65,530 bytes without a word; long before, a hash takes their place."""

_CONTROL = re.compile(r"[\x00-\x1f]")

_HASHED = "\x1e"
"""Before a hash. A control character, so that no plain term looks like a hashed one; tantivy does not split there."""


def schema() -> Schema:
    """The fields; whoever changes them raises the version in :mod:`retriever.keyword.tantivy_home`."""
    builder = SchemaBuilder()
    builder.add_text_field("key", tokenizer_name="raw", index_option="basic")
    for name in ("id", "digest", "position"):
        builder.add_bytes_field(name, stored=True)
    builder.add_text_field("body", tokenizer_name=BODY_TOKENIZER, index_option="freq")
    builder.add_text_field("impacts", tokenizer_name=BODY_TOKENIZER, index_option="basic")
    builder.add_text_field("facts", tokenizer_name="raw", index_option="basic")
    return builder.build()


def document(record: KeywordRecord, unit: float = 1.0) -> Document:
    """A record as the engine takes it.

    :param record: with clean metadata.
    :param unit: of the weights of learned sparse vectors.
    """
    chunk = record.chunk
    return Document(
        key=key(chunk.id),
        id=chunk.id.encode(),
        digest=record.digest.encode(),
        body=_body(record.terms),
        impacts="" if record.sparse is None else impacts.tokens(record.sparse, unit),
        facts=facts.facts(chunk),
    )


def note(position: str) -> Document:
    """The document that keeps the position; it has no facts and no terms, so nothing finds it but its key.

    :param position: any text.
    """
    return Document(key=NOTE, position=position.encode())


def key(chunk_id: str) -> str:
    """The token under which a record is replaced and removed.

    :param chunk_id: of any length.
    """
    return f"c{chunk_id}" if len(chunk_id) <= _LONGEST else f"h{facts.short_hash(chunk_id)}"


def term(text: str) -> str:
    """The token of a term: itself, or a hash where it is long, empty, or holds a space or a control character.

    :param text: as the analyser makes it.
    """
    is_plain = 0 < len(text) <= _LONGEST and " " not in text and not _CONTROL.search(text)
    return text if is_plain else f"{_HASHED}{facts.short_hash(text)}"


def _body(terms: Mapping[str, int]) -> str:
    """Terms as often as they occur. That all are plain is looked at once: this runs for every term of every record."""
    text = _repeated(terms, terms.values())
    is_plain = "" not in terms and text.count(" ") == sum(terms.values()) - 1 and not _CONTROL.search(text)
    if is_plain and max(map(len, terms)) <= _LONGEST:
        return text
    return _repeated(map(term, terms), terms.values())


def _repeated(words: Iterable[str], counts: Iterable[int]) -> str:
    return " ".join(
        [word if count == 1 else " ".join([word] * count) for word, count in zip(words, counts, strict=True)]
    )
