"""What the package shows, what importing it costs, and what it says where LangChain is missing."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import retriever_langchain


def run(code, *arguments):
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def typed_names():
    tree = ast.parse(Path(retriever_langchain.__file__).read_text(encoding="utf-8"))
    (branch,) = [node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name)]
    return {node.names[0].asname: node.module for node in branch.body}


def test_every_public_name_resolves_to_what_type_checkers_see():
    assert sorted(typed_names()) == retriever_langchain.__all__ == dir(retriever_langchain)
    for name, module in typed_names().items():
        assert getattr(retriever_langchain, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="VectorStor"):
        retriever_langchain.VectorStor  # noqa: B018


def test_importing_costs_nothing():
    loaded = json.loads(run("import retriever_langchain, json, sys; print(json.dumps(list(sys.modules)))"))
    assert {"langchain_core", "langchain_text_splitters", "numpy", "pydantic"} & set(loaded) == set()


@pytest.mark.parametrize("name", ["EmbeddingFunctionEmbeddings", "LangChainEmbedding", "RetrieverTextSplitter"])
def test_no_database_and_no_model_library_is_needed(name):
    code = f"from retriever_langchain import {name}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    loaded = set(json.loads(run(code)))
    assert {
        "chromadb",
        "qdrant_client",
        "qdrant_edge",
        "torch",
        "transformers",
        "sentence_transformers",
    } & loaded == set()


REFUSING = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == sys.argv[1] else self.finder.find_spec(name, path, target)
sys.meta_path[:] = map(Without, sys.meta_path)
try:
    import retriever_langchain
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["langchain_core", "langchain_text_splitters"])
def test_a_missing_extra_says_how_to_install_it(missing):
    assert "pip install 'hybrid-retriever[langchain]'" in run(REFUSING, missing)
