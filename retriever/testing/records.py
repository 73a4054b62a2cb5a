"""The contract, part: what was stored comes back, to the last bit."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hypothesis import given

from retriever.stores import Store
from retriever.testing import strategies
from retriever.testing.base import ContractPart
from retriever.testing.oracle import check_chunks
from retriever.testing.samples import chunk_id, make_record
from retriever.types import MetadataValue

LONG = "".join(chr(number) for number in range(0x4E00, 0x4E00 + 2_000)) * 50

VALUES: Sequence[MetadataValue] = [
    *(0, 1, -1, 2**31, -(2**31) - 1, 2**53, -(2**53), 2**53 - 1),
    *(0.0, -0.0, 1.0, -1.5, 0.1 + 0.2, 1e22, 1e23, 5e-324, -5e-324, 1.7976931348623157e308, 2.0**53, 1e-7, math.pi),
    *strategies.NUMBERS,
    *(True, False),
    *("", " ", "a", "1", "true", "null", "\0", "a\0b", "\n\r\t", "'\"\\", "é", "e\u0301", "中文", "😀", "\U0010ffff"),
    *("\ufeff", "\u202eabc", "\uffff", "👩\u200d👧", "2024-05-01T00:00:00Z", "{}", "%00", LONG),
    *([1], [1, 2, 3], [2**53, -(2**53)], [0.5], [0.1 + 0.2, -0.0, 1e300], [1.0], [1.0, 2.0], [1, 0.5], [0.5, 1]),
    *([1, 1.0], [1.0, 2**53], [True], [False, True], ["a"], [""], ["", "", "\0"], ["中", "a", "中"], [LONG, "b"]),
    list(range(1_000)),
    [str(number) for number in range(1_000)],
]
"""Metadata values that stores, their wire formats or their engines treat specially."""

KEYS: Sequence[str] = [
    *strategies.KEYS,
    *("id", "text", "document", "document_id", "source", "start", "end", "hash", "meta", "metadata", "vector"),
    *("chroma:document", "retriever.document", "_id", " ", ".", "..", "$", "$and", "$eq", "#", "[", "]", "[]", "%"),
    *("%2E", "\0", "\n", "'", '"', "`", "\\", "/", "*", "?", "a:b", "a,b", "a.b.c", "e\u0301", "é", "😀", "k" * 1_000),
]
"""Metadata keys that stores, their wire formats or their query languages treat specially."""

TEXTS: Sequence[str] = [
    *("", " ", "\0", "a\0b", "\r\n", "\ufeff", "\u202eabc", "e\u0301", "👩\u200d👧", "\U0010ffff", "\uffff", "'\"\\{}"),
    "x" * 1_000_000,
    LONG * 4,
]
"""Texts of chunks; the last are over 1 MB."""


class RoundTrips(ContractPart):
    """What was stored comes back as it was: values, types, order."""

    def test_every_kind_of_value_comes_back(self, store: Store) -> None:
        """Alone, so that a store's own choice of a type for a key does not help or hinder."""
        self.come_back(store, [{f"k{number}": value} for number, value in enumerate(VALUES)])

    def test_values_of_all_kinds_share_a_key(self, store: Store) -> None:
        """One after another under one key of one record, and at once under one key of many records."""
        self.come_back(store, [{"k": value} for value in VALUES])
        for value in VALUES[::7]:
            record = make_record(chunk_id("only"), metadata={"k": value})
            store.upsert([record])
            assert store.fetch([store.key(record.chunk.id)]) == {store.key(record.chunk.id): record.chunk}

    def test_every_kind_of_key_comes_back(self, store: Store) -> None:
        """One to a record, and all in one record."""
        everything = {key: number for number, key in enumerate(dict.fromkeys(KEYS))}
        self.come_back(store, [everything, *({key: "value"} for key in everything)])

    def test_every_kind_of_text_comes_back(self, store: Store) -> None:
        """From nothing to a megabyte."""
        records = [make_record(chunk_id(str(number)), text=text) for number, text in enumerate(TEXTS)]
        store.upsert(records)
        check_chunks(store, [record.chunk for record in records])

    def test_spans_and_names_come_back(self, store: Store) -> None:
        """Far into a document; ids of documents and names of sources are any text."""
        names = ["", "a", "s::d", "中 文.md", "a/b\\c", "e\u0301", "$x", "d" * 1_000, "'; --", "\0"]
        records = [
            make_record(chunk_id(str(n)), document_id=name, source=names[-n], start=10**9 + n, end=10**9 + n + 4)
            for n, name in enumerate(names)
        ]
        store.upsert(records)
        check_chunks(store, [record.chunk for record in records])

    def test_any_record_comes_back(self, store: Store) -> None:
        """A law: random metadata, texts and names."""

        @self.law_settings()
        @given(strategies.metadata, strategies.any_text, strategies.any_text, strategies.any_text)
        def comes_back(metadata: Mapping[str, MetadataValue], text: str, document: str, source: str) -> None:
            record = make_record(chunk_id("a"), metadata=metadata, text=text, document_id=document, source=source)
            store.upsert([record])
            check_chunks(store, [record.chunk])
            store.rewrite([record.chunk])
            check_chunks(store, [record.chunk])

        comes_back()

    def come_back(self, store: Store, metadata: Sequence[Mapping[str, object]]) -> None:
        """Write a record for each, then rewrite them; they are the same after either.

        :param store: an index.
        :param metadata: of each record.
        """
        records = [make_record(chunk_id(str(number)), metadata=item) for number, item in enumerate(metadata)]
        store.upsert(records)
        check_chunks(store, [record.chunk for record in records])
        store.rewrite([record.chunk for record in records])
        check_chunks(store, [record.chunk for record in records])
