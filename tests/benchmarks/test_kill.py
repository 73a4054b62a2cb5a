from collections import Counter

from benchmarks.kill import Course, moments
from benchmarks.kill_compare import differences
from retriever.stores import Entry

COURSE = Course(chunks=10_000, starting=2.0, writing=40.0, optimising=4.0)


def entry(chunk_id: str, document_id: str, digest: str) -> Entry:
    values = {"chunk_id": chunk_id, "document_id": document_id, "hash": digest}
    return Entry(**{**dict.fromkeys(Entry._fields, ""), **values})


def test_moments_are_spread_over_all_phases():
    plan = moments(50, 0, COURSE)
    assert Counter(moment.phase for moment in plan) == {"starting": 10, "writing": 30, "optimising": 10}
    assert all(0 <= moment.delay <= {"starting": 2, "writing": 1.024, "optimising": 4}[moment.phase] for moment in plan)
    targets = [moment.chunks for moment in plan if moment.phase == "writing"]
    assert targets == sorted(targets)
    assert targets[0] < 2_000 < 8_000 < targets[-1] < 10_000


def test_the_very_start_comes_first_and_the_end_last():
    phases = [moment.phase for moment in moments(50, 0, COURSE)]
    assert phases[:3] == ["starting"] * 3
    assert phases[-10:] == ["optimising"] * 10
    assert "starting" in phases[3:40]


def test_the_seed_decides():
    assert moments(50, 1, COURSE) == moments(50, 1, COURSE) != moments(50, 2, COURSE)


def test_any_number_of_kills():
    assert [len(moments(kills, 0, COURSE)) for kills in (1, 4, 5, 7, 50)] == [1, 4, 5, 7, 50]
    assert len(moments(5, 0, Course(chunks=0, starting=1.0, writing=0.0, optimising=0.0))) == 5


def test_ledgers_are_compared_entry_by_entry():
    a, b, c = entry("1", "one", "x"), entry("2", "one", "y"), entry("3", "two", "z")
    assert differences(Counter([a, b]), Counter([a, b])) == {"missing": 0, "extra": 0, "twice": 0}
    assert differences(Counter([a, b]), Counter([b, c])) == {"missing": 1, "extra": 1, "twice": 0}
    assert differences(Counter([a, b]), Counter([a, a, b])) == {"missing": 0, "extra": 0, "twice": 1}
    rewritten = b._replace(hash="old")
    assert differences(Counter([a, b]), Counter([a, b, rewritten])) == {"missing": 0, "extra": 1, "twice": 1}
