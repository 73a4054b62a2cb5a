"""Stores with one fault each are found out by the contract, in the test that is about that fault."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, settings

from retriever.errors import InvalidInput
from retriever.filters import And, Compare, Exists, In, Not, Or, matches
from retriever.memory import MemoryStore
from retriever.sparse.vector import NOTHING, SparseVector
from retriever.stores import Candidate, Legs, Query
from retriever.testing import StoreContract


class MergesMetadata(MemoryStore):
    def upsert(self, records):
        old = self.fetch([record.chunk.id for record in records])
        merged = []
        for record in records:
            before = old[record.chunk.id].metadata if record.chunk.id in old else {}
            merged.append(replace(record, chunk=replace(record.chunk, metadata={**before, **record.chunk.metadata})))
        super().upsert(merged)


class KeepsOldVectors(MemoryStore):
    def upsert(self, records):
        old = self.vectors([record.chunk.id for record in records])
        super().upsert([replace(record, vector=old.get(record.chunk.id, record.vector)) for record in records])


class KeepsOldTerms(MemoryStore):
    def upsert(self, records):
        old = {record.chunk.id: self._records.get(record.chunk.id, record).terms for record in records}
        super().upsert([replace(record, terms={**old[record.chunk.id], **record.terms}) for record in records])


class AcceptsNaN(MemoryStore):
    def upsert(self, records):
        super().upsert([replace(r, vector=np.nan_to_num(r.vector)) for r in records])


class HalfWrites(MemoryStore):
    def upsert(self, records):
        for record in records:
            super().upsert([record])


class TakesLastOfTwo(MemoryStore):
    def upsert(self, records):
        super().upsert(list({record.chunk.id: record for record in records}.values()))


class MakesUnknownOnRewrite(MemoryStore):
    def rewrite(self, chunks):
        missing = [chunk for chunk in chunks if chunk.id not in self.fetch([chunk.id])]
        super().rewrite(chunks)
        for chunk in missing:
            self._records[chunk.id] = replace(next(iter(self._records.values())), chunk=chunk)


class ForgetsDeletes(MemoryStore):
    def delete(self, chunk_ids):
        super().delete(chunk_ids[:1])


class FailsOnUnknownDeletes(MemoryStore):
    def delete(self, chunk_ids):
        for chunk_id in chunk_ids:
            del self._records[chunk_id]


class KeepsDeletedInKeywords(MemoryStore):
    """As a replica does that is not told."""

    def __init__(self, name=""):
        super().__init__(name)
        self.replica = MemoryStore()

    def create(self, manifest):
        super().create(manifest)
        self.replica.create(manifest)

    def upsert(self, records):
        super().upsert(records)
        self.replica.upsert(records)

    def search(self, query):
        return Legs(super().search(query).semantic, self.replica.search(query).keyword)


class UnfilteredKeywords(MemoryStore):
    def search(self, query):
        everything = super().search(replace(query, filter=None))
        return Legs(super().search(query).semantic, everything.keyword)


class FiltersAfterwards(MemoryStore):
    """The filter is applied to the best of all, so fewer than the depth come."""

    def search(self, query):
        legs = super().search(replace(query, filter=None))
        found = self.fetch([candidate.key for candidate in (*legs.semantic, *legs.keyword)])
        kept = {key for key, chunk in found.items() if matches(query.filter, chunk)}
        return Legs(
            *([candidate for candidate in leg if candidate.key in kept] for leg in (legs.semantic, legs.keyword))
        )


class UnfilteredSparse(MemoryStore):
    def search(self, query):
        return replace(super().search(query), sparse=super().search(replace(query, filter=None)).sparse)


class KeepsOldSparse(MemoryStore):
    def upsert(self, records):
        old = self.sparse_vectors([record.chunk.id for record in records])
        super().upsert([replace(record, sparse=old.get(record.chunk.id, record.sparse)) for record in records])


class SparseCosines(MemoryStore):
    """Scaled by the query's length, which changes no order and every score."""

    def search(self, query):
        legs = super().search(query)
        length = query.sparse.dot(query.sparse) ** 0.5 if query.sparse else 1.0
        return replace(legs, sparse=[Candidate(key, score / length) for key, score in legs.sparse])


