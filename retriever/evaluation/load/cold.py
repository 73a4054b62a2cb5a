"""Cold start: a new process opens what is there and asks one question."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from retriever.errors import StoreError
from retriever.evaluation.load.latency import Figure
from retriever.evaluation.load.resources import Memory, memory_of
from retriever.evaluation.systems import Question, System

_PATIENCE = 120.0


class ColdStart(Figure):
    """Seconds of a new process, in the order in which they pass.

    :param page_cache: ``dropped``: the kernel was asked to forget the folder's files, so they are read from disk (those
        of Python and of the libraries are not forgotten); ``warm``: it could not be asked.
    :param importing: of the libraries that the system needs; for ours, of the package, too. What measuring needs itself
        is there before, for all of them: numpy, pydantic, and the peer's own few lines.
    :param first: opening and the first query, with the start of the server where the system starts one.
    :param second: the same query once more.
    :param memory: of the processes that hold the data, after both: what it takes to serve this index.
    """

    page_cache: str
    importing: float
    first: float
    second: float
    memory: Memory | None = None


def cold_start(system: System, question: Question, k: int) -> ColdStart | None:
    """Measure it.

    :param system: filled and closed.
    :param question: the first query.
    :param k: hits.
    :return: None where it keeps nothing that another process could open.
    :raises StoreError: where the process fails; the message ends with what it said.
    """
    if not system.is_persistent or system.address is not None:
        return None
    cls = type(system)
    what = {
        "module": cls.__module__,
        "name": cls.__qualname__,
        "folder": str(system.folder),
        "settings": system.settings,
        "text": question.text,
        "vector": None if question.vector is None else question.vector.tolist(),
        "k": k,
        "path": sys.path,
    }
    dropped = drop_page_cache(system.folder)
    with tempfile.TemporaryDirectory(prefix="retriever-cold-") as place:
        request = Path(place) / "request.json"
        request.write_text(json.dumps(what), "utf-8")
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", __name__, str(request)],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        except subprocess.TimeoutExpired as error:
            raise StoreError(f"{system.name}: a new process did not answer within {_PATIENCE:.0f} seconds") from error
    if done.returncode:
        raise StoreError(f"{system.name}: a new process could not open {system.folder}: {done.stderr[-1_000:]}")
    seen = json.loads(done.stdout.splitlines()[-1])
    return ColdStart.model_validate({"page_cache": "dropped" if dropped else "warm", **seen})


def drop_page_cache(folder: Path) -> bool:
    """Ask the kernel to forget what it has read of files. They are written out first, else it keeps them.

    :param folder: with the files.
    :return: whether it could be asked.
    """
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def measured(what: Mapping[str, Any]) -> dict[str, Any]:
    """What the new process sees.

    :param what: which system, where, and what to ask.
    """
    began = time.perf_counter()
    cls: Any = importlib.import_module(what["module"])
    for part in what["name"].split("."):
        cls = getattr(cls, part)
    if cls.kind == "peer":  # its module brings this package with it, which the peer does without
        began = time.perf_counter()
    for module in cls.needs:
        importlib.import_module(module)
    imported = time.perf_counter()
    vector = None if what["vector"] is None else np.asarray(what["vector"], dtype=np.float32)
    with cls(Path(what["folder"]), None, what["settings"]) as system:
        system.search(what["text"], vector, what["k"])
        first = time.perf_counter()
        system.search(what["text"], vector, what["k"])
        second = time.perf_counter()
        memory = memory_of(system.processes())
    return {
        "importing": imported - began,
        "first": first - imported,
        "second": second - first,
        "memory": None if memory is None else memory.model_dump(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(json.loads(Path(sys.argv[1]).read_text("utf-8")))) + "\n")
