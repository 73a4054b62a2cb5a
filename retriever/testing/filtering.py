"""The contract, part: filters mean the same on every store, in every way of asking."""

# ruff: noqa: S101 - assertions are what a test is made of
from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.filters import Compare, Exists, Filter, In, Not, parse_filter
from retriever.manifest import FieldType
from retriever.stores import Record, Store
from retriever.testing import strategies
from retriever.testing.base import ContractPart, NewStore
from retriever.testing.filter_cases import CASES, case_records
from retriever.testing.oracle import clear, expected, matching_ids
from retriever.testing.samples import chunk_id, make_manifest, make_record
from retriever.types import Scalar


@st.composite
def stored(draw: st.DrawFn) -> list[Record]:
    """Some records with random metadata in random documents, each with the term ``word``.

    :param draw: given by hypothesis.
    """
    items = draw(st.lists(st.tuples(strategies.metadata, strategies.places), min_size=3, max_size=8))
    return [make_record(chunk_id(str(n)), metadata=item, **place) for n, (item, place) in enumerate(items)]


def replace_all(store: Store, records: list[Record]) -> list[dict[str, Any]]:
    """Make these the only records.

    :param store: an index.
    :param records: with distinct ids.
    :return: their metadata.
    """
    clear(store)
    store.upsert(records)
    return [dict(record.chunk.metadata) for record in records]


class Filtering(ContractPart):
    """Counts, ledger and both legs agree with :func:`retriever.filters.matches`."""

    @pytest.mark.parametrize("group", CASES)
    def test_filters_find_what_the_table_says(self, new_store: NewStore, group: str) -> None:
        """The cases that were written by hand, a group at a time."""
        store = new_store()
        store.create(make_manifest(filter_fields={"lang": "keyword"}))
        records = case_records()
        store.upsert(records)
        letters = {record.chunk.id: letter for letter, record in zip("abcdefghijklmnopqrs", records, strict=True)}
        answers = {}
        for written, answer in CASES[group]:
            condition = parse_filter(written)
            answers[str(written)] = ("".join(sorted(letters[i] for i in matching_ids(store, condition))), answer)
        assert {case: pair for case, pair in answers.items() if pair[0] != pair[1]} == {}

    @pytest.mark.parametrize("kind", [None, "keyword", "number", "bool"])
    def test_any_filter_finds_what_python_says(self, new_store: NewStore, kind: FieldType | None) -> None:
        """A law, without payload indexes, and with one on the commonest keys, of a type that often does not fit."""
        store = new_store()
        store.create(make_manifest(filter_fields=dict.fromkeys(strategies.KEYS[:5], kind) if kind else {}))

        @self.law_settings()
        @given(stored(), st.data())
        def agrees(records: list[Record], data: st.DataObject) -> None:
            metadata = replace_all(store, records)
            for condition in data.draw(st.lists(strategies.filters(metadata), min_size=1, max_size=4)):
                assert matching_ids(store, condition) == expected(records, condition), condition

        agrees()

    def test_equal_is_in_a_list_of_one(self, store: Store) -> None:
        """A law."""

        @self.law_settings()
        @given(stored(), st.data())
        def agrees(records: list[Record], data: st.DataObject) -> None:
            operands = strategies.operands_of(replace_all(store, records))
            for key, operand in data.draw(st.lists(operands, min_size=1, max_size=4)):
                equal = matching_ids(store, Compare(key, "eq", operand))
                assert equal == matching_ids(store, In(key, (operand,))), (key, operand)

        agrees()

    def test_unequal_is_the_complement_of_equal(self, store: Store) -> None:
        """A law, for every operator: missing keys are in the complement."""

        @self.law_settings(0.5)
        @given(stored(), st.data())
        def complements(records: list[Record], data: st.DataObject) -> None:
            metadata = replace_all(store, records)
            everything = {record.chunk.id for record in records}
            for condition in data.draw(st.lists(strategies.filters(metadata), min_size=1, max_size=3)):
                assert matching_ids(store, Not(condition)) == everything - matching_ids(store, condition)

        complements()

    def test_neighbouring_floats_are_told_apart(self, store: Store) -> None:
        """All operators where a unit in the last place decides; alone and in lists."""
        drifting = strategies.DRIFTING
        around = sorted({v for d in drifting for v in (d, math.nextafter(d, math.inf), math.nextafter(d, -math.inf))})
        lists: list[Any] = [[around[3], 1], *([value, 0, -0.0] for value in around)]
        values = [*around, *lists, 7, "7", True, *map(str, around)]
        records = [make_record(chunk_id(str(number)), metadata={"a": value}) for number, value in enumerate(values)]
        store.upsert(records)
        bounds: list[Scalar] = [*around, 0, 2**53, 1e300]
        for bound in bounds:
            compared: list[Filter] = [Compare("a", op, bound) for op in ("eq", "gt", "gte", "lt", "lte", "contains")]
            for condition in (*compared, In("a", (bound, "7", True)), Exists("a")):
                answer = expected(records, condition)
                assert {entry.chunk_id for entry in store.entries(condition)} == answer, condition
                assert store.count(Not(condition)) == len(records) - len(answer), condition

    def test_any_key_can_be_asked_for(self, store: Store) -> None:
        """Also keys that mean something to the store's own language, and none that was not written."""
        records = [make_record(chunk_id(key), metadata={key: key}) for key in strategies.KEYS]
        store.upsert(records)
        for key in [*strategies.KEYS, "b", "c", "say so", "d", "e", "0", "a.", "$", "A"]:
            assert matching_ids(store, Exists(key)) == expected(records, Exists(key)), key
            assert matching_ids(store, Compare(key, "eq", key)) == expected(records, Exists(key)), key

    def test_long_operands(self, store: Store) -> None:
        """Values of 100,000 characters are told apart by their last one, and by their first."""
        values = ["x" * 100_000 + end for end in ("", "a", "b")] + ["b" + "x" * 100_000]
        records = [make_record(chunk_id(str(number)), metadata={"k": value}) for number, value in enumerate(values)]
        store.upsert(records)
        for value in [*values, "x" * 99_999]:
            assert matching_ids(store, Compare("k", "eq", value)) == expected(records, Compare("k", "eq", value))
        assert matching_ids(store, Compare("k", "contains", "xa")) == {records[1].chunk.id}
