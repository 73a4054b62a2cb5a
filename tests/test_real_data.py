"""Keyword search on real sets; the other figures take a model and minutes: ``make bench``."""

import pytest

from benchmarks.__main__ import main


@pytest.mark.parametrize("name", ["xquad-zh", "xquad-de", "msvc-errors"])
def test_the_keyword_leg_reaches_its_bar(data, name):
    assert main(["quality", "--data", str(data), "--sets", name, "--limit", "600"]) == 0
