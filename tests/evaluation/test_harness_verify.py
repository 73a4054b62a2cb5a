import json
import shutil

import pytest
from harness_sets import GRID, write_scenario

from benchmarks.__main__ import main
from retriever.evaluation.harness.progress import Progress
from retriever.evaluation.harness.records import read_run_folder
from retriever.evaluation.harness.running import run_scenario
from retriever.evaluation.harness.steps import Workspace
from retriever.evaluation.harness.summary import summarise
from retriever.evaluation.harness.verifying import verify_run
from retriever.evaluation.harness.writing import file_hashes

BARS = '[[bars]]\ndataset = "office"\nconfiguration = "*, keyword"\nmeasure = "MRR@10"\nat_least = 0.1\n'


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    path = write_scenario(folder, grid=GRID + BARS)
    return run_scenario(path, folder / "run", Workspace(folder / "work"), Progress(hidden=True)).path


@pytest.fixture
def copy(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / "run")


def seal(folder):
    """A forger who knows of the checksums writes them anew."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(manifest | {"files": file_hashes(folder)}), "utf-8")


def change_json(path, change):
    content = json.loads(path.read_text("utf-8"))
    change(content)
    path.write_text(json.dumps(content), "utf-8")


def change_record(folder, change):
    """In the first file of records, the first one."""
    path = sorted((folder / "records" / "office").iterdir())[0]
    first, *rest = path.read_text("utf-8").splitlines()
    record = json.loads(first)
    change(record)
    path.write_text("\n".join([json.dumps(record), *rest]) + "\n", "utf-8")


def test_a_run_as_it_was_written_is_sound(sound):
    assert verify_run(sound) == []


def test_times_may_change(copy):
    change_json(copy / "times.json", lambda times: times.update(seconds=1.0))
    assert verify_run(copy) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda s: s["rows"][0]["measures"].update({"nDCG@10": 0.99}), "summary.rows[0].measures.nDCG@10 is 0.99"),
        (lambda s: s["rows"][3].update(low=0.5), "summary.rows[3].low is 0.5"),
        (lambda s: s["rows"][0].update(group="z"), "summary.rows[0].group is 'z'"),
        (lambda s: s["rows"][-1]["against"].update(p_holm=0.001), "against.p_holm is 0.001"),
        (lambda s: s["rows"][0]["reasons"].update(found=4), "summary.rows[0].reasons.found is 4"),
        (lambda s: s["bars"][0].update(value=0.2), "summary.bars[0].value is 0.2"),
        (lambda s: s["bars"][0].update(at_least=0.05), "summary.bars[0].at_least is 0.05"),
        (lambda s: s["rows"].reverse(), "summary.rows[0]."),
    ],
)
def test_a_number_of_the_summary_that_was_changed_is_named(copy, change, named):
    change_json(copy / "summary.json", change)
    seal(copy)
    assert named in "\n".join(verify_run(copy))


def test_a_measure_of_a_record_that_was_changed_is_named(copy):
    change_record(copy, lambda record: record["measures"].update({"MAP": 0.123}))
    seal(copy)
    found = "\n".join(verify_run(copy))
    assert "query q1: MAP is 0.123, computed again it is" in found
    assert "measures.MAP" in found


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r: r["top"].reverse(), "its best documents are not those of the run file"),
        (lambda r: r.update(top=[]), "its best documents are not those of the run file"),
        (lambda r: r.update(reason="lost by fusion"), "the run file does not bear out 'lost by fusion'"),
        (lambda r: r.update(query="q9"), "the records are not those of the dataset's queries"),
        (lambda r: r.update(extra=1), "is damaged at extra"),
        (lambda r: r.update(top=[["keys", "high"]]), "is damaged at top.0.1"),
    ],
)
def test_a_record_that_was_changed_is_named(copy, change, named):
    change_record(copy, change)
    seal(copy)
    assert named in "\n".join(verify_run(copy))


def test_a_run_file_that_was_changed_is_named(copy):
    path = sorted((copy / "runs" / "office").iterdir())[0]
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(lines[1:]) + "\n", "utf-8")
    seal(copy)
    assert "its best documents are not those of the run file" in "\n".join(verify_run(copy))


def test_judgements_that_were_changed_are_noticed(copy):
    path = copy / "qrels" / "office.jsonl"
    path.write_text(path.read_text("utf-8").replace('"errors", "grade": 2', '"keys", "grade": 2'), "utf-8")
    seal(copy)
    assert "query q2: nDCG@10 is" in "\n".join(verify_run(copy))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.update(measure="MAP"), "manifest.measure is 'MAP'"),
        (lambda m: m.update(seed=4), "manifest.seed is 4"),
        (lambda m: m["datasets"][0].update(queries=60), "manifest: office.queries is 60"),
        (lambda m: m["datasets"][0]["checksums"].update(qrels="0" * 64), "manifest: office.checksums.qrels is '0000"),
    ],
)
def test_what_the_manifest_repeats_is_compared(copy, change, named):
    change_json(copy / "manifest.json", change)
    assert named in "\n".join(verify_run(copy))


def test_a_configuration_that_was_dropped_is_missed(copy):
    folder = read_run_folder(copy)
    kept = folder.measured[1:]
    facts = {(row.dataset, row.configuration): (row.chunks, row.notes) for row in folder.summary.rows}
    again = summarise(folder.scenario, folder.configurations, {key: folder.records(*key) for key in kept}, facts)
    (copy / "summary.json").write_text(again.model_dump_json(), "utf-8")
    seal(copy)
    dataset, name = folder.measured[0]
    assert verify_run(copy) == [f"records/{dataset}/{name}.jsonl is of no row of the summary"]


@pytest.mark.parametrize("name", ["scenario.toml", "left-out.json", "qrels/office.txt", "queries/office.jsonl"])
def test_any_file_that_was_changed_is_named(copy, name):
    with (copy / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    assert verify_run(copy) == [f"{name} was changed: its checksum is not the one in the manifest"]


def test_files_that_are_missing_or_new_are_named(copy):
    (copy / "qrels" / "office.txt").unlink()
    (copy / "notes.txt").write_text("a", "utf-8")
    assert verify_run(copy) == ["notes.txt was not there when the run ended", "qrels/office.txt is not there"]


def test_the_command_says_what_differs(copy, capsys):
    assert main(["verify", str(copy)]) == 0
    assert "every number is what its records give" in capsys.readouterr().out
    change_json(copy / "summary.json", lambda s: s["rows"][0]["measures"].update({"MAP": 0.5}))
    assert main(["verify", str(copy)]) == 1
    printed = capsys.readouterr().out
    assert "summary.json was changed" in printed
    assert "summary.rows[0].measures.MAP is 0.5" in printed


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "is no folder of a run" in capsys.readouterr().out


def test_a_run_of_a_newer_program(copy):
    change_json(copy / "manifest.json", lambda manifest: manifest.update(schema_version=9))
    assert verify_run(copy) == [f"{copy} has schema version 9, this program reads 1"]
