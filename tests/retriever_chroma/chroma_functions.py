"""Configurations of embedding functions as other programs may have stored them, and who is built from them."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.types import EmbeddingFunction as ChromaFunction
from chromadb.utils.embedding_functions import known_embedding_functions

from retriever.embedding.hashed import HashedEmbedding
from retriever.identity import embedding_manifest
from retriever_chroma.configuration import NAME, to_config


class Foreign(ChromaFunction[Any]):
    """Somebody else's function. Remembers that it was built, which for a real one may mean that its code ran."""

    built: ClassVar[list[object]] = []

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def __call__(self, input):  # noqa: A002
        return [np.ones(4, np.float32) for _ in input]

    @staticmethod
    def build_from_config(config):
        Foreign.built.append(config)
        return Foreign(config)

    @staticmethod
    def name() -> str:
        return "foreign"

    def is_legacy(self) -> bool:
        return False

    def get_config(self):
        return self.config


def foreign(name: str, config: Any) -> Foreign:
    """One that chromadb stores under any name and with any configuration.

    :param name: under which chromadb registers it while it stores it; ours is put back.
    :param config: as JSON.
    """
    cls = type("AnyForeign", (Foreign,), {"name": staticmethod(lambda: name), "__init__": Foreign.__init__})
    return cls(config)


def store_collection(client: ClientAPI, name: str, function: str, config: Any, **options: Any) -> Any:
    """A collection whose configuration names some function, stored by chromadb itself.

    :param client: of chromadb.
    :param name: of the collection.
    :param function: its name.
    :param config: its settings.
    :param options: of ``create_collection``.
    """
    before = dict(known_embedding_functions)
    collection = client.create_collection(name, embedding_function=foreign(function, config), **options)
    known_embedding_functions.clear()
    known_embedding_functions.update(before)
    return collection


def edit_configuration(folder: Path, settings: Any) -> None:
    """Write into Chroma's SQLite file what the configurations of its collections say of their functions.

    :param folder: of a Chroma that is closed.
    :param settings: instead of what stands there.
    """
    with sqlite3.connect(folder / "chroma.sqlite3") as connection:
        for key, text in connection.execute("SELECT id, schema_str FROM collections").fetchall():
            schema = json.loads(text)
            for part in (schema["defaults"], schema["keys"]["#embedding"]):
                part["float_list"]["vector_index"]["config"]["embedding_function"] = settings
            connection.execute("UPDATE collections SET schema_str = ? WHERE id = ?", (json.dumps(schema), key))
    connection.close()


def our_config(size: int = 4, /, **changes: Any) -> dict[str, Any]:
    """What our function stores, with changes.

    :param size: dimension of hashed words.
    :param changes: values by key; None leaves the key out.
    """
    return {key: value for key, value in (_hashed(size) | changes).items() if value is not None}


@cache
def _hashed(size: int) -> dict[str, Any]:
    return to_config(embedding_manifest(HashedEmbedding.from_name(str(size))))


def model_config(model: Any, weights: str = "0" * 64, **settings: Any) -> dict[str, Any]:
    """What our function would store of a sentence-transformers model.

    :param model: its name.
    :param weights: digest.
    :param settings: further ones.
    """
    return our_config(
        kind="sentence-transformers",
        config={"model": model, **settings},
        fingerprint={"kind": "sentence-transformers", "dimension": "4", "weights": weights},
    )


def known(config: Any, name: str = NAME) -> dict[str, Any]:
    """As it stands in a collection.

    :param config: of a function.
    :param name: of it.
    """
    return {"type": "known", "name": name, "config": config}
