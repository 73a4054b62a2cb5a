"""Moving an app from langchain-chroma and from langchain-qdrant: each step in a process of its own, as in examples/."""

import os
import subprocess
import sys
from pathlib import Path

import chromadb
import pytest
from qdrant_client import QdrantClient

from retriever import Retriever

EXAMPLES = Path(__file__).parents[2] / "examples"
FIRST = "Stopping: push the red button on the left side. The belt comes to rest after three seconds."
QUESTIONS = ["How do I stop it?", "What does KX-4417 mean?"]


def run(folder, peer, script):
    """What a script prints for each question."""
    result = subprocess.run(
        [sys.executable, EXAMPLES / f"migrate_{peer}" / f"{script}.py", *QUESTIONS],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "RETRIEVER_CACHE": str(folder / "cache")},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def answers(printed):
    """The pages found for each question."""
    first, second = printed.strip().split(f"\n{QUESTIONS[1]}\n")
    return first.removeprefix(f"{QUESTIONS[0]}\n").splitlines(), second.splitlines()


def chroma_records(folder):
    """By id, text and metadata in the collection of langchain-chroma."""
    found = chromadb.PersistentClient(str(folder / "chroma")).get_collection("manual", embedding_function=None).get()
    return dict(zip(found["ids"], zip(found["documents"], found["metadatas"], strict=True), strict=True))


def qdrant_records(folder):
    """By id, text and metadata in the collection of langchain-qdrant."""
    client = QdrantClient(path=str(folder / "qdrant"))
    points, _ = client.scroll("manual", limit=100)
    client.close()
    return {point.id: (point.payload["page_content"], point.payload["metadata"]) for point in points}


RECORDS = {"chroma": chroma_records, "qdrant": qdrant_records}


@pytest.mark.parametrize("peer", RECORDS)
def test_an_app_moves(tmp_path, peer):
    """One test, since each step takes a process that loads a model: it is run once."""
    plain, identifier = answers(run(tmp_path, peer, "before"))
    before = RECORDS[peer](tmp_path)
    assert len(before) == 7
    assert plain[0] == f"  page 1. {FIRST}"
    assert not any("KX-4417" in page for page in identifier)  # meaning alone misses it

    finds_as_much_and_the_identifier(run(tmp_path, peer, "attached"), plain)
    assert run(tmp_path, peer, "move").endswith("7 of 7 pages copied\n")
    finds_as_much_and_the_identifier(run(tmp_path, peer, "after"), plain)

    with Retriever.open(tmp_path / "index") as index:
        chunks = index.get(list(before))
        assert {chunk.id: (chunk.text, dict(chunk.metadata)) for chunk in chunks} == before
        assert index.info().chunks == len(before)
    assert RECORDS[peer](tmp_path) == before


def finds_as_much_and_the_identifier(printed, plain):
    """What was found before, within the filter as before, and the page with the identifier first."""
    found, identifier = answers(printed)
    assert found[0] == plain[0]
    assert "KX-4417" in identifier[0]
    assert not any("cord" in page for page in found + identifier)


def test_the_app_needs_no_collection_to_start_with(tmp_path):
    finds_as_much_and_the_identifier(run(tmp_path, "qdrant", "after"), [f"  page 1. {FIRST}"])
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("peer", ["chroma", "qdrant"])
def test_what_the_app_keeps_is_untouched_by_moving(peer):
    """Imports and the line that makes the store: nothing else differs."""
    before, after = (
        [line for line in (EXAMPLES / f"migrate_{peer}" / f"{script}.py").read_text().splitlines() if line]
        for script in ("before", "after")
    )
    assert [line for line in before if not line.startswith(("from ", "store = "))] == [
        line for line in after if not line.startswith(("from ", "store = "))
    ]
