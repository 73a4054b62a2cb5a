"""Moving an app from langchain-chroma and from langchain-qdrant: each step in a process of its own, as in examples/."""

import os
import subprocess
import sys
from pathlib import Path

import chromadb
import pytest
from qdrant_client import QdrantClient

from retriever import Retriever

EXAMPLES = Path(__file__).parents[2] / "examples/migrate"
FIRST = "Stopping: push the red button on the left side. The belt comes to rest after three seconds."
QUESTIONS = ["How do I stop it?", "What does KX-4417 mean?"]

STEPS = """
import gc, os, runpy, sys
import langchain_chroma, langchain_qdrant, retriever_chroma, retriever_langchain.vectorstore, retriever_qdrant
import manual  # here, so that the model is loaded once

gc.freeze()  # else each process takes a second to tidy up, when it ends, what all share

for line in sys.stdin:
    script, folder, printed = line.rstrip().split("|")
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        sys.stdout = sys.stderr = open(printed, "w", encoding="utf-8")
        runpy.run_path(script, run_name="__main__")
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Steps:
    """Runs scripts, each in a process of its own, which shares with the others nothing but what is imported."""

    def __init__(self, folder):
        self._printed = folder / "printed"
        self._process = subprocess.Popen(
            [sys.executable, "-c", STEPS, *QUESTIONS],
            cwd=folder,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "PYTHONPATH": str(EXAMPLES),
                "RETRIEVER_CACHE": str(folder / "cache"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, folder, script):
        """What a script prints for each question."""
        self._process.stdin.write(f"{EXAMPLES / script}|{folder}|{self._printed}\n")
        self._process.stdin.flush()
        status, printed = self._process.stdout.readline(), self._printed.read_text(encoding="utf-8")
        assert status == "0\n", printed
        return printed

    def close(self):
        self._process.communicate()


@pytest.fixture
def steps(tmp_path):
    made = Steps(tmp_path)
    yield made
    made.close()


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
def test_an_app_moves(tmp_path, steps, peer):
    """One test, since the model is loaded once for all steps."""
    app, new = tmp_path / "app", tmp_path / "new"
    app.mkdir()
    new.mkdir()
    plain, identifier = answers(steps.run(app, f"{peer}_before.py"))
    before = RECORDS[peer](app)
    assert len(before) == 7
    assert plain[0] == f"  page 1. {FIRST}"
    assert not any("KX-4417" in page for page in identifier)  # meaning alone misses it

    finds_as_much_and_the_identifier(steps.run(app, f"{peer}_attached.py"), plain)
    assert steps.run(app, f"{peer}_move.py").endswith("7 of 7 pages copied\n")
    finds_as_much_and_the_identifier(steps.run(app, f"{peer}_after.py"), plain)

    with Retriever.open(app / "index") as index:
        chunks = index.get(list(before))
        assert {chunk.id: (chunk.text, dict(chunk.metadata)) for chunk in chunks} == before
        assert index.info().chunks == len(before)
    assert RECORDS[peer](app) == before

    finds_as_much_and_the_identifier(steps.run(new, f"{peer}_after.py"), plain)  # without a collection to start with
    assert [path.name for path in new.iterdir()] == ["index"]


def finds_as_much_and_the_identifier(printed, plain):
    """What was found before, within the filter as before, and the page with the identifier first."""
    found, identifier = answers(printed)
    assert found[0] == plain[0]
    assert "KX-4417" in identifier[0]
    assert not any("cord" in page for page in found + identifier)


@pytest.mark.parametrize("peer", RECORDS)
def test_what_the_app_keeps_is_untouched_by_moving(peer):
    """Imports and the line that makes the store: nothing else differs."""
    before, after = (
        [line for line in (EXAMPLES / f"{peer}_{script}.py").read_text().splitlines() if line]
        for script in ("before", "after")
    )
    assert [line for line in before if not line.startswith(("from ", "store = "))] == [
        line for line in after if not line.startswith(("from ", "store = "))
    ]
