"""Results that are kept: the pages show what they give, and only what a run gives is kept."""

import argparse
import json
import shutil

import pytest

from benchmarks import kept
from benchmarks.__main__ import main
from retriever.errors import InvalidInput
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace

SCENARIO = """
name = "tiny"
[[datasets]]
name = "words"
path = "set"
[[datasets.published]]
name = "a book"
measure = "nDCG@10"
value = 0.5
source = "page 1"
configuration = "*"
[grid]
stores = ["memory"]
chunkers = [{ kind = "whole" }]
searches = [{ mode = "keyword" }, {}]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    (folder / "set" / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", ("apples", "pears")), ("queries", ("apples", "pears"))):
        lines = [json.dumps({"_id": word, "text": word}) for word in rows]
        (folder / "set" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    qrels = "query-id\tcorpus-id\tscore\napples\tapples\t1\npears\tapples\t1\n"
    (folder / "set" / "qrels" / "test.tsv").write_text(qrels, "utf-8")
    (folder / "tiny.toml").write_text(SCENARIO, "utf-8")
    return run_scenario(folder / "tiny.toml", folder / "run", Workspace(folder / "work"), Progress(hidden=True))


def test_the_tables_of_the_pages_are_what_the_results_give(capsys):
    assert main(["tables", "--check"]) == 0, capsys.readouterr().out


def test_every_page_has_a_table():
    for page in kept.PAGES:
        assert "<!-- results:quality -->" in (kept.ROOT / page).read_text("utf-8")


def test_results_hold_no_paths_of_a_machine():
    for path in kept.RESULTS.rglob("*.json"):
        text = path.read_text("utf-8")
        assert not [place for place in ("/home/", "/root/", "/tmp/", "/work/") if place in text]


def test_kept_results_come_from_clean_commits():
    for name, results in kept.read_results().items():
        assert results.manifest.commit, name
        assert results.manifest.dirty is False, name


def test_a_run_is_kept_and_shown(run, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    assert kept.keep(argparse.Namespace(run=run.path)) == 0
    results = kept.read_results(tmp_path)
    assert results["tiny"].rows == run.summary.rows
    monkeypatch.setattr(kept, "read_results", lambda: results)
    text = kept.written("before\n<!-- results:words -->\nold\n<!-- /results:words -->\nafter\n")
    assert text.startswith("before\n<!-- results:words -->\n| group |")
    assert text.endswith("<!-- /results:words -->\nafter\n")
    assert "old" not in text
    for row in run.summary.rows:
        assert f"| {row.measures['nDCG@10']:.3f} | {row.low:.3f} to {row.high:.3f} |" in text
    assert "a book nDCG@10 0.5 (page 1)" in text
    with pytest.raises(InvalidInput, match="no table nothing"):
        kept.written("<!-- results:nothing -->\n<!-- /results:nothing -->\n")


def test_a_run_that_does_not_verify_is_not_kept(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kept, "RESULTS", tmp_path / "results")
    damaged = tmp_path / "run"
    shutil.copytree(run.path, damaged)
    summary = damaged / "summary.json"
    content = json.loads(summary.read_text("utf-8"))
    content["rows"][0]["measures"]["nDCG@10"] = 0.99
    summary.write_text(json.dumps(content), "utf-8")
    assert kept.keep(argparse.Namespace(run=damaged)) == 1
    assert "not kept" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
