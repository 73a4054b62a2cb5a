"""What importing the package does."""

from __future__ import annotations

import os
import subprocess
import sys

import retriever_qdrant
from retriever_qdrant import QdrantStore

WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
try:
    import retriever_qdrant
except ImportError as error:
    print(type(error).__name__, error)
"""


def import_without(name: str) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", WITHOUT.format(name=name)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_exports():
    assert retriever_qdrant.__all__ == ["QdrantStore"]
    assert QdrantStore.__module__ == "retriever_qdrant.store"


def test_an_absent_engine_names_the_extra():
    said = import_without("qdrant_edge")
    assert said == "MissingExtra The embedded Qdrant store needs an extra: pip install 'hybrid-retriever[qdrant]'"


def test_another_absent_module_is_not_blamed_on_the_extra():
    assert import_without("filelock").startswith("ModuleNotFoundError")
