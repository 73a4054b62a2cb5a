"""The embedding cache: exact, apart by what makes a vector, bounded, and never in the way."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.embedding import EmbeddingConfig, EmbeddingFunction, TruncationWarning
from retriever.embedding.cache import SETTING, EmbeddingCache, default_cache, text_keys
from retriever.errors import ConfigurationError, EmbeddingError, InvalidInput
from retriever.tokeniser import WordTokeniser

PRINT = {"kind": "test", "dimension": "3"}


class Slow(EmbeddingFunction):
    """Counts what it is asked for; documents and queries differ."""

    kind = "slow"
    dimension = 3
    is_cached = True

    class Config(EmbeddingConfig):
        flavour: str = "plain"

    def __init__(self, config=None):
        super().__init__(config)
        self.given = []

    def _embed(self, texts, role):
        self.given += [(role, text) for text in texts]
        return [[len(text), role == "query", 0.1] for text in texts]


@pytest.fixture(autouse=True)
def switched_on(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(SETTING, "100")
    yield
    monkeypatch.setenv(SETTING, "100")
    default_cache().close()


@pytest.fixture
def cache(tmp_path):
    made = EmbeddingCache(tmp_path / "own" / "vectors.sqlite", 10**8)
    yield made
    made.close()


def test_a_text_is_embedded_once_ever_and_comes_back_exactly():
    first = Slow()
    vectors = first.embed_documents(["a", "bb", "a"])
    assert sorted(first.given) == [("document", "a"), ("document", "bb")]
    second = Slow()
    assert (second.embed_documents(["bb", "ccc", "a"])[[2, 0]] == vectors[:2]).all()
    assert second.given == [("document", "ccc")]


def test_documents_and_queries_and_two_models_never_share_a_vector():
    Slow().embed_documents(["a"])
    query = Slow()
    assert query.embed_query("a")[1] == 1
    assert query.given == [("query", "a")]
    other = Slow(Slow.Config(flavour="vanilla"))
    other.embed_documents(["a"])
    assert other.given == [("document", "a")]


class Short(Slow):
    """Reads four words."""

    kind = "short"
    max_tokens = 4
    tokeniser = WordTokeniser()


def test_a_text_that_is_too_long_is_embedded_once_and_told_of_each_time():
    first, second = Short(), Short()
    for function in (first, second, second):
        with pytest.warns(TruncationWarning, match="the end of 1 of 2 document texts"):
            function.embed_documents(["one two", "one two three four five"])
    assert len(first.given) == 2
    assert second.given == []


def test_a_text_that_is_too_long_is_refused_where_the_settings_say_so_whatever_is_cached():
    with pytest.warns(TruncationWarning):
        Short().embed_documents(["one two three four five"])
    refusing = Short(Short.Config(too_long="error"))
    assert refusing.cache_identity == Short().cache_identity
    with pytest.raises(InvalidInput, match="reads 4 tokens, and the document 'one two three four five' has 5"):
        refusing.embed_documents(["one two three four five"])


def test_canaries_and_fresh_vectors_are_never_from_the_cache():
    Slow().canaries()
    again = Slow()
    again.canaries()
    assert len(again.given) == 4
    again.embed_documents(["The quick brown fox jumps over the lazy dog."], fresh=True)
    assert len(again.given) == 5


def test_the_setting_switches_it_off_and_must_be_a_number(monkeypatch, tmp_path):
    monkeypatch.setenv(SETTING, "0")
    assert default_cache() is None
    for _ in range(2):
        function = Slow()
        function.embed_documents(["a"])
        assert function.given == [("document", "a")]
    assert not (tmp_path / "cache").exists()
    monkeypatch.setenv(SETTING, "many")
    with pytest.raises(ConfigurationError, match=f"{SETTING} is 'many'"):
        Slow().embed_documents(["a"])


def test_nothing_but_hashes_and_vectors_is_on_the_disk(tmp_path):
    Slow().embed_documents(["a very private sentence"])
    raw = b"".join(file.read_bytes() for file in (tmp_path / "cache").iterdir())
    assert raw
    assert b"private" not in raw


vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)


@given(st.dictionaries(st.text(), vectors, max_size=30), st.lists(st.text(), max_size=10))
def test_what_was_added_is_found_bit_for_bit_and_nothing_else(tmp_path_factory, known, others):
    cache = EmbeddingCache(tmp_path_factory.mktemp("cache") / "vectors.sqlite", 10**8)
    keys = text_keys(PRINT, "document", list(known))
    cache.add(keys, np.array(list(known.values()), np.float32).reshape(len(known), 3))
    asked = [*known, *others]
    rows = np.full((len(asked), 3), 7, np.float32)
    missing = cache.find(text_keys(PRINT, "document", asked), rows)
    assert missing == [row for row, text in enumerate(asked) if text not in known]
    for row, text in enumerate(asked):
        wanted = known.get(text, [7, 7, 7])
        assert rows[row].tobytes() == np.array(wanted, np.float32).tobytes()
    cache.close()


def test_keys_depend_on_every_part():
    keys = {
        *text_keys(PRINT, "document", ["a", "b"]),
        *text_keys(PRINT, "query", ["a", "b"]),
        *text_keys({**PRINT, "pooling": "cls"}, "document", ["a", "b"]),
    }
    assert len(keys) == 6
    assert text_keys(dict(reversed(PRINT.items())), "query", ["a"]) == text_keys(PRINT, "query", ["a"])


def test_it_stays_within_its_limit_and_drops_what_was_not_used(tmp_path, monkeypatch):
    limit = 400_000
    cache = EmbeddingCache(tmp_path / "vectors.sqlite", limit)
    day = 20_000
    monkeypatch.setattr("retriever.embedding.cache._today", lambda: day)
    kept = text_keys(PRINT, "document", [f"kept {n}" for n in range(20)])
    cache.add(kept, np.ones((20, 100), np.float32))
    found = np.empty((20, 100), np.float32)
    for turn in range(30):
        day += 1
        names = text_keys(PRINT, "document", [f"{turn} {n}" for n in range(100)])
        cache.add(names, np.zeros((100, 100), np.float32))
        assert cache.find(kept, found) == [], turn
    with sqlite3.connect(tmp_path / "vectors.sqlite") as database:
        (pages,), (size,) = (
            database.execute("pragma page_count").fetchone(),
            database.execute("pragma page_size").fetchone(),
        )
        (count,) = database.execute("select count(*) from floats").fetchone()
    assert pages * size < 1.5 * limit
    assert 300 < count < 1_000
    cache.close()


def test_another_dimension_under_a_key_is_not_taken(cache):
    (key,) = text_keys(PRINT, "document", ["a"])
    cache.add([key], np.ones((1, 4), np.float32))
    assert cache.find([key], np.empty((1, 3), np.float32)) == [0]


@pytest.mark.parametrize(
    "damage",
    [
        "update floats set vector = cast(substr(vector, 1, 5) || x'ff' || substr(vector, 7) as blob) where id = 2",
        "update floats set vector = zeroblob(length(vector)) where id = 2",
        "update floats set vector = (select vector from floats where id = 3) where id = 2",
        "update floats set vector = substr(vector, 1, 8) where id = 2",
        "update floats set vector = x'' where id = 2",
        "delete from floats where id = 2",
        "update texts set id = 99 where id = 2",
    ],
)
def test_a_damaged_vector_is_not_found_and_is_made_anew(tmp_path, cache, damage):
    keys = text_keys(PRINT, "document", [str(n) for n in range(5)])
    rows = np.arange(15, dtype=np.float32).reshape(5, 3) + 1
    cache.add(keys, rows)
    with sqlite3.connect(tmp_path / "own" / "vectors.sqlite") as other:
        other.execute(damage)
    found = np.zeros((5, 3), np.float32)
    assert cache.find(keys, found) == [1]
    assert found.tolist() == [rows[n].tolist() if n != 1 else [0, 0, 0] for n in range(5)]
    cache.add(keys[1:2], rows[1:2])
    assert cache.find(keys, found) == []
    assert (found == rows).all()


def test_a_key_that_only_begins_alike_is_not_found(cache):
    (key,) = text_keys(PRINT, "document", ["a"])
    alike = key[:8] + bytes(8)
    cache.add([key], np.ones((1, 3), np.float32))
    assert cache.find([alike], np.empty((1, 3), np.float32)) == [0]
    cache.add([alike], np.full((1, 3), 2, np.float32))  # takes its place
    found = np.empty((1, 3), np.float32)
    assert cache.find([alike], found) == []
    assert found.tolist() == [[2, 2, 2]]
    assert cache.find([key], found) == [0]


@pytest.mark.parametrize("width", [1, 100, 384, 700, 3_072])
def test_file_and_log_together_stay_within_the_limit(tmp_path, width):
    path, limit = tmp_path / "vectors.sqlite", 3_000_000
    cache = EmbeddingCache(path, limit)
    rows = np.random.default_rng(0).random((8_000 // (width + 20) + 50, width), dtype=np.float32)
    most = 0
    for turn in range(2 * limit // (rows.nbytes + 100 * len(rows))):
        keys = text_keys(PRINT, "document", [f"{turn} {n}" for n in range(len(rows))])
        cache.add(keys, rows)
        assert cache.find(keys, np.empty_like(rows)) == [], "the newest are there"
        most = max(most, sum(file.stat().st_size for file in (path, tmp_path / "vectors.sqlite-wal")))
    assert most <= limit
    assert most > limit / 2, "and it is used"
    cache.close()


def test_a_cache_whose_limit_was_lowered_shrinks_to_it_by_and_by(tmp_path):
    path = tmp_path / "vectors.sqlite"
    large = EmbeddingCache(path, 10**8)
    names = [str(n) for n in range(12_000)]
    large.add(text_keys(PRINT, "document", names), np.ones((12_000, 50), np.float32))
    large.close()
    small = EmbeddingCache(path, 10**6)
    for turn in range(4):
        small.add(text_keys(PRINT, "query", [f"{turn}"]), np.ones((1, 50), np.float32))
    with sqlite3.connect(path) as database:
        assert database.execute("select count(*) from floats").fetchone()[0] * 200 < 10**6
    assert small.find(text_keys(PRINT, "query", ["3"]), np.empty((1, 50), np.float32)) == []
    small.close()


def test_use_on_another_day_writes_no_vector_anew(tmp_path, monkeypatch):
    path, day = tmp_path / "vectors.sqlite", 20_000
    monkeypatch.setattr("retriever.embedding.cache._today", lambda: day)
    cache = EmbeddingCache(path, 10**8)
    keys, rows = text_keys(PRINT, "document", [str(n) for n in range(2_000)]), np.ones((2_000, 384), np.float32)
    cache.add(keys, rows)
    cache.close()
    day += 1
    again = EmbeddingCache(path, 10**8)
    assert again.find(keys, rows) == []
    assert path.with_name("vectors.sqlite-wal").stat().st_size < rows.nbytes / 4
    again.close()
    with sqlite3.connect(path) as database:
        assert database.execute("select distinct used from texts").fetchall() == [(day,)]


@pytest.mark.parametrize(
    "schema",
    [
        "create table vectors (key blob primary key, vector blob not null, used integer not null);"
        "create index by_use on vectors (used);",
        "create table embeddings (key integer primary key, vector blob not null);"
        "create table keys (key blob primary key, id integer not null, used integer not null) without rowid;"
        "create index by_use on keys (used, id);",
    ],
)
def test_the_tables_of_another_version_do_not_take_the_room(tmp_path, schema):
    path = tmp_path / "vectors.sqlite"
    with sqlite3.connect(path) as database:
        database.executescript(schema)
        large = schema.split()[2]
        database.executemany(
            f"insert into {large} values (?, ?{', 1' if large == 'vectors' else ''})",
            [(n, bytes(1_000)) for n in range(3_000)],
        )
    cache = EmbeddingCache(path, 2 * 2**20)
    keys = text_keys(PRINT, "document", [str(n) for n in range(5)])
    rows = np.arange(15, dtype=np.float32).reshape(5, 3)
    cache.add(keys, rows)
    assert cache.find(keys, rows) == []
    cache.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, None])
def test_a_file_that_is_no_cache_is_told_of_once_and_work_goes_on(tmp_path, damage):
    path = tmp_path / "cache" / "embeddings.sqlite"
    path.parent.mkdir()
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage)
    function = Slow()
    with pytest.warns(RuntimeWarning, match=r"embeddings\.sqlite is not used"):
        function.embed_documents(["a"])
    function.embed_documents(["a"])
    assert function.given == [("document", "a")] * 2


def _fill(path, start):
    cache = EmbeddingCache(path, 10**8)
    for turn in range(20):
        numbers = range(start + turn * 50, start + turn * 50 + 100)  # half of them twice
        keys = text_keys(PRINT, "document", [str(n) for n in numbers])
        rows = np.array([[n, n, n] for n in numbers], np.float32)
        while cache.find(keys, rows.copy()):  # nothing is kept while another process writes for long
            cache.add(keys, rows)
    cache.close()


def test_processes_share_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "vectors.sqlite"
    children = [context.Process(target=_fill, args=(path, n * 500)) for n in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    cache = EmbeddingCache(path, 10**8)
    rows = np.empty((2_050, 3), np.float32)
    assert cache.find(text_keys(PRINT, "document", [str(n) for n in range(2_050)]), rows) == []
    assert (rows[:, 0] == np.arange(2_050)).all()
    cache.close()


def test_threads_share_it(cache):
    errors = []

    def work(start):
        try:
            for turn in range(20):
                names = [str(n) for n in range(start + turn, start + turn + 30)]
                keys, rows = text_keys(PRINT, "query", names), np.empty((30, 3), np.float32)
                for row in cache.find(keys, rows):
                    rows[row] = float(names[row])
                cache.add(keys, rows)
                assert rows[:, 0].tolist() == [float(name) for name in names]
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n * 10,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def _keep(cache, name):
    names = [f"{name} {n}" for n in range(200)]
    keys, rows = text_keys(PRINT, "document", names), np.ones((200, 3), np.float32)
    while cache.find(keys, rows.copy()):
        cache.add(keys, rows)
    return keys


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_writes_loses_nothing_and_hangs_nobody(cache):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            _keep(cache, "parent")

    thread = threading.Thread(target=write)
    thread.start()
    context = multiprocessing.get_context("fork")
    try:
        children = [context.Process(target=_keep, args=(cache, f"child {n}")) for n in range(5)]
        for child in children:
            child.start()
        for child in children:
            child.join(30)
    finally:
        stop.set()
        thread.join()
    assert [child.exitcode for child in children] == [0] * 5
    rows = np.empty((200, 3), np.float32)
    for name in ("parent", *(f"child {n}" for n in range(5))):
        assert cache.find(text_keys(PRINT, "document", [f"{name} {n}" for n in range(200)]), rows) == []


def test_a_database_that_others_write_is_passed_over_and_used_again(tmp_path):
    Slow().embed_documents(["known"])
    other = sqlite3.connect(tmp_path / "cache" / "embeddings.sqlite", isolation_level=None)
    other.execute("begin immediate")
    try:
        function = Slow()
        function.embed_documents(["known", "new"])
        assert function.given == [("document", "new")]
    finally:
        other.execute("rollback")
        other.close()
    again = Slow()
    again.embed_documents(["new"])
    again.embed_documents(["new"])
    assert again.given == [("document", "new")]


def test_classes_of_ones_own_are_not_cached_unless_they_say_so():
    class Plain(Slow):
        is_cached = False

    for _ in range(2):
        function = Plain()
        function.embed_documents(["a"])
        assert function.given == [("document", "a")]
    assert EmbeddingFunction.is_cached is False


def test_a_large_call_keeps_what_is_done_before_an_error(monkeypatch):
    monkeypatch.setattr("retriever.embedding.base._KEPT_AT_ONCE", 10)

    class Failing(Slow):
        def _embed(self, texts, role):
            if len(self.given) >= 20:
                raise EmbeddingError("gone")
            return super()._embed(texts, role)

    names = [f"text {n}" for n in range(100)]
    with pytest.raises(EmbeddingError):
        Failing().embed_documents(names)
    again = Slow()
    again.embed_documents(names)
    assert len(again.given) == 80


def test_a_file_that_another_process_is_making_is_used_later(tmp_path):
    """The first call cannot make its table, and must not be left with a connection without one."""
    path = tmp_path / "cache" / "embeddings.sqlite"
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("create table another (x)")
    other.execute("begin exclusive")
    try:
        function = Slow()
        function.embed_documents(["a"])
    finally:
        other.execute("rollback")
        other.close()
    again = Slow()
    again.embed_documents(["a"])
    again.embed_documents(["a"])
    assert again.given == [("document", "a")]
