"""``python -m benchmarks run``: what it prints, writes and returns."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import SCENARIOS, scenario_file

SCENARIO = """
name = "tiny"
[[datasets]]
name = "handbook"
path = "{sets}/handbook/zh"
limit = 5
[[datasets.published]]
name = "somebody"
measure = "nDCG@10"
value = 0.5
source = "a paper"
configuration = "*keyword"
[grid]
embeddings = ["hashed"]
chunkers = [{{ kind = "whole" }}]
stores = ["memory"]
searches = [{{ mode = "keyword" }}, {{}}]
[[bars]]
dataset = "handbook"
configuration = "*keyword"
measure = "Recall@100"
at_least = {bar}
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))

    def write(bar=0.9, more=""):
        path = tmp_path / "tiny.toml"
        path.write_text(SCENARIO.format(sets=SCENARIOS.parent / "sets", bar=bar) + more, "utf-8")
        return str(path)

    return write


def test_tables(written, tmp_path, capsys):
    assert main(["run", written(), "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert "handbook: 5 queries, whole, memory" in printed
    assert "nDCG@10 0.500 somebody, a paper" in printed
    assert "hybrid relative" in printed
    assert "Rows that share a letter cannot be told apart" in printed
    assert "pass" in printed
    assert f"written to {tmp_path / 'run'}" in printed


def test_a_run_needs_none_of_the_peers_packages(written, tmp_path):
    """Nor those of stores that it does not use: they are looked for where they are asked for."""
    absent = ["chromadb", "qdrant_client", "langchain_core", "bm25s", "chonkie", "psutil", "sentence_transformers"]
    program = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(',')))\n"
        "from benchmarks.__main__ import main; raise SystemExit(main(sys.argv[2:]))"
    )
    words = [",".join(absent), "run", written(), "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_json(written, tmp_path, capsys):
    assert main(["run", written(), "--out", str(tmp_path / "run"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["passed"] is True
    assert content["run"] == str(tmp_path / "run")
    assert [row["dataset"] for row in content["summary"]["rows"]] == ["handbook"] * 2
    assert {c["label"] for c in content["configurations"]} == {
        "whole, memory, keyword",
        "hashed, whole, memory, hybrid relative",
    }


def test_a_bar_that_is_missed_is_the_exit_code(written, tmp_path, capsys):
    assert main(["run", written(bar=1.5), "--out", str(tmp_path / "run")]) == 1
    assert "miss" in capsys.readouterr().out


def test_a_scenario_with_a_mistake(written, tmp_path, capsys):
    assert main(["run", written(more="[gird]\n"), "--out", str(tmp_path / "run")]) == 1
    assert "gird: there is no such key; did you mean grid?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_nothing_to_measure_is_no_success(written, tmp_path, capsys):
    path = Path(written())
    path.write_text(path.read_text("utf-8").replace("handbook/zh", "nowhere"), "utf-8")
    assert main(["run", str(path), "--out", str(tmp_path / "run")]) == 1
    assert "left out: the dataset handbook" in capsys.readouterr().out


def test_without_a_folder_the_name_and_the_time_make_one(written, tmp_path, capsys, monkeypatch):
    path = written()
    monkeypatch.chdir(tmp_path)
    assert main(["run", path]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("tiny-")


def test_scenarios_of_the_project_are_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert scenario_file(Path("handbook")) == SCENARIOS / "handbook.toml"
    assert scenario_file(Path("handbook.toml")) == SCENARIOS / "handbook.toml"
    assert scenario_file(Path("mine.toml")) == Path("mine.toml")
    (tmp_path / "handbook.toml").write_text("", "utf-8")
    assert scenario_file(Path("handbook.toml")) == Path("handbook.toml")


def test_the_judged_questions_to_the_guides_are_whole():
    counts = {}
    for language in ("en", "zh"):
        folder = SCENARIOS.parent / "sets" / "handbook" / language
        corpus = {json.loads(line)["_id"] for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()}
        queries = {json.loads(line)["_id"] for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()}
        _, *lines = (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()
        judged = [line.split("\t") for line in lines]
        assert {query for query, _, _ in judged} == queries
        assert {document for _, document, _ in judged} <= corpus
        counts[language] = len(queries)
    assert counts["en"] >= 60
    assert sum(counts.values()) >= 100
