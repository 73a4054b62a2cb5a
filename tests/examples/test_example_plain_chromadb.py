"""The example for users of plain chromadb runs, and says what it did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_chromadb.py"


def test_two_processes_share_a_collection_by_its_name(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "made: notes, 3 documents",
        "asked: keys",
        "added and found: parking",
        "hybrid search: keys, in keyword and semantic, matched e1234",
    ]
    assert not list(tmp_path.iterdir())
