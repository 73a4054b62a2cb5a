"""A small set in BEIR layout, and scenarios about it."""

import json
from pathlib import Path

DOCUMENTS = {
    "keys": ("Signing keys", "Signing keys are rotated every quarter. The old key stays valid for a week."),
    "errors": ("Error codes", "E4711 means that the disk is full. E4712 means that it is read only."),
    "visitors": ("访客", "访客需要在前台登记，并由员工陪同。"),
    "backup": ("Backups", "A full backup runs at night, to another building. Restoring takes an hour."),
    "travel": ("Travel", "Trains are booked by the office; flights need an approval by the head of the team."),
    "noise": ("", "Coffee is free. The kitchen closes at six."),
}
QUERIES = {
    "q1": ("how often are keys rotated", {"keys": 1}),
    "q2": ("E4712", {"errors": 2}),
    "q3": ("访客登记", {"visitors": 1}),
    "q4": ("restore a backup", {"backup": 1, "noise": 0}),
    "q5": ("who approves a flight", {"travel": 1}),
    "q6": ("submarine", {"noise": 1}),
}


def write_beir(folder: Path) -> Path:
    """The set, in a folder that is made."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "title": title, "text": text} for name, (title, text) in DOCUMENTS.items()]
    queries = [{"_id": name, "text": text} for name, (text, _) in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    grades = [f"{query}\t{name}\t{grade}" for query, (_, judged) in QUERIES.items() for name, grade in judged.items()]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *grades]) + "\n", "utf-8")
    return folder


GRID = """
[grid]
embeddings = ["hashed"]
chunkers = [{ kind = "whole" }, { size = 16, overlap = 4 }]
stores = ["memory"]
searches = [{ mode = "keyword" }, { mode = "semantic" }, {}, { fusion = "rrf", keyword_weight = 0.3 }]
"""


def write_scenario(folder: Path, more: str = "", grid: str = GRID, dataset: str = "") -> Path:
    """A scenario's file, with the set beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "set").exists():
        write_beir(folder / "set")
    path = folder / "small.toml"
    head = f'name = "small"\n{more}\n[[datasets]]\nname = "office"\npath = "set"\n{dataset}\n'
    path.write_text(head + grid, "utf-8")
    return path
