"""The report of a run: its HTML is sound, needs nothing from elsewhere, and says what the JSON says."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness_sets import write_scenario

import benchmarks.peers  # noqa: F401 - they register themselves
import retriever.evaluation.report.markdown as short
from benchmarks.__main__ import main
from retriever.errors import ConfigurationError, InvalidInput
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import read_run_folder
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.report.costs import read_prices
from retriever.evaluation.report.figures import Report, report_figures
from retriever.evaluation.report.numbers import chance, score
from retriever.evaluation.report.page import as_html

GRID = """
[grid]
stores = ["memory"]
searches = [{ mode = "keyword" }, {}]
"""
PUBLISHED = """
[[datasets.published]]
name = "a book"
measure = "nDCG@10"
value = 0.5
source = "page 1"
configuration = "*keyword"
"""
LOAD = """
[load]
repetitions = 2
requests = 30
seconds = 0.2
capacity_seconds = 0.1
shares = [0.3, 0.6]
clients = [1]
queries = 5
warm_up = 1
cold = false
"""
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"'"
VOID = {"meta", "br", "hr", "img", "input", "link"}
PRICES = 'currency = "$"\nmachine_hour = 0.5\n[[models]]\nembedding = "*"\nmillion_queries = 2\n'


def scenario(folder, more=""):
    """With a query and a description that try to be markup."""
    path = write_scenario(folder, grid=GRID + LOAD, dataset=PUBLISHED, more=f"description = '''{EVIL}'''\n{more}")
    queries = folder / "set" / "queries.jsonl"
    lines = [json.loads(line) for line in queries.read_text("utf-8").splitlines()]
    lines[0]["text"] = f"{EVIL} submarine"
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Ours and a peer."""
    folder = tmp_path_factory.mktemp("report")
    path = scenario(folder, "peers = ['bare-edge']")
    return run_scenario(path, folder / "run", Workspace(folder / "work"), Progress(hidden=True))


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "prices.toml"
    path.write_text(PRICES, "utf-8")
    return read_prices(path)


@pytest.fixture(scope="module")
def report(run, prices):
    return report_figures(run, prices=prices)


