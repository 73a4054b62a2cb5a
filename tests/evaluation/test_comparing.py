"""Two runs, compared: folders of the harness, and files of ``retriever evaluate``."""

import json
import shutil
from pathlib import Path

import pytest
from harness_sets import QUERIES, write_beir, write_scenario

from benchmarks.__main__ import main
from retriever.errors import InvalidInput
from retriever.evaluation.harness.comparing import EVALUATED, compare_runs, match_runs
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace

KEYWORD = '[grid]\nstores = ["memory"]\nsearches = [{ mode = "keyword" }]\n'
SEMANTIC = '[grid]\nstores = ["memory"]\nchunkers = [{ size = 16, overlap = 4 }]\nsearches = [{ mode = "semantic" }]\n'


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One with two legs and their fusion twice, and two with one configuration each."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, grid in (("keyword", KEYWORD), ("semantic", SEMANTIC), ("all", None)):
        path = write_scenario(folder / name, **({"grid": grid} if grid else {}))
        made[name] = run_scenario(path, folder / f"{name}-run", Workspace(folder / "work"), Progress(hidden=True)).path
    return made


def test_a_run_does_not_differ_from_itself(runs):
    matched = match_runs(runs["all"], runs["all"])
    compared = compare_runs(runs["all"], runs["all"], matched)
    assert len(compared.pairs) == 8
    assert all(
        pair.before == pair.after and pair.change.p_holm == 1 and not pair.changed and not pair.missing
        for pair in compared.pairs
    )
    assert not compared.unmatched + compared.added + compared.notes


def test_configurations_are_matched_by_id(runs):
    matched = match_runs(runs["semantic"], runs["all"])
    assert len(matched.pairs) == 1
    assert len(matched.added) == 7
    assert matched.unmatched == []


def test_what_is_alone_on_both_sides_is_compared(runs):
    compared = compare_runs(runs["keyword"], runs["semantic"], match_runs(runs["keyword"], runs["semantic"]))
    (pair,) = compared.pairs
    assert "keyword → " in pair.label
    assert pair.queries == len(QUERIES)
    assert pair.change.difference == pytest.approx(pair.after - pair.before)
    moved = [abs(query.after - query.before) for query in pair.changed]
    assert moved == sorted(moved, reverse=True)
    assert min(moved) > 0
    assert {query.text for query in pair.changed} <= {text for text, _ in QUERIES.values()}
    assert len(pair.changed) == pair.change.wins + pair.change.losses


def test_it_says_that_the_judgements_differ(runs, tmp_path):
    path = write_scenario(tmp_path / "other", grid=KEYWORD)
    qrels = tmp_path / "other" / "set" / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text("utf-8").replace("q5\ttravel\t1\n", ""), "utf-8")
    run = run_scenario(path, tmp_path / "run", Workspace(tmp_path / "work"), Progress(hidden=True)).path
    compared = compare_runs(runs["keyword"], run, match_runs(runs["keyword"], run))
    assert "office: the qrels of the two runs differ" in compared.notes
    assert (compared.pairs[0].missing, compared.pairs[0].added) == (1, 0)


def test_another_measure(runs):
    compared = compare_runs(runs["all"], runs["all"], match_runs(runs["all"], runs["all"], "MRR@10"))
    assert compared.measure == "MRR@10"
    with pytest.raises(InvalidInput, match="has no nDCG@7"):
        match_runs(runs["all"], runs["all"], "nDCG@7")