class RoundsSparse(MemoryStore):
    def upsert(self, records):
        super().upsert([replace(record, sparse=record.sparse and self.rounded(record.sparse)) for record in records])

    def rounded(self, vector):
        return SparseVector.of(vector.indices, np.round(vector.weights, 2))


class RewritingDropsSparse(MemoryStore):
    def rewrite(self, chunks):
        super().rewrite(chunks)
        for chunk in chunks:
            record = self._records.get(chunk.id)
            if record is not None and record.sparse is not None:
                self._records[chunk.id] = replace(record, sparse=NOTHING)


class RewritesFilters(MemoryStore):
    """Every filter passes through :meth:`changed` on its way."""

    def changed(self, condition):
        match condition:
            case And(children):
                return And(tuple(self.changed(child) for child in children))
            case Or(children):
                return Or(tuple(self.changed(child) for child in children))
            case Not(child):
                return Not(self.changed(child))
        return condition

    def _matching(self, condition):
        return super()._matching(self.changed(condition))


class UnequalDropsMissing(RewritesFilters):
    def changed(self, condition):
        match condition:
            case Not(Compare(key, "eq") as child):
                return And((Not(child), Exists(key)))
        return super().changed(condition)


class TruncatesOperands(RewritesFilters):
    """As a store does that compares with integers."""

    def changed(self, condition):
        match condition:
            case Compare(key, "lt", float(operand)):
                return Compare(key, "lt", float(int(operand)))
        return super().changed(condition)


class TrueIsOne(RewritesFilters):
    def changed(self, condition):
        match condition:
            case Compare(key, "eq", bool(operand)):
                return In(key, (operand, int(operand)))
        return super().changed(condition)


class EqualFindsNumbersOnly(RewritesFilters):
    """A number contains nothing, so texts and lists are what is lost."""

    def changed(self, condition):
        match condition:
            case Compare(key, "eq", operand):
                return And((condition, Not(Compare(key, "contains", operand))))
        return super().changed(condition)


class SubstringsIgnoreCase(RewritesFilters):
    def changed(self, condition):
        match condition:
            case Compare(key, "contains", str(operand)):
                return Or((condition, Compare(key, "contains", operand.capitalize())))
        return super().changed(condition)


class NoSubstrings(RewritesFilters):
    def changed(self, condition):
        match condition:
            case Compare(key, "contains", operand):
                return Compare(key, "eq", operand)
        return super().changed(condition)


class CountsPages(MemoryStore):
    def entries(self, filter=None):  # noqa: A002
        for number, entry in enumerate(super().entries(filter)):
            if number < 1_000:
                yield entry


class ScoresDistances(MemoryStore):
    def search(self, query):
        legs = super().search(query)
        return Legs([Candidate(key, 1 - score) for key, score in legs.semantic], legs.keyword)


class DotProducts(MemoryStore):
    def search(self, query):
        legs = super().search(query)
        if query.vector is None:
            return legs
        length = float(np.linalg.norm(query.vector))
        return Legs([Candidate(key, score * length) for key, score in legs.semantic], legs.keyword)


class SearchesEmptyLegs(MemoryStore):
    def search(self, query):
        return super().search(Query(query.depth, query.vector, query.terms or {"word": 1}, query.filter))


class FilteredStatistics(MemoryStore):
    def _bm25(self, found, terms):
        one = MemoryStore()
        one._records = {record.chunk.id: record for record in found}
        return MemoryStore._bm25(one, found, terms)


class FloatsOfInts(MemoryStore):
    def fetch(self, keys):
        found = super().fetch(keys)
        return {
            key: replace(c, metadata={k: float(v) if type(v) is int else v for k, v in c.metadata.items()})
            for key, c in found.items()
        }


class StripsTexts(MemoryStore):
    def upsert(self, records):
        super().upsert([replace(r, chunk=replace(r.chunk, text=r.chunk.text.strip("\0"))) for r in records])


class FailsOnMissing(MemoryStore):
    def fetch(self, keys):
        self._created()
        return {key: self._records[key].chunk for key in keys}


class HandsOutItsOwnChunks(MemoryStore):
    def fetch(self, keys):
        super().fetch(keys)
        return {key: self._records[key].chunk for key in keys if key in self._records}


class HandsOutItsOwnVectors(MemoryStore):
    def vectors(self, keys):
        super().vectors(keys)
        return {key: self._records[key].vector for key in keys if key in self._records}


