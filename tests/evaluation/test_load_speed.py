"""The whole measurement of one system, its memory, its disk and its cold start, on real engines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import benchmarks.peers  # noqa: F401 - it registers
from retriever.errors import InvalidInput, StoreError
from retriever.evaluation.load.cold import cold_start, drop_page_cache
from retriever.evaluation.load.resources import memory_of
from retriever.evaluation.load.speed import LoadSettings, SpeedFigures, measure_system
from retriever.evaluation.systems import Passage, Question, find_system

pytestmark = pytest.mark.slow

COUNT, DIMENSION = 400, 16
RANDOM = np.random.default_rng(5)
VECTORS = RANDOM.standard_normal((COUNT, DIMENSION), dtype=np.float32)
PASSAGES = [Passage(f"p{n}", f"d{n // 4}", f"word{n % 40} and word{n} of a text") for n in range(COUNT)]
QUESTIONS = [Question(f"word{n}", VECTORS[n] + 0.1) for n in range(0, COUNT, 10)]
SETTINGS = LoadSettings(
    requests=60, seconds=2, capacity_seconds=0.3, clients=(1, 2), shares=(0.2, 0.6), queries=20, warm_up=5
)


@pytest.mark.parametrize(
    "name", ["edge", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bare-edge", "bm25s", "chroma-server"))]
)
def test_a_system_is_measured_from_empty_to_cold(name: str, tmp_path: Path) -> None:
    pytest.importorskip(next(iter(find_system(name).needs), "numpy"))
    cls = find_system(name)
    settings = {"filter_fields": SETTINGS.filter_fields()} if "filter_fields" in cls.takes else {}
    system = cls(tmp_path, None, settings)
    told: list[str] = []
    vectors = VECTORS if "semantic" in cls.legs else None
    figures = measure_system(system, PASSAGES, vectors, QUESTIONS, SETTINGS, 1, told.append)
    assert SpeedFigures.model_validate_json(figures.model_dump_json()) == figures
    assert figures.ingest.passages == COUNT
    assert 0 < figures.ingest.acknowledged <= figures.ingest.searchable
    assert figures.capacity.rate > 0
    assert [step.share for step in figures.load] == [0.2, 0.6]
    assert all(not step.latency.errors and step.latency.p50.value > 0 for step in figures.load)
    assert figures.generator is not None
    assert figures.generator.p50.value < figures.load[0].latency.p50.value
    assert told[0] == "ingest"
    if vectors is None:
        assert figures.ann_recall is None
        assert not figures.filtered
    else:
        assert figures.ann_recall == 1.0  # so few are searched exactly
        assert [found.share for found in figures.filtered] == [0.01, 0.1, 0.5]
        assert all(found.recall == 1.0 for found in figures.filtered)
    if cls.kind == "ours":
        assert figures.query is not None
        assert "legs" in figures.query.seconds
        assert figures.ingest.stages is not None
        assert figures.ingest.stages.residual < 0.1
    if cls.is_persistent:
        assert figures.disk is not None
        assert figures.disk > COUNT * DIMENSION * 4
        assert figures.cold is not None
        assert figures.cold.first > figures.cold.second > 0
        assert figures.cold.memory is not None
    else:
        assert figures.disk is None
        assert figures.cold is None


@pytest.mark.slow
def test_the_memory_of_a_server_is_not_that_of_this_process(tmp_path: Path) -> None:
    with find_system("bare-chroma-server")(tmp_path) as system:
        assert memory_of(system.processes()) is None  # it has not been started
        system.ingest(PASSAGES, VECTORS)
        assert os.getpid() not in system.processes()
        memory = memory_of(system.processes())
        assert memory is not None
        assert memory.resident > 10_000_000


def test_memory_of_children_counts_and_of_the_dead_does_not() -> None:
    hold = "x = bytearray(60_000_000); x[::4096] = x[::4096]; print(1, flush=True); input()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory = memory_of([process.pid])
        assert memory is not None
        assert memory.resident > 60_000_000
        assert memory.peak is None or memory.peak >= 60_000_000
        process.communicate(b"\n")
    ended = memory_of([process.pid])
    assert ended is not None
    assert ended.resident == 0
    assert memory_of([]) is None


def test_a_cold_start_that_fails_says_why(tmp_path: Path) -> None:
    system = find_system("bare-edge")(tmp_path)
    with pytest.raises(StoreError, match="bare-edge: a new process could not open"):
        cold_start(system, QUESTIONS[0], 3)


def test_files_survive_being_forgotten(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert drop_page_cache(tmp_path) == hasattr(os, "posix_fadvise")
    assert (tmp_path / "file").read_bytes() == b"x" * 10_000


def test_settings_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="shares"):
        LoadSettings(shares=(1.5,))
    with pytest.raises(ValidationError, match="request"):
        LoadSettings.model_validate({"request": 5})
    with find_system("memory")(tmp_path) as system, pytest.raises(InvalidInput, match="at least one passage"):
        measure_system(system, [], VECTORS[:0], QUESTIONS, SETTINGS, 1)