def test_what_has_nothing_in_common_is_refused(runs, tmp_path):
    with pytest.raises(InvalidInput, match="nothing to compare"):
        match_runs(runs["all"], runs["all"], pattern="*nowhere*")
    with pytest.raises(InvalidInput, match="cannot be read"):
        match_runs(tmp_path / "nothing", runs["all"])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two files of ``retriever evaluate --per-query``: by the keyword leg, and by both."""
    from typer.testing import CliRunner

    from retriever.cli.app import app

    folder = tmp_path_factory.mktemp("evaluated")
    data = write_beir(folder / "set")
    (folder / "docs").mkdir()
    for line in (data / "corpus.jsonl").read_text("utf-8").splitlines():
        document = json.loads(line)
        (folder / "docs" / f"{document['_id']}.txt").write_text(document["text"], "utf-8")
    qrels = folder / "qrels.tsv"
    rows = [f"{query}\t{name}.txt\t{grade}" for query, (_, judged) in QUERIES.items() for name, grade in judged.items()]
    qrels.write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n", "utf-8")
    runner = CliRunner()

    def call(*words):
        done = runner.invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output

    call("index", folder / "docs", "--store", folder / "index", "--embedding", "hashed")
    asked = ("--store", folder / "index", "--queries", data / "queries.jsonl", "--qrels", qrels, "--json")
    for mode in ("keyword", "hybrid"):
        call("evaluate", *asked, "--mode", mode, "--per-query", folder / f"{mode}.jsonl")
    return folder


def test_files_of_evaluate_are_compared_by_what_was_asked_for(evaluated):
    before, after = evaluated / "keyword.jsonl", evaluated / "hybrid.jsonl"
    (pair,) = compare_runs(before, after, match_runs(before, after)).pairs
    assert (pair.dataset, pair.label, pair.queries) == (EVALUATED, "keyword → hybrid", len(QUERIES))
    lines = [json.loads(line) for line in after.read_text("utf-8").splitlines()]
    mean = sum(line["measures"]["hybrid"]["nDCG@10"] for line in lines) / len(lines)
    assert pair.after == pytest.approx(mean)


def test_a_bad_line_is_named(evaluated, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text((evaluated / "hybrid.jsonl").read_text("utf-8") + "{}\n", "utf-8")
    with pytest.raises(InvalidInput, match=f"line {len(QUERIES) + 1}: not what retriever evaluate"):
        match_runs(path, path)
    with pytest.raises(InvalidInput, match="there is no nDCG@7; there is nDCG@10"):
        match_runs(evaluated / "hybrid.jsonl", path, "nDCG@7")


def test_the_gate_decides_the_exit_code(evaluated, tmp_path, capsys):
    good = tmp_path / "good.jsonl"
    lines = [json.loads(line) for line in (evaluated / "hybrid.jsonl").read_text("utf-8").splitlines()]
    many = [line | {"query": f"{line['query']}-{n}"} for n in range(40) for line in lines]
    good.write_text("".join(json.dumps(line) + "\n" for line in many), "utf-8")
    worse = tmp_path / "worse.jsonl"
    for line in many[::2]:
        line["measures"] = {"hybrid": dict.fromkeys(line["measures"]["hybrid"], 0.0)}
    worse.write_text("".join(json.dumps(line) + "\n" for line in many), "utf-8")
    assert main(["compare", str(good), str(good), "--gate"]) == 0
    assert main(["compare", str(good), str(worse), "--gate"]) == 1
    assert main(["compare", str(good), str(worse)]) == 0
    assert main(["compare", str(evaluated / "keyword.jsonl"), str(evaluated / "hybrid.jsonl"), "--gate"]) == 2
    assert "cannot tell" in capsys.readouterr().out
    with pytest.raises(SystemExit) as wrong:
        main(["compare", str(good), "--gate"])
    assert wrong.value.code == 1


def test_the_command_of_the_package_ends_alike(evaluated):
    from typer.testing import CliRunner

    from retriever.cli.app import app

    before, after = str(evaluated / "keyword.jsonl"), str(evaluated / "hybrid.jsonl")

    def code(*words):
        return CliRunner().invoke(app, ["compare", *words]).exit_code

    assert code(before, after) == 0
    assert code(before, before, "--gate") == 0
    assert code(before, after, "--gate") == 2
    assert code(before, "--gate") == 1
    assert code(before, after, "--gate", "--margin", "much") == 1
    assert code("--help") == 0
    shown = CliRunner().invoke(app, ["compare", before, after, "--gate", "--format", "json"])
    assert json.loads(shown.stdout)["gate"]["verdict"] == 2


def test_json_and_markdown(runs, capsys):
    assert main(["compare", str(runs["all"]), str(runs["all"]), "--json", "--gate"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["pairs"]) == len(shown["gate"]["pairs"]) == 8
    assert main(["compare", str(runs["keyword"]), str(runs["semantic"]), "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n| ") == 3
    assert "keyword → " in text


def test_a_configuration_that_is_gone_does_not_pass(runs, tmp_path):
    assert main(["compare", str(runs["all"]), str(runs["semantic"]), "--gate"]) == 2
    assert (
        main(["compare", str(runs["all"]), str(runs["semantic"]), "--gate", "--configuration", "*16/4*semantic"]) == 0
    )
    damaged = tmp_path / "damaged"
    shutil.copytree(runs["all"], damaged)
    (damaged / "summary.json").unlink()
    assert main(["compare", str(runs["all"]), str(damaged), "--gate"]) == 1


def test_the_workflow_that_is_to_be_copied_calls_what_there_is():
    import yaml
    from typer.testing import CliRunner

    from retriever.cli.app import app

    text = (Path(__file__).parents[2] / "docs" / "evaluation-ci.yml").read_text("utf-8")
    steps = yaml.safe_load(text)["jobs"]["evaluate"]["steps"]
    lines = [line.strip() for step in steps for line in step.get("run", "").splitlines()]
    calls = [line.split()[1:] for line in lines if line.startswith("retriever ")]
    assert [words[0] for words in calls] == ["index", "evaluate", "compare"]
    for words in calls:
        shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [words[0], "--help"])
        assert all(word in shown.stdout for word in words if word.startswith("--"))
