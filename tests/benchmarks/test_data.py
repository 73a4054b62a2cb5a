import io
import tarfile
from pathlib import Path

from benchmarks.data import data_folder, extract, read_set


def write_set(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Eins", "text": "zwei"}\n\n{"_id": "d2", "title": "", "text": "drei"}\n', "utf-8"
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one?"}\n{"_id": "q2", "text": "two?"}\n{"_id": "q3", "text": "three?"}\n', "utf-8"
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq3\td1\t1\nq1\td1\t2\nq1\td2\t0\nq9\td2\t1\n", "utf-8"
    )
    return folder


def test_reads_documents_judged_queries_and_grades(tmp_path):
    judged = read_set(write_set(tmp_path / "set"))
    assert [(document.id, document.text) for document in judged.documents] == [("d1", "Eins zwei"), ("d2", "drei")]
    assert judged.queries == {"q1": "one?", "q3": "three?"}
    assert judged.judgements == {"q1": {"d1": 2, "d2": 0}, "q3": {"d1": 1}}


def test_a_limit_takes_the_first_judged_queries_of_the_file(tmp_path):
    judged = read_set(write_set(tmp_path / "set"), limit=1)
    assert judged.queries == {"q1": "one?"}
    assert judged.judgements.keys() == {"q1"}


def write_archive(data: Path, name: str, files: dict[str, str]) -> None:
    (data / "docs").mkdir(exist_ok=True)
    with tarfile.open(data / "docs" / f"{name}.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def test_extracts_markdown_in_order_up_to_a_count(tmp_path):
    write_archive(tmp_path, "one", {"LICENSE": "MIT", "b.md": "B", "a/a.md": "A"})
    write_archive(tmp_path, "two", {"z.md": "Z", "y.md": "Y", "x.md": "X"})
    written = extract(tmp_path, tmp_path / "out", ["one", "two"], 4)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == [
        "one/a/a.md",
        "one/b.md",
        "two/x.md",
        "two/y.md",
    ]
    assert [path.read_text("utf-8") for path in written] == ["A", "B", "X", "Y"]
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 4


def test_extracts_everything_without_a_count(tmp_path):
    write_archive(tmp_path, "one", {"b.md": "B", "a.md": "A"})
    assert len(extract(tmp_path, tmp_path / "out", ["one"])) == 2


def test_the_command_line_goes_before_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRIEVER_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path
    assert data_folder(Path("other")) == Path("other")
    monkeypatch.delenv("RETRIEVER_DATA")
    assert data_folder(None) is None
