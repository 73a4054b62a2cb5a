"""Peak memory while a stream of small documents is indexed, next to the bare engine given the same records.

Each side runs in a process of its own. While records are written, the process itself knows its peak exactly. For the
end, when graphs are built, which our store does in a child process, the memory of the whole family is sampled; pages
that its members share count once where the system can tell (Linux).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.report import Bar, Result, Row, formatted

ABOVE = Bar(at_most=150)
_SAMPLE_SECONDS = 0.1
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Peak:
    """What one side took; memory in megabytes.

    :param written: peak of its process until all records were written.
    :param family: peak of its process and its children together, until all was done; sampled.
    :param chunks: records in the end.
    :param seconds: wall time of the indexing.
    """

    written: float
    family: float
    chunks: int
    seconds: float


def run(documents: int) -> Result:
    """Run both sides, one after the other.

    :param documents: how many.
    """
    ours, bare = _measure("ours", documents), _measure("bare", documents)
    if not ours.chunks == bare.chunks == documents:
        raise RuntimeError(f"{documents} documents gave {ours.chunks} and {bare.chunks} chunks: not the same records")
    rows = [
        _row(f"writing {documents:,} documents", ours.written, bare.written),
        _row("with building the graph, children included", ours.family, bare.family),
        Row(
            ("time",),
            ours.seconds / bare.seconds,
            "times",
            shown={"ours": formatted(ours.seconds, "seconds"), "beside it": formatted(bare.seconds, "seconds")},
        ),
    ]
    return Result("memory", ("peak memory",), rows, {"documents": documents}, "above bare Edge")


def _row(what: str, ours: float, bare: float) -> Row:
    return Row(
        (what,),
        ours - bare,
        "megabytes",
        ABOVE,
        shown={"ours": formatted(ours, "megabytes"), "beside it": f"{formatted(bare, 'megabytes')} by bare Edge"},
        details={"ours": ours, "bare": bare},
    )


def _measure(side: str, documents: int) -> Peak:
    with TemporaryDirectory(prefix="retriever-memory-") as folder:
        command = [sys.executable, "-m", "benchmarks.memory_child", side, str(documents), str(Path(folder) / "index")]
        with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
            sampled = 0.0
            while process.poll() is None:
                sampled = max(sampled, _family_megabytes(process.pid))
                time.sleep(_SAMPLE_SECONDS)
            output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the side {side!r} ended with status {process.returncode}")
    result = json.loads(output)
    if result["failed"]:
        raise RuntimeError(f"the side {side!r} could not store {result['failed']} documents")
    return Peak(result["written"], sampled, result["chunks"], result["seconds"])


def _family_megabytes(process_id: int) -> float:
    """Resident memory of a process and all below it."""
    try:
        process = psutil.Process(process_id)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_resident(member) for member in family) / 1e6


def _resident(process: psutil.Process) -> int:
    """In bytes; a page that n processes share counts as an n-th of it where that is known."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:  # it has ended
        return 0
    return int(getattr(memory, "pss", memory.rss))
