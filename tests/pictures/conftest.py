"""A function that sees colours, and a folder of pictures."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # with --import-mode=importlib pytest leaves it out

from picture_samples import CachedColours, Colours, draw

from retriever.registry import register
from retriever.testing import CountingSparse


@pytest.fixture
def colours():
    """Registered as a plug-in is; counts what it looks at."""
    kinds = (Colours, CachedColours)
    undo = [register("retriever.embeddings", kind.kind, kind) for kind in kinds]
    Colours.reset()
    yield Colours
    for unregister in undo:
        unregister()


@pytest.fixture
def terms():
    """A learned sparse model, registered likewise; counts what it encodes."""
    CountingSparse.reset()
    unregister = register("retriever.sparse", CountingSparse.kind, CountingSparse)
    yield CountingSparse
    unregister()


@pytest.fixture
def album(tmp_path):
    """Three pictures and a text."""
    folder = tmp_path / "album"
    draw(folder / "red_car.png", "red")
    draw(folder / "trips" / "IMG-0001.JPG", "blue", format="JPEG")
    draw(folder / "garden.webp", "green")
    (folder / "notes.txt").write_text("The meeting is on Monday.")
    return folder
