"""The command line, run as a program runs it: arguments in, output and exit code out."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest


@pytest.fixture
def run(run_cli):
    return run_cli


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "keys.md").write_text("# Keys\n\n## Rotation\n\nRotate the signing key every ninety days.")
    (folder / "cake.md").write_text("# Cake\n\nFlour, sugar, eggs.")
    (folder / "中文.md").write_text("# 密钥\n\n签名密钥每九十天轮换一次。", encoding="utf-8")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\x00\x00\x01")
    return folder


@pytest.fixture
def store(run, docs, tmp_path):
    path = tmp_path / "index"
    code, _, error = run("index", docs, "--store", path, "--embedding", "hashed", "--source", "handbook")
    assert (code, error) == (0, "")
    return path


def test_index_says_what_it_did(run, docs, tmp_path):
    code, out, _ = run("index", docs, "--store", tmp_path / "i", "-e", "hashed")
    assert code == 0
    assert "photo.jpg" in out
    assert "3 chunks in qdrant:" in " ".join(out.split())  # the path may be too long for the line
    code, out, _ = run("index", docs, "--store", tmp_path / "i", "--json")
    (report,) = json.loads(out)["reports"]
    assert (report["added"], report["skipped"], report["documents"]) == (0, 3, 3)
    assert report["ignored"][0]["item"] == "photo.jpg"


def test_search_shows_source_reason_and_place(run, store):
    code, out, _ = run("search", "rotating the signing key", "-s", store, "-k", "1")
    assert code == 0
    for part in (
        "keys.md",
        "1. keys.md  Keys",
        "handbook::keys.md characters 0 to",
        "semantic #1",
        "matched rotat sign key",
    ):
        assert part in out
    assert "Cake" not in out


def test_search_in_chinese(run, store):
    _, out, _ = run("search", "密钥多久轮换", "-s", store, "-k", "1")
    assert "中文.md" in out


def test_search_as_json_holds_everything(run, store):
    _, out, _ = run("search", "signing key", "-s", store, "-k", "1", "--json", "-f", '{"path": "keys.md"}')
    (hit,) = json.loads(out)["hits"]
    assert hit["document_id"] == "handbook::keys.md"
    assert hit["text"].startswith("# Keys")
    assert hit["legs"]["keyword"]["rank"] == 1
    assert (hit["start"], hit["end"]) == (0, len(hit["text"]))
    assert hit["matched_terms"] == ["sign", "key"]


def test_nothing_found(run, store):
    code, out, _ = run("search", "zzz", "-s", store, "-m", "keyword")
    assert (code, out) == (0, "nothing found\n")


def test_info_and_verify(run, store):
    code, out, _ = run("info", "-s", store)
    assert code == 0
    assert "3 of 3 documents" in out
    assert "handbook: 3 documents" in out
    _, out, _ = run("info", "-s", store, "--json")
    assert json.loads(out)["manifest"]["embedding"]["kind"] == "hashed"
    code, out, _ = run("verify", "-s", store)
    assert code == 0
    assert out.startswith("sound: 3 chunks of 3 documents")
    code, out, _ = run("recalibrate", "-s", store)
    assert "calibrated on 3 chunks" in out


def test_verify_of_a_damaged_index_exits_with_1(run, store):
    from retriever import Retriever
    from retriever.stores import Record

    with Retriever.open(store) as retriever:
        entry = next(iter(retriever.store.entries()))
        key = retriever.store.key(entry.chunk_id)
        chunk = retriever.store.fetch([key])[key]
        retriever.store.upsert([Record(chunk, retriever.embedding.embed_query("foreign"), {"x": 1})])
    code, out, _ = run("verify", "-s", store)
    assert code == 1
    assert entry.chunk_id in out.replace("\n", "")


def test_delete(run, store):
    code, out, _ = run("delete", "-s", store, "-d", "handbook::cake.md")
    assert (code, out) == (0, "1 chunks deleted\n")
    code, out, _ = run("delete", "-s", store, "--all", "--yes", "--json")
    assert json.loads(out) == {"deleted": f"qdrant:{store}"}
    assert not store.exists()
    assert run("delete", "-s", store, "--all", "--yes")[0] == 1


@pytest.mark.parametrize(("answer", "left"), [("n\n", True), ("", True), ("y\n", False)])
def test_deleting_everything_asks_first(run, store, monkeypatch, answer, left):
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert run("delete", "-s", store, "--all")[0] == int(left)
    assert store.exists() == left


@pytest.mark.parametrize("damage", ["manifest.json", "shard"])
def test_a_damaged_index_can_be_deleted(run, store, damage):
    if damage == "shard":
        shutil.rmtree(store / "shard")
    else:
        (store / "manifest.json").write_text("{")
    code, _, error = run("search", "x", "-s", store)
    assert code == 1
    assert "Traceback" not in error
    assert run("delete", "-s", store, "--all", "--yes")[0] == 0
    assert not store.exists()


def test_names_are_no_markup(run, docs, tmp_path):
    code, out, _ = run("index", docs, "-s", tmp_path / "i", "-e", "hashed", "--source", "[/x] [red]y")
    assert code == 0
    assert "[/x] [red]y" in out
    assert "[/x] [red]y" in run("info", "-s", tmp_path / "i")[1]


def test_a_bad_path_or_source_makes_nothing(run, docs, tmp_path):
    for arguments in ([docs, "nosuch"], [docs, "--source", "a::b"], [docs, "--source", ""]):
        code, _, error = run("index", *arguments, "-s", tmp_path / "new", "-e", "hashed")
        assert (code, error[:7]) == (1, "error: ")
        assert not (tmp_path / "new").exists()


def _program(*arguments, **settings):
    code = "from retriever.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings
    )


def test_an_interruption_is_told(tmp_path):
    os.mkfifo(tmp_path / "queue")  # as a root it is skipped at once, so wait in the confirmation instead
    waiting = _program("delete", "-s", tmp_path, "--all", stdin=subprocess.PIPE)
    assert waiting.stderr.read(6) == b"Delete"
    waiting.send_signal(signal.SIGINT)
    _, error = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert b"interrupted" in error


def test_what_the_output_cannot_encode_is_escaped(store):
    shown = _program("search", "密钥", "-s", store, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    out, error = shown.communicate(timeout=60)
    assert (shown.returncode, error) == (0, b"")
    assert b"\\u5bc6" in out


def test_a_failed_document_gives_exit_code_3(run, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n{broken\n')
    code, out, _ = run("index", tmp_path / "rows.jsonl", "-s", tmp_path / "i", "-e", "hashed")
    assert code == 3
    assert "failed: rows.jsonl" in out
    assert "1 chunks in" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "", "-s", "{store}"], "the query is empty"),
        (["search", "x", "-s", "{store}", "-k", "0"], "k is 0"),
        (["search", "x", "-s", "{store}", "-k", "-1"], "k is -1"),
        (["search", "x", "-s", "{store}", "-f", "{oops"], "--filter is not JSON"),
        (["search", "x", "-s", "{store}", "-f", "[1]"], "--filter is a JSON object"),
        (["search", "x", "-s", "{store}", "-f", '{"a": {"$near": 1}}'], "$near"),
        (["search", "x", "-s", "{store}/nowhere"], "there is no index at"),
        (["index", "nowhere", "-s", "{store}"], "nowhere"),
        (["index", ".", "-s", "{store}", "-e", "hashed:7"], "hashed"),
        (["index", ".", "-s", "{store}", "--chunk-size", "8", "--overlap", "7"], "overlap"),
        (["index", ".", ".", "-s", "{store}", "--source", "x"], "--source"),
        (["index", ".", "-s", "{store}", "--filter-field", "year"], "KEY:number"),
        (["info", "-s", "ftp:x"], "ftp"),
        (["search", "x", "-s", "{store}", "-f", '{"a": ' + "1" * 5000 + "}"], "--filter is not JSON"),
        (["search", "x", "-s", "{store}", "-f", "[" * 100_000], "--filter is not JSON"),
        (["search", "x", "-s", "{store}", "--depth", "9" * 30], "depth is"),
        (["delete", "-s", "{store}", "-d", "\udcff"], "surrogate"),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_1(run, store, arguments, message):
    code, out, error = run(*[argument.replace("{store}", str(store)) for argument in arguments])
    assert (code, out) == (1, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments", [["search"], ["nonsense"], ["delete", "-s", "x"], ["search", "x", "-m", "fuzzy", "-s", "x"]]
)
def test_wrong_usage_exits_with_2(run, arguments):
    code, _, error = run(*arguments)
    assert code == 2
    assert "Usage" in error


def test_markup_in_texts_is_shown_as_it_is(run, tmp_path):
    (tmp_path / "a.md").write_text("see [bold]this[/bold] and [/oops] and \x1b[31mred")
    run("index", tmp_path / "a.md", "-s", tmp_path / "i", "-e", "hashed")
    code, out, _ = run("search", "oops", "-s", tmp_path / "i")
    assert code == 0
    assert "[bold]this[/bold] and [/oops]" in out
    assert "\x1b" not in out


def test_the_program_is_installed():
    result = subprocess.run(
        [sys.executable, "-c", "from retriever.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("index", "search", "info", "verify", "delete", "recalibrate", "copy", "repair"):
        assert command in result.stdout