class CreatesOver(MemoryStore):
    def create(self, manifest):
        self.destroy()
        super().create(manifest)


class IsThereBeforeCreate(MemoryStore):
    def count(self, filter=None):  # noqa: A002
        return super().count(filter) if self.read_manifest() else 0


class DestroyLeavesRecords(MemoryStore):
    def destroy(self):
        self._manifest = None


class TouchesFiles(MemoryStore):
    def __init__(self, name=""):
        super().__init__(name)
        with open("/dev/null"):  # noqa: PTH123
            pass


FAULTS = [
    (MergesMetadata, "test_upsert_replaces_whole"),
    (MergesMetadata, "test_upsert_may_take_all_metadata_away"),
    (KeepsOldVectors, "test_upsert_replaces_whole"),
    (KeepsOldTerms, "test_upsert_replaces_whole"),
    (KeepsOldTerms, "test_random_histories"),
    (AcceptsNaN, "test_an_unusable_record_writes_nothing[NaN]"),
    (HalfWrites, "test_an_unusable_record_writes_nothing[too short a vector]"),
    (TakesLastOfTwo, "test_an_unusable_record_writes_nothing[one id twice]"),
    (MakesUnknownOnRewrite, "test_rewriting_unknown_chunks_has_no_effect"),
    (ForgetsDeletes, "test_deleting_ignores_unknown_ids"),
    (ForgetsDeletes, "test_random_histories"),
    (FailsOnUnknownDeletes, "test_deleting_ignores_unknown_ids"),
    (KeepsDeletedInKeywords, "test_deleting_ignores_unknown_ids"),
    (KeepsDeletedInKeywords, "test_random_histories"),
    (UnfilteredKeywords, "test_filters_hold_in_both_legs"),
    (UnfilteredKeywords, "test_filters_find_what_the_table_says[eq]"),
    (FiltersAfterwards, "test_filters_hold_in_both_legs"),
    (FiltersAfterwards, "test_random_histories"),
    (UnfilteredSparse, "test_the_sparse_leg_is_that_of_exact_search"),
    (UnfilteredSparse, "test_random_histories"),
    (KeepsOldSparse, "test_sparse_vectors_come_back"),
    (KeepsOldSparse, "test_random_histories"),
    (SparseCosines, "test_scores_are_dot_products"),
    (RoundsSparse, "test_sparse_vectors_come_back"),
    (RewritingDropsSparse, "test_sparse_vectors_come_back"),
    (RewritingDropsSparse, "test_random_histories"),
    (UnequalDropsMissing, "test_filters_find_what_the_table_says[ne]"),
    (UnequalDropsMissing, "test_any_filter_finds_what_python_says[None]"),
    (UnequalDropsMissing, "test_unequal_is_the_complement_of_equal"),
    (TruncatesOperands, "test_filters_find_what_the_table_says[lt]"),
    (TrueIsOne, "test_filters_find_what_the_table_says[eq]"),
    (EqualFindsNumbersOnly, "test_equal_is_in_a_list_of_one"),
    (SubstringsIgnoreCase, "test_filters_find_what_the_table_says[contains]"),
    (NoSubstrings, "test_filters_find_what_the_table_says[contains]"),
    (CountsPages, "test_many_records_and_many_ids"),
    (ScoresDistances, "test_scores_are_cosines"),
    (ScoresDistances, "test_zero_vectors_are_like_nothing"),
    (DotProducts, "test_only_the_direction_of_a_vector_counts[10000.0]"),
    (SearchesEmptyLegs, "test_a_leg_without_its_part_is_not_searched"),
    (FilteredStatistics, "test_statistics_are_those_of_all_records"),
    (FloatsOfInts, "test_every_kind_of_value_comes_back"),
    (StripsTexts, "test_every_kind_of_text_comes_back"),
    (FailsOnMissing, "test_chunks_come_by_key"),
    (HandsOutItsOwnChunks, "test_what_the_store_gave_is_the_callers"),
    (HandsOutItsOwnVectors, "test_what_the_store_gave_is_the_callers"),
    (CreatesOver, "test_creating_twice_is_an_error"),
    (IsThereBeforeCreate, "test_calls_before_create_find_no_index[count]"),
    (DestroyLeavesRecords, "test_destroying_removes_everything"),
    (TouchesFiles, "test_constructing_touches_nothing"),
]


