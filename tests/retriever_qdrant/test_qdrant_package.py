"""What importing the package does, and what is said where a library is absent."""

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
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Absent())
try:
    from retriever_qdrant import QdrantStore
    {call}
except ImportError as error:
    print(type(error).__name__, error)
"""
EXTRA = "needs an extra: pip install 'hybrid-retriever[qdrant]'"


def said_without(names: list[str], call: str) -> str:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", WITHOUT.format(names=names, call=call)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_exports():
    assert retriever_qdrant.__all__ == ["QdrantStore", "ServerOptions"]
    assert QdrantStore.__module__ == "retriever_qdrant.store"


def test_a_folder_needs_no_client_and_a_server_no_engine(tmp_path):
    folder = f"print(QdrantStore({str(tmp_path)!r}).read_manifest())"
    assert said_without(["qdrant_client", "grpc", "httpx"], folder) == "None"
    server = "print(QdrantStore.connect('localhost', 'handbook').address)"
    assert said_without(["qdrant_edge"], server) == "qdrant://localhost:6334/handbook"


def test_an_absent_library_names_the_extra():
    said = said_without(["qdrant_edge"], "QdrantStore('index')")
    assert said == f"MissingExtra The embedded Qdrant store {EXTRA}"
    said = said_without(["qdrant_client"], "QdrantStore.connect('localhost', 'handbook')")
    assert said == f"MissingExtra The store on a Qdrant server {EXTRA}"


def test_importing_loads_neither():
    call = "print({'qdrant_edge', 'qdrant_client', 'grpc'} & set(sys.modules))"
    assert said_without([], call) == "set()"


def test_another_absent_module_is_not_blamed_on_the_extra():
    assert said_without(["filelock"], "QdrantStore('index')").startswith("ModuleNotFoundError")