class Page(HTMLParser):
    """Elements that are open, tables by kind, all attributes and scripts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tables, self.attributes, self.scripts, self.ids = [], {}, [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows = self.tables.setdefault(given.get("data-table"), [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append([given, ""])
        elif tag == "script":
            self.scripts.append((given, ""))

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert tag == self.open.pop(), tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1][1] += data


@pytest.fixture(scope="module")
def page(report):
    return Page(as_html(report))


def test_every_element_is_closed_and_every_row_has_all_columns(page):
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {"quality", "waterfall", "costs", "filters", "queries"} <= page.tables.keys()
    for name, rows in page.tables.items():
        widths = {sum(int(given.get("colspan", 1)) for given, _ in row) for row in rows}
        assert widths == {len(rows[0])}, name


def test_it_needs_nothing_from_elsewhere(page, report):
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "style", "onclick", "onerror", "onload"), (tag, name)
        if name in ("href", "action", "data", "xlink:href"):
            assert value.startswith("#"), value
    policy = next(
        value for tag, name, value in page.attributes if (tag, name) == ("meta", "content") and "src" in value
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"@import|url\(", as_html(report))
    assert len(as_html(report)) < 2_000_000


def test_foreign_text_is_no_markup(page, report, run):
    assert len(page.scripts) == 2
    assert [given.get("type") for given, _ in page.scripts] == ["application/json", None]
    assert "alert(1)" not in page.scripts[1][1]
    assert not [tag for tag, *_ in page.attributes if tag == "img"]
    data = json.loads(page.scripts[0][1])
    (place,) = (n for n, query in enumerate(data["asked"]) if query["text"].startswith(EVIL))
    values = {name: of[place]["value"] for name, of in data["fates"].items()}
    pair = [min(values, key=values.__getitem__), max(values, key=values.__getitem__)]
    shown = Page(as_html(report_figures(run, chosen=pair)))
    assert any(EVIL in cell[1] for row in shown.tables["queries"] for cell in row)
    assert "<script" not in short.as_markdown(report).replace("\\<", "")


def test_the_numbers_are_those_of_the_json(page, report):
    facts = json.loads(report.model_dump_json())
    (dataset,) = facts["datasets"]
    heads, *rows = page.tables["quality"]
    at = {text: place for place, (_, text) in enumerate(heads)}
    assert len(rows) == len(dataset["lines"]) == 3
    for row, line in zip(rows, dataset["lines"], strict=True):
        exact = {name: row[place][0].get("data-value") for name, place in at.items()}
        for name in dataset["measures"]:
            assert float(exact[name]) == line["measures"][name]
        assert row[at["nDCG@10"]][1] == score(line["measures"]["nDCG@10"])
        assert (float(exact["95 % from"]), float(exact["to"])) == (line["low"], line["high"])
        assert row[at["published"]][1] == ("nDCG@10 0.500 a book (page 1)" if line["published"] else "")
        if line["against"]:
            assert float(exact["difference"]) == line["against"]["difference"]
            assert row[at["p"]][1] == chance(line["against"]["p_holm"])
    assert sum(bool(line["published"]) for line in dataset["lines"]) == 1
    for row, line in zip(page.tables["waterfall"][1:], dataset["lines"], strict=True):
        counts = [int(given["data-value"]) for given, _ in row[3:]]
        assert counts == [line["reasons"].get(reason, 0) for reason in dataset["reasons"]]
        assert sum(counts) == dataset["queries"]
    costs = facts["times"]["costs"]
    for row, cost in zip(page.tables["costs"][1:], costs, strict=True):
        exact = [given.get("data-value") for given, _ in row]
        assert (float(exact[2]), float(exact[7])) == (cost["shown"]["p50"], cost["capacity"])
        assert float(exact[-3]) == cost["million_queries"]


def test_bars_of_the_waterfall_are_whole(report):
    widths = re.findall(r'<svg class="bar".*?</svg>', as_html(report), re.DOTALL)
    assert len(widths) >= 5
    for bar in widths:
        pieces = [float(width) for width in re.findall(r'width="([\d.]+)%"', bar)]
        assert sum(pieces) == pytest.approx(100, abs=0.01)


def test_prices_follow_from_the_machine(report):
    for cost in report.times.costs:
        assert cost.million_queries == pytest.approx(0.5 / 3_600 / (cost.capacity / 2) * 1e6 + 2)
        assert cost.million_passages == pytest.approx(0.5 / 3_600 / cost.searchable * 1e6)


def test_the_same_run_gives_the_same_bytes(run, prices):
    first, again = (report_figures(read_run_folder(run.path), prices=prices) for _ in range(2))
    assert as_html(first) == as_html(again)
    assert first.model_dump_json() == again.model_dump_json()


def test_another_run_of_the_scenario_differs_in_times_alone(tmp_path):
    path = scenario(tmp_path)
    reports = []
    for name in ("one", "two"):
        made = run_scenario(path, tmp_path / name, Workspace(tmp_path / f"work-{name}"), Progress(hidden=True))
        assert report_figures(made).times.costs
        for timed in ("times.json", "speed.json"):
            (made.path / timed).unlink()
        reports.append(report_figures(read_run_folder(made.path)))
    one, two = reports
    assert as_html(one) == as_html(two)
    assert short.as_markdown(one) == short.as_markdown(two)
    assert one.model_dump_json() == two.model_dump_json()


def test_any_two_configurations_can_be_shown_query_by_query(run):
    figures = report_figures(run, chosen=["*keyword", "*semantic*"]).datasets[0].by_query
    labels = {name: configuration.label for name, configuration in run.configurations.items()}
    assert labels[figures.a].endswith("keyword")
    assert "semantic" in labels[figures.b]
    gaps = [abs(figures.fates[figures.a][n].value - figures.fates[figures.b][n].value) for n in figures.shown]
    assert gaps == sorted(gaps, reverse=True)
    with pytest.raises(InvalidInput, match="no configuration is called nothing"):
        report_figures(run, chosen=["nothing"])


def test_the_command_writes_all_three_beside_the_run(run, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(run.path, path)
    assert main(["report", str(path)]) == 0
    folder = tmp_path / "run-report"
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md", "report.json"}
    assert Report.model_validate_json((folder / "report.json").read_text("utf-8")) == report_figures(
        read_run_folder(path)
    )
    assert main(["verify", str(path)]) == 0
    assert main(["report", str(path), "--markdown", "--out", str(tmp_path / "short")]) == 0
    assert [path.name for path in (tmp_path / "short").iterdir()] == ["report.md"]


def test_wrong_prices_are_refused(tmp_path):
    path = tmp_path / "prices.toml"
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_prices(path)
    path.write_text('currency = "$"\n', "utf-8")
    with pytest.raises(ConfigurationError, match="machine_hour"):
        read_prices(path)


@pytest.mark.parametrize(("module", "command"), [("jinja2", "report"), ("scipy.special", "compare")])
def test_what_is_not_installed_is_named_with_the_line_that_installs_it(run, tmp_path, module, command):
    words = [command, str(run.path), *([str(run.path), "--gate"] if command == "compare" else ["--out", str(tmp_path)])]
    code = f"import sys; sys.modules[{module!r}] = None; from benchmarks.__main__ import main; sys.exit(main({words}))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 1
    assert "hybrid-retriever[evaluation]" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
