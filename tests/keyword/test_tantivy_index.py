"""The replica on tantivy: what it ranks, what it keeps, what a commit means."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retriever.errors import MissingExtra, NotAStore, StoreError, StoreLocked
from retriever.filters import And, Compare, Exists, Not, Reserved, parse_filter
from retriever.keyword.index import KeywordRecord
from retriever.keyword.tantivy_index import TantivyIndex
from retriever.memory import MemoryStore
from retriever.stores import Query, Record
from retriever.testing.samples import make_manifest
from retriever.testing.strategies import any_text
from retriever.types import Chunk


def make(name, terms=None, digest="", **metadata) -> KeywordRecord:
    return KeywordRecord(Chunk(name, "doc", "", 0, 0, metadata), terms if terms is not None else {"word": 1}, digest)


def write(index, *records, position="here", delete=()) -> TantivyIndex:
    assert index.lock()
    index.upsert(records)
    index.delete(delete)
    index.commit(position)
    return index


@pytest.fixture(params=["memory", "folder"])
def index(request, tmp_path):
    index = TantivyIndex(None if request.param == "memory" else tmp_path / "deep" / "index")
    yield index
    index.close()


def keys(candidates) -> list[str]:
    return [candidate.key for candidate in candidates]


def test_before_the_first_commit_there_is_nothing(tmp_path):
    index = TantivyIndex(tmp_path / "index")
    assert (index.position(), index.count(), index.search({"word": 1}, 5), index.digests()) == (None, 0, [], {})
    assert index.matching(Exists("a")) == ([], True)
    assert index.is_exact(Compare("a", "contains", "x"))
    index.refresh()
    index.rollback()
    index.close()
    assert not (tmp_path / "index").exists()
    assert index.lock()
    assert (index.position(), index.count()) == (None, 0)
    index.rollback()
    assert index.position() is None


def test_a_commit_is_all_or_nothing(index):
    write(index, make("a"), make("b"), position="one")
    assert index.lock()
    index.upsert([make("c"), make("a", {"other": 1})])
    index.delete(["b"])
    assert (index.position(), index.count(), keys(index.search({"word": 1}, 9))) == ("one", 2, ["a", "b"])
    index.rollback()
    index.rollback()
    assert (index.position(), index.count(), keys(index.search({"word": 1}, 9))) == ("one", 2, ["a", "b"])
    write(index, make("c"), make("a", {"other": 1}), delete=["b", "unknown"], position="two")
    assert (index.position(), index.count(), keys(index.search({"word": 1}, 9))) == ("two", 2, ["c"])
    write(index, position="三\0\n" * 40_000)
    assert index.position() == "三\0\n" * 40_000
    assert index.count() == 2


def test_the_last_of_several_records_with_one_id_stays(index):
    write(index, make("a", {"one": 1}, "1"), make("a", {"two": 1}, "2"), make("b"), delete=["b"])
    assert index.digests() == {"a": "2"}
    assert index.search({"one": 1}, 5) == []
    assert index.lock()
    index.upsert([make("c")])
    index.clear()
    index.upsert([make("d", digest="4")])
    index.commit("cleared")
    assert index.digests() == {"d": "4"}
    assert index.count() == 1


def test_digests_of_some(index):
    write(index, *(make(f"c{number}", digest=f"中{number}") for number in range(2_000)))
    wanted = [f"c{number}" for number in range(1_000, 3_000)]
    assert index.digests(wanted) == {f"c{number}": f"中{number}" for number in range(1_000, 2_000)}
    assert index.digests([]) == {}
    assert len(index.digests()) == 2_000


def test_the_note_is_no_record(index):
    write(index, make("n"), make("", {"n": 1}), make("a", {}), position="n")
    assert index.count() == 3
    assert set(index.digests()) == {"n", "", "a"}
    assert index.digests(["", "n", "x"]) == {"n": "", "": ""}
    assert sorted(index.matching(Not(Exists("k"))).ids) == sorted(index.matching(And(())).ids) == ["", "a", "n"]
    assert keys(index.search({"n": 1}, 5)) == [""]
    write(index, delete=["n"], position="m")
    assert (index.position(), index.count()) == ("m", 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(any_text, st.dictionaries(any_text, st.integers(1, 3), max_size=4)), max_size=5))
def test_terms_and_ids_may_be_any_text(drawn):
    records = {name: make(name, terms, name[:1]) for name, terms in drawn}
    index = write(TantivyIndex(), *records.values())
    assert index.digests() == {name: record.digest for name, record in records.items()}
    for wanted in {term for record in records.values() for term in record.terms}:
        answer = sorted(name for name, record in records.items() if wanted in record.terms)
        assert sorted(keys(index.search({wanted: 1}, 10))) == answer
    write(index, delete=records)
    assert index.count() == 0


def test_terms_and_ids_may_be_long_and_a_record_huge(index):
    long = ["x" * 100_000, "x" * 100_001, "中" * 251, "a b", "a\x1fb", "\x1e", "", "\n"]
    huge = {f"term{number}": number % 50 + 1 for number in range(100_000)}  # 2.5 million tokens
    write(index, make("y" * 100_000, Counter(long)), make("y" * 100_001, Counter(long[:1])), make("huge", huge))
    for place, term in enumerate(long):
        assert len(index.search({term: 1}, 5)) == (2 if place == 0 else 1), term[:10]
    assert keys(index.search({"term99999": 1}, 5)) == ["huge"]
    assert index.search({"x" * 99_999: 1}, 5) == []
    write(index, delete=["y" * 100_000, "huge"])
    assert set(index.digests()) == {"y" * 100_001}


def test_equal_scores_come_in_the_order_of_ids(index):
    for name in ("c", "a", "d"):
        write(index, make(name))
    write(index, make("b", {"word": 1, "more": 5}))
    assert keys(index.search({"word": 1}, 9)) == ["a", "c", "d", "b"]
    assert len(index.search({"word": 1}, 2)) == 2
    assert index.search({}, 9) == index.search({"absent": 1}, 9) == []


def corpus(count: int) -> list[KeywordRecord]:
    choose = random.Random(5)
    words = [f"w{number}" for number in range(2_000)]
    weights = [1 / (number + 1) for number in range(2_000)]
    return [
        make(f"c{number}", Counter(choose.choices(words, weights, k=choose.randint(5, 200))), year=number % 10)
        for number in range(count)
    ]


def test_ranking_is_that_of_exact_bm25(index):
    records = corpus(1_500)
    write(index, *records)
    oracle = MemoryStore()
    oracle.create(make_manifest())
    oracle.upsert([Record(record.chunk, np.zeros(4, dtype=np.float32), record.terms) for record in records])
    choose = random.Random(6)
    overlaps = []
    for condition in (None, Compare("year", "gte", 4), Not(Compare("year", "eq", 3))):
        for _ in range(40):
            terms = Counter(f"w{int(choose.paretovariate(0.5)) % 2_000}" for _ in range(choose.randint(1, 6)))
            exact = oracle.search(Query(len(records), terms=terms, filter=condition)).keyword
            candidates = index.search(terms, len(records), condition)
            assert set(keys(candidates)) == set(keys(exact))
            assert candidates == sorted(candidates, key=lambda c: (-c.score, c.key))
            close = dict(exact)
            assert all(score == pytest.approx(close[key], rel=0.12) for key, score in candidates)
            # Ties and what one byte of length makes ties: a hit is right if its exact score is among the best.
            best = exact[9].score * 0.999 if len(exact) > 9 else 0.0
            overlaps.append(sum(close[key] >= best for key in keys(candidates[:10])) / max(1, len(candidates[:10])))
            assert index.search(terms, 10, condition)[:1] == candidates[:1]
    assert sum(overlaps) / len(overlaps) >= 0.9


def test_a_filter_does_not_touch_scores(index):
    write(index, *corpus(300))
    terms = {"w1": 2, "w7": 1}
    scores = dict(index.search(terms, 300))
    for condition in (Compare("year", "eq", 3), Not(Compare("year", "lt", 5)), Compare(Reserved.DOCUMENT, "eq", "doc")):
        found = index.search(terms, 300, condition)
        assert found
        assert all(scores[key] == pytest.approx(score) for key, score in found)


def test_a_term_asked_for_twice_counts_twice(index):
    write(index, *corpus(300))
    once, twice = dict(index.search({"w9": 1}, 300)), dict(index.search({"w9": 2}, 300))
    assert once
    assert twice == {key: pytest.approx(2 * score) for key, score in once.items()}


def test_many_small_commits_leave_few_segments_and_files(tmp_path):
    index = TantivyIndex(tmp_path / "index")
    for commit in range(150):
        names = [f"c{commit}-{number}" for number in range(5)]
        write(index, *map(make, names), delete=[f"c{commit - 1}-0"], position=str(commit))
    assert index.count() == 150 * 5 - 149
    assert index._view().searcher.num_segments <= 20
    assert len(list((tmp_path / "index" / "tantivy").iterdir())) <= 200
    assert len(keys(index.search({"word": 1}, 2_000))) == index.count()


def test_changes_need_the_lock_and_one_writer_has_it(tmp_path):
    first, second = TantivyIndex(tmp_path / "index"), TantivyIndex(tmp_path / "index")
    for change in (
        lambda: first.upsert([make("a")]),
        lambda: first.delete(["a"]),
        first.clear,
        lambda: first.commit(""),
    ):
        with pytest.raises(StoreError, match=r"lock\(\)"):
            change()
    assert first.lock()
    assert not first.lock()
    assert not second.lock()
    with pytest.raises(StoreLocked):
        second.destroy()
    first.upsert([make("a")])
    first.commit("one")
    assert second.lock()
    assert second.position() == "one"
    second.rollback()
    assert first.lock()
    first.close()
    assert second.lock()
    second.close()


def test_an_error_of_the_caller_passes_and_rollback_frees(index):
    def broken():
        yield make("a")
        raise KeyError("of the caller")

    assert index.lock()
    with pytest.raises(KeyError):
        index.upsert(broken())
    index.rollback()
    assert index.count() == 0
    write(index, make("b"))
    assert set(index.digests()) == {"b"}


def test_readers_see_what_they_refresh_to(tmp_path):
    writer, reader = TantivyIndex(tmp_path / "index"), TantivyIndex(tmp_path / "index")
    assert reader.position() is None
    write(writer, make("a"), position="one")
    assert reader.position() == "one"
    write(writer, make("b"), delete=["a"], position="two")
    assert (reader.position(), set(reader.digests())) == ("one", {"a"})
    reader.refresh()
    assert (reader.position(), set(reader.digests())) == ("two", {"b"})
    write(reader, make("c"), position="three")
    writer.refresh()
    assert (writer.position(), writer.count()) == ("three", 2)
    writer.close()
    assert writer.position() == "three"


def test_destroying_removes_what_is_ours_and_nothing_else(tmp_path):
    folder = tmp_path / "index"
    index = write(TantivyIndex(folder), make("a"))
    (folder / "notes.txt").write_text("mine")
    index.destroy()
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert index.position() is None
    write(index, make("a"))
    (folder / "notes.txt").unlink()
    assert index.lock()
    index.destroy()
    assert not folder.exists()
    index.destroy()
    assert not folder.exists()


def test_files_of_others_are_left_alone(tmp_path):
    other = tmp_path / "index" / "tantivy"
    other.mkdir(parents=True)
    (other / "meta.json").write_text("{}")
    index = TantivyIndex(tmp_path / "index")
    assert index.position() is None
    with pytest.raises(NotAStore, match="other files"):
        index.lock()
    index.destroy()
    assert [path.name for path in other.iterdir()] == ["meta.json"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="readable and writable"):
        TantivyIndex(tmp_path / "file").lock()


def test_an_index_in_memory_is_destroyed_and_closed(index):
    write(index, make("a"))
    index.close()
    assert index.count() == 1
    index.destroy()
    assert (index.position(), index.count()) == (None, 0)
    write(index, make("b"))
    assert set(index.digests()) == {"b"}


def test_threads_search_while_another_writes(index):
    write(index, *(make(f"c{number}", batch=0) for number in range(50)), position="0")
    done = threading.Event()
    failures: list[object] = []

    def search():
        while not done.is_set():
            index.refresh()
            try:
                candidates = index.search({"word": 1}, 200, parse_filter({"batch": {"$gte": 0}}))
            except Exception as error:
                failures.append(error)
                return
            if len(candidates) != 50 or len(set(keys(candidates))) != 50:
                failures.append(len(candidates))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for batch in range(1, 20):
        write(index, *(make(f"c{number}", batch=batch) for number in range(50)), position=str(batch))
    done.set()
    for thread in threads:
        thread.join(10)
    assert failures == []
    assert len(index.matching(Compare("batch", "eq", 19)).ids) == 50


def test_a_missing_package_names_its_extra(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tantivy", "retriever.keyword.tantivy"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tantivy", None)
    with pytest.raises(MissingExtra, match=r"hybrid-retriever\[chroma\]"):
        import retriever.keyword.tantivy_index  # noqa: F401


def test_the_protocol_is_kept():
    from retriever.keyword.index import KeywordIndex

    index: KeywordIndex = TantivyIndex()
    promised = {name for name in vars(KeywordIndex) if not name.startswith("_")}
    assert promised <= set(dir(index))
    done = subprocess.run(
        [sys.executable, "-c", "import retriever.keyword.index, sys; print('tantivy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
