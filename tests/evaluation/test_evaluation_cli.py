"""``retriever evaluate`` and ``retriever tune``, as a person runs them."""

import json
from dataclasses import replace

import pytest
import pytrec_eval

from retriever.cli import show_evaluation
from retriever.evaluation import compare


@pytest.fixture
def index(run_cli, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for i in range(40):
        (docs / f"page {i}.md").write_text(f"# Page {i}\n\nrare{i}x common{i % 3} common{i % 5} common{i % 7}")
    (docs / "中文.md").write_text("# 密钥\n\n签名密钥每九十天轮换一次。", encoding="utf-8")
    code, _, error = run_cli("index", docs, "-s", tmp_path / "index", "-e", "hashed", "--source", "handbook")
    assert (code, error) == (0, "")
    return tmp_path / "index"


@pytest.fixture
def files(tmp_path):
    queries, qrels = tmp_path / "queries.jsonl", tmp_path / "qrels.tsv"
    rows = [{"_id": f"q {i}", "text": f"rare{i}x common{i % 5}"} for i in range(24)]
    rows += [{"_id": "zh", "text": "密钥轮换"}, {"_id": "lost", "text": "what is not there"}]
    queries.write_text("\n".join(json.dumps(row) for row in rows))
    lines = [f"q {i}\tpage {i}.md\t1" for i in range(24)] + ["zh\thandbook::中文.md\t1", "lost\tgone.md\t1"]
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines), encoding="utf-8")
    return "--queries", queries, "--qrels", qrels


def test_evaluate_says_how_good_it_is_and_where_the_misses_come_from(run_cli, index, files):
    code, out, error = run_cli("evaluate", "-s", index, *files)
    assert (code, error) == (0, "")
    words = " ".join(out.split())
    for part in (
        "26 questions, 26 relevant documents",
        "keyword semantic hybrid",
        "nDCG@10: how near the top",
        "By nDCG@10,",
        "note: only 10% of the first ten",
        "note: 1 relevant documents are not in the index, for example 'gone.md'",
        "not in any chunk 1 3.8%",
        "in all 26 100.0%",
        "what is not there not in any chunk gone.md · in no ranking",
    ):
        assert part in words


def test_evaluate_as_json_with_run_and_query_files(run_cli, index, files, tmp_path):
    run, rows = tmp_path / "out.trec", tmp_path / "rows.jsonl"
    code, out, _ = run_cli("evaluate", "-s", index, *files, "--json", "--run-file", run, "--per-query", rows)
    assert code == 0
    facts = json.loads(out)
    assert [way["name"] for way in facts["ways"]] == ["keyword", "semantic", "hybrid"]
    assert sum(facts["waterfall"]["counts"].values()) == 26
    assert sum(facts["waterfall"]["shares"].values()) == pytest.approx(1)
    assert facts["missing_documents"] == ["gone.md"]
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 26
    mean = sum(line["measures"]["hybrid"]["nDCG@10"] for line in lines) / 26
    assert mean == pytest.approx(facts["ways"][2]["measures"]["nDCG@10"]["mean"])
    assert lines[-1]["failure"]["reason"] == lines[-1]["reason"] == "not in any chunk"
    # Anybody can check the figure with trec_eval.
    with run.open(encoding="utf-8") as file:
        parsed = pytrec_eval.parse_run(file)
    assert "handbook::page%203.md" in parsed["q%203"]
    grades = {line["query"].replace(" ", "%20"): {d.replace(" ", "%20"): 1 for d in line["relevant"]} for line in lines}
    found = pytrec_eval.RelevanceEvaluator(grades, {"ndcg_cut_10"}).evaluate(parsed)
    assert sum(value["ndcg_cut_10"] for value in found.values()) / 26 == pytest.approx(mean)


