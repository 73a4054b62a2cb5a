"""Processes that read a Chroma server while another one writes: errors, wrong hits, and what is found at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.readers_child import Tally, embedding, judge, marker
from benchmarks.report import NONE, Bar, Result, Row, progress, say
from retriever import Retriever
from retriever.batched import batched
from retriever.testing import chroma_server
from retriever.types import Mode

_ROOT = Path(__file__).resolve().parent.parent
_MOST_SHOWN = 5
_PAGE = 256
_GRACE = 120.0
"""Seconds that a process may take beyond its time."""


def run(readers: int, seconds: float) -> Result:
    """Start a server, the writer and the readers, and judge what is there when all have ended.

    :param readers: how many processes.
    :param seconds: for how long.
    """
    with TemporaryDirectory(prefix="retriever-readers-") as folder, chroma_server(Path(folder) / "server") as server:
        address = f"chroma://127.0.0.1:{server.port}/readers"
        Retriever.open(address, embedding=embedding()).close()
        writer, *others = _tallies(address, readers, seconds)
        missing, wrong = _at_the_end(address, writer.documents)
    for text in (text for tally in (writer, *others) for text in (tally.errors + tally.wrong)[:_MOST_SHOWN]):
        say(text)
    return Result("readers", ("what",), _rows(writer, others, missing, wrong), {"readers": readers, "seconds": seconds})


def _tallies(address: str, readers: int, seconds: float) -> list[Tally]:
    """Of the writer, then of the readers."""
    roles = ["write", *["read"] * readers]
    with progress("reading and writing", len(roles)) as advance:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.readers_child", role, address, str(seconds), str(seed)],
                cwd=_ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for seed, role in enumerate(roles)
        ]
        tallies = []
        for process in processes:
            out, error = process.communicate(timeout=seconds + _GRACE)
            last = error.strip().splitlines()[-1:] or ["no message"]
            failed = Tally(errors=[f"status {process.returncode}: {last[0]}"])
            tallies.append(failed if process.returncode else Tally(**json.loads(out)))
            advance(1)
    return tallies


def _at_the_end(address: str, documents: Sequence[int]) -> tuple[int, int]:
    """How many documents a new process does not find by their markers, and how many should not be there."""
    with Retriever.open(address) as retriever, progress("looking for all", len(documents)) as advance:
        store = retriever.store
        keys = {store.key(entry.chunk_id) for entry in store.entries()}
        texts = {chunk.document_id: chunk.text for page in batched(keys, _PAGE) for chunk in store.fetch(page).values()}
        missing = 0
        for number in documents:
            queries: dict[Mode, str] = {"keyword": marker(number), "semantic": texts.get(str(number), marker(number))}
            for mode, query in queries.items():
                hits = retriever.search(query, 10, mode=mode)
                missing += not any(hit.document_id == str(number) and not judge(hit, None) for hit in hits)
            advance(1)
    return missing, len(texts.keys() ^ {str(number) for number in documents}) + len(keys) - len(texts)


def _rows(writer: Tally, readers: Sequence[Tally], missing: int, different: int) -> list[Row]:
    everybody = [writer, *readers]
    searches = sum(tally.calls for tally in readers)
    found = f"{sum(tally.found for tally in readers):,} found the document, others were not there"
    return [
        Row(("errors",), sum(len(tally.errors) for tally in everybody), "count", NONE),
        Row(("wrong hits",), sum(len(tally.wrong) for tally in everybody), "count", NONE),
        Row(("documents in the ledger that should not be there, or the reverse",), different, "count", NONE),
        Row(("documents not found at the end, by keyword or by vector",), missing, "count", NONE),
        Row(("searches",), searches, "count", Bar(at_least=1), shown={"notes": found}),
        Row(
            ("documents written",),
            writer.calls,
            "count",
            Bar(at_least=1),
            shown={"notes": f"{len(writer.documents):,} left"},
        ),
    ]