@pytest.mark.parametrize(("store_class", "test"), FAULTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_fault_is_found(store_class, test):
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        run(store_class, test)


@pytest.mark.parametrize("test", sorted({test for _, test in FAULTS}))
def test_without_a_fault_none_is_found(test):
    run(MemoryStore, test)


class WithoutSparse:
    """A third party's store, which has never heard of learned sparse vectors."""

    def __init__(self, name=""):
        self._inner = MemoryStore(name)

    def __getattr__(self, name):
        if name == "sparse_vectors":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_a_store_without_learned_sparse_vectors_says_so():
    class Judged(StoreContract):
        cannot_reopen = "in memory"
        no_sparse = "not yet"
        most_examples = 50

    fixture = StoreContract.sparse_store.__wrapped__
    with pytest.raises(pytest.xfail.Exception, match="not yet"):
        fixture(Judged(), WithoutSparse)
    with pytest.raises(AssertionError, match="take no_sparse away"):
        fixture(Judged(), MemoryStore)
    with generating():
        Judged().test_random_histories(WithoutSparse)


def run(store_class, test):
    """Call a test of the contract as pytest would."""

    class Judged(StoreContract):
        cannot_reopen = "in memory"
        most_examples = 100

    name, _, case = test.partition("[")
    contract, method = Judged(), getattr(Judged, name)

    def new_store(name="index"):
        return store_class(name)

    known = {"new_store": new_store}
    wanted = inspect.signature(method).parameters.keys() - {"self"}
    for fixture in {"store", "sparse_store"} & wanted:
        known[fixture] = getattr(StoreContract, fixture).__wrapped__(contract, new_store)
    for mark in getattr(method, "pytestmark", []):
        known |= chosen(mark, case[:-1])
    with generating():
        method(contract, **{argument: known[argument] for argument in wanted})


@contextmanager
def generating():
    """The same examples every time, and none made smaller: that a fault is found is enough."""
    settings.register_profile("generating", database=None, derandomize=True, max_examples=100, phases=[Phase.generate])
    before = settings.get_current_profile_name()
    settings.load_profile("generating")
    try:
        yield
    finally:
        settings.load_profile(before)


def chosen(mark, case):
    """The value of a parametrised argument whose id is this."""
    argument, values = mark.args
    return {argument: next(value for value in values if str(value) == case)}


class TestOverriding:
    """Leaving a test out needs a strict expected failure with a reason."""

    def override(self, *marks):
        def test_terms_are_exact(self, store):
            raise AssertionError

        for mark in marks:
            test_terms_are_exact = mark(test_terms_are_exact)
        return type("TestMine", (StoreContract,), {"test_terms_are_exact": test_terms_are_exact})

    @pytest.mark.parametrize(
        "marks",
        [
            [],
            [pytest.mark.skip(reason="slow")],
            [pytest.mark.skipif(True, reason="slow")],
            [pytest.mark.xfail],
            [pytest.mark.xfail(strict=True)],
            [pytest.mark.xfail(reason=" ", strict=True)],
            [pytest.mark.xfail(reason="why", strict=False)],
            [pytest.mark.xfail(reason="why")],
            [pytest.mark.xfail(False, reason="why", strict=True)],
            [pytest.mark.xfail(condition=False, reason="why", strict=True)],
        ],
        ids=str,
    )
    def test_silently_is_an_error(self, marks):
        with pytest.raises(InvalidInput, match="TestMine overrides test_terms_are_exact of the contract: mark each"):
            self.override(*marks)

    def test_with_a_reason_is_well(self):
        assert issubclass(self.override(pytest.mark.xfail(reason="why", strict=True)), StoreContract)

    @pytest.mark.parametrize("nothing", [None, property(lambda self: None)])
    def test_taking_a_test_away_is_an_error(self, nothing):
        with pytest.raises(InvalidInput, match="test_random_histories"):
            type("TestMine", (StoreContract,), {"test_random_histories": nothing})

    def test_a_child_inherits_the_reason(self):
        parent = self.override(pytest.mark.xfail(reason="why", strict=True))
        assert type("TestChild", (parent,), {})

    def test_more_tests_are_welcome(self):
        assert type("TestMine", (StoreContract,), {"test_something_else": lambda self: None})
