"""Real files, and embedding functions that read them."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from retriever.embedding import EmbeddingConfig, EmbeddingFunction
from retriever.tokeniser import WordTokeniser

COLOURS = {"red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255)}


def draw(path: Path, colour="red", size=(40, 30), mode="RGB", **settings) -> Path:
    """Save a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **settings)
    return path


class ColoursConfig(EmbeddingConfig):
    tint: int = 0
    """Another number is another model of pictures under the same name."""


class Colours(EmbeddingFunction):
    """Knows three colours, by their names and by sight; a fourth dimension is for texts without any."""

    kind = "colours"
    dimension = 4
    tokeniser = WordTokeniser()
    max_tokens = 8
    Config = ColoursConfig
    tinted: ClassVar[float] = 0.0
    seen: ClassVar[list[tuple[int, int]]] = []
    """Sizes of the pictures that were embedded, test pictures included."""
    read: ClassVar[list[str]] = []

    @classmethod
    def reset(cls):
        cls.tinted = 0.0
        cls.seen.clear()
        cls.read.clear()

    def _embed(self, texts, role):
        self.read.extend(texts)
        rows = np.zeros((len(texts), 4), np.float32)
        for row, text in enumerate(texts):
            for place, name in enumerate(COLOURS):
                rows[row, place] = text.lower().split().count(name)
            rows[row, 3] = 0.1 + (not rows[row].any())
        return rows

    def _embed_images(self, images):
        self.seen.extend(image.size for image in images)
        means = np.stack([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in images]) / 255
        return np.hstack([means, np.full((len(images), 1), 0.05 + Colours.tinted)])


class CachedColours(Colours):
    kind = "cached-colours"
    is_cached = True
