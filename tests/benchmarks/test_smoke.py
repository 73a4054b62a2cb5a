"""Every benchmark that needs no data and no model, at a size that takes seconds."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import attach, chroma_speed, langchain, query_speed, readers
from benchmarks.__main__ import _cache_of_its_own
from retriever.cache_folder import cache_folder

ROOT = Path(__file__).resolve().parents[2]


def test_queries_are_timed():
    rows = query_speed.run(300, 5)
    assert all(row.measured > 0 for row in rows)
    assert [row.bar for row in rows] == [query_speed.TIMES, *[None] * (len(rows) - 2), query_speed.UPSERT]
    assert ["200" in row.shown["beside it"] for row in rows[:2]] == [True, False]


def test_queries_on_chroma_are_timed():
    writing, queries, *bare = chroma_speed.run(600, 6)
    assert all(row.measured > 0 for row in (writing, queries, *bare))
    assert (writing.bar, queries.bar) == (chroma_speed.UPSERT, chroma_speed.TIMES)


def test_attaching_is_timed_and_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    rows = attach.run(600).rows
    assert [row.verdict for row in rows] == ["pass"] * len(rows)


def test_readers_beside_a_writer_are_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    rows = readers.run(1, 2).rows
    assert [row.verdict for row in rows] == ["pass"] * len(rows)


def test_plugging_into_langchain_is_measured(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    overhead, chain, *loops, concurrency = langchain.run(300, 20, 1, "hashed").rows
    assert (overhead.bar, chain.bar, concurrency.bar) == (langchain.OVERHEAD, None, langchain.TIMES)
    assert {row.labels[1] for row in loops} == set(langchain.LOOPS)
    assert all(row.bar == langchain.HELD and row.measured > 0 for row in loops)
    assert concurrency.measured > 0


def test_an_event_loop_that_is_held_at_the_very_end_is_noticed():
    async def hold():
        await asyncio.sleep(0.02)
        time.sleep(0.2)

    assert max(asyncio.run(langchain._held(hold))) > 150


@pytest.mark.parametrize("side", ["ours", "bare"])
def test_memory_of_each_side(side, tmp_path):
    command = [sys.executable, "-m", "benchmarks.memory_child", side, "50", str(tmp_path / "index")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    result = json.loads(done.stdout)
    assert (result["chunks"], result["failed"]) == (50, 0)
    assert result["written"] > 0
    assert result["peak"] > 0


def test_nothing_stays_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path))
    with _cache_of_its_own():
        inside = cache_folder()
        assert inside.is_dir()
        assert inside != tmp_path
    assert cache_folder() == tmp_path
    assert not inside.exists()
    monkeypatch.delenv("RETRIEVER_CACHE")
    with _cache_of_its_own():
        pass
    assert "RETRIEVER_CACHE" not in os.environ