def test_evaluate_with_settings_of_a_search(run_cli, index, files):
    options = ("--mode", "keyword", "-k", "1", "--depth", "20", "--limit", "5", "--no-exact", "--filter", '{"a": 1}')
    code, out, _ = run_cli("evaluate", "-s", index, *files, *options, "--json")
    facts = json.loads(out)
    assert (code, facts["queries"], [way["name"] for way in facts["ways"]]) == (0, 5, ["keyword"])
    assert facts["waterfall"]["counts"]["lost by the filter"] == 5
    assert facts["setting"]["depth"] == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--queries", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("--run-file", "no/folder/out.trec"), "there is no folder"),
        (("--per-query", "."), "it is a folder"),
        (("--per-query", "x" * 300), "cannot be written: "),
        (("--run-file", "/proc/out.trec"), "/proc/out.trec cannot be written: "),
        (("--filter", "{"), "--filter is not JSON"),
    ],
)
def test_mistakes_are_one_line(run_cli, index, files, change, message):
    code, out, error = run_cli("evaluate", "-s", index, *files, *change)
    assert (code, out) == (1, "")
    assert message in error
    assert "Traceback" not in error


def test_judgements_of_other_documents(run_cli, index, files, tmp_path):
    files[3].write_text("q 1\tdoc-17\t1\n")
    code, _, error = run_cli("evaluate", "-s", index, *files)
    assert code == 1
    assert "ids in the judgements are like 'doc-17', ids in the index like 'handbook::page 0.md'" in error


def test_tune_saves_shows_and_forgets(run_cli, index, files):
    code, out, error = run_cli("tune", "-s", index, *files, "--dry-run")
    assert (code, error) == (0, "")
    assert "On questions that had no part in the choice" in out
    assert "Not saved: --dry-run" in out
    code, out, _ = run_cli("tune", "-s", index, *files)
    assert "Not saved: the gain is not certain; --force" in " ".join(out.split())
    assert "search " not in run_cli("info", "-s", index)[1]
    code, out, _ = run_cli("tune", "-s", index, *files, "--force", "--json")
    facts = json.loads(out)
    assert (code, facts["saved"], facts["certain"], len(facts["surface"])) == (0, True, False, 106)
    chosen = facts["chosen"]
    info = " ".join(run_cli("info", "-s", index)[1].split())
    assert f"search {chosen['fusion']}, keyword weight {chosen['keyword_weight']:.2f}, depth {chosen['depth']}" in info
    assert json.loads(run_cli("info", "-s", index, "--json")[1])["manifest"]["search"]["queries"] == 26
    plain = json.loads(run_cli("search", "rare3x common1", "-s", index, "--json")[1])
    options = ("--keyword-weight", chosen["keyword_weight"], "--fusion", chosen["fusion"], "--depth", chosen["depth"])
    assert plain == json.loads(run_cli("search", "rare3x common1", "-s", index, "--json", *options)[1])
    code, out, _ = run_cli("tune", "-s", index, "--reset")
    assert (code, out.startswith("forgotten: ")) == (0, True)
    assert run_cli("tune", "-s", index, "--reset")[1] == "nothing was tuned\n"
    assert "search " not in run_cli("info", "-s", index)[1]


def test_tune_used_wrongly(run_cli, index, files):
    assert run_cli("tune", "-s", index)[0] == 2
    assert run_cli("tune", "-s", index, *files, "--reset")[0] == 2
    code, _, error = run_cli("tune", "-s", index, *files, "--measure", "P@5")
    assert (code, "unknown measure 'P@5'" in error) == (1, True)


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ([0.9, 0.95, 1.0, 0.85, 0.9], "So few questions cannot tell anything: at least 6."),
        ([0.0] * 40, "The questions do not differ enough to tell."),
        ([0.37, -0.37, 0.63, -0.63, 0.1, 0.2, -0.3] * 4, "28 questions show a difference of 0.232 in 4 of 5 cases."),
        ([0.5, -0.5, 0.5, 0.0] * 10, "in 4 of 5 cases; one of 0.125 takes about "),
    ],
)
def test_how_much_it_would_take(differences, words):
    found = compare([0.0] * len(differences), differences)
    assert words in show_evaluation._enough(found)


def test_the_detectable_difference_takes_as_many_questions_as_show_it():
    found = compare([0.0] * 40, [0.5, -0.5, 0.5, 0.0] * 10)
    assert show_evaluation._enough(replace(found, difference=1.001 * found.detectable)).endswith("takes about 40.")
