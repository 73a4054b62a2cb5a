"""The chain of examples/rag_chain.py: its answers, and that what it cites stands where it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT / "examples/handbook"

ANSWERS = {
    "How long is an old key valid?": ("keys.md", "The old key stays valid for another fourteen days"),
    "What does E4717 mean?": ("errors.md", "The signature of a package does not belong to any known key."),
    "访客的车停在哪里？": ("访客.md", "访客可以把车停在北门外的停车场，前两个小时免费。"),
}


def test_answers_cite_the_very_characters(tmp_path):
    result = subprocess.run(
        [sys.executable, ROOT / "examples/rag_chain.py", *ANSWERS],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.iterdir()) == []  # it leaves nothing behind
    head, *parts = result.stdout.split("\n\n")
    assert re.fullmatch(r"3 documents, \d+ chunks", head)
    for (question, (document, sentence)), part in zip(ANSWERS.items(), parts, strict=True):
        asked, answer, source = part.strip().splitlines()
        assert asked == question
        quote = re.fullmatch(r"  “(.+)” \[\d\]", answer)[1]
        assert quote.startswith(sentence)
        name, start, end, shown = re.fullmatch(r"  handbook::(\S+), (\d+)-(\d+): (.+)", source).groups()
        assert name == document
        text = (HANDBOOK / name).read_text(encoding="utf-8")
        assert text[int(start) : int(end)] == shown == quote


@pytest.mark.parametrize(
    "answer", ["“The key is under the mat.” [1]", "The key is here [1]", "“The old key” [7]", "“The old key” [0]"]
)
def test_what_no_source_says_is_no_answer(answer, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from langchain_core.documents import Document
    from rag_chain import find_citation

    source = Document("The old key stays valid.", metadata={"retrieval": {"document_id": "a", "start": 3, "end": 27}})
    assert find_citation("“old key” [1]", [source]).start == 7
    with pytest.raises(ValueError, match="no source says so"):
        find_citation(answer, [source])
