"""The manifest: written, read, refused."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from retriever.chunking import ChunkerConfig
from retriever.errors import ManifestUnreadable
from retriever.keyword.config import AnalyserConfig
from retriever.manifest import (
    SCHEMA_VERSION,
    Calibration,
    EmbeddingManifest,
    Manifest,
    parse_manifest,
    write_manifest_file,
)

MANIFEST = Manifest(
    created_with="1.2.3",
    embedding=EmbeddingManifest(
        kind="hashed",
        config={"dimension": 2, "name": "名", "maybe": None},
        fingerprint={"kind": "hashed"},
        dimension=2,
        canaries=[[0.1, -1.0], [1e-30, 3.4e38]],
    ),
    chunker=ChunkerConfig(size=100, overlap=10),
    analyser=AnalyserConfig(language="german"),
    filter_fields={"year": "number", "a.b": "keyword", "draft": "bool"},
    calibration=Calibration(chunks=5, average_length=12.5, unknown_rate=0.25),
)


def changed(**fields):
    """The manifest as JSON with other fields."""
    return json.dumps({**MANIFEST.model_dump(mode="json"), **fields})


@pytest.mark.parametrize("manifest", [MANIFEST, MANIFEST.model_copy(update={"calibration": None})])
def test_round_trip(manifest):
    assert parse_manifest(manifest.model_dump_json(), "x") == manifest


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_canaries_come_back_exactly(canary):
    embedding = MANIFEST.embedding.model_copy(update={"canaries": [canary]})
    manifest = MANIFEST.model_copy(update={"embedding": embedding})
    assert parse_manifest(manifest.model_dump_json(), "x").embedding.canaries == [canary]


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "5", "{}", '"text"', "\0", '{"schema_version": "new"}', changed()[:-20], changed() + "}"],
)
def test_damage_is_told_with_the_place(text):
    with pytest.raises(ManifestUnreadable, match=r"the manifest of qdrant:here is damaged: restore it"):
        parse_manifest(text, "qdrant:here")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"embedding": None}, "embedding"),
        ({"embedding": {**MANIFEST.embedding.model_dump(), "dimension": 0}}, "embedding.dimension"),
        ({"embedding": {**MANIFEST.embedding.model_dump(), "canaries": [[1.0]]}}, "embedding.canaries"),
        ({"embedding": {**MANIFEST.embedding.model_dump(), "canaries": [[1.0, "x"]]}}, "embedding.canaries.0.1"),
        ({"embedding": {**MANIFEST.embedding.model_dump(), "key": 1}}, "embedding.key"),
        ({"chunker": {"size": 2}}, "chunker.size"),
        ({"filter_fields": {"year": "date"}}, "filter_fields.year"),
        ({"calibration": {"chunks": 1}}, "calibration.average_length"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_damaged_part_is_named(fields, place):
    with pytest.raises(ManifestUnreadable, match=rf"the manifest of x is damaged at '{place}'"):
        parse_manifest(changed(**fields), "x")


def test_a_newer_version_names_both_and_the_command():
    newer = changed(schema_version=SCHEMA_VERSION + 7, future={"unknown": True})
    with pytest.raises(ManifestUnreadable, match=rf"of x has schema version {SCHEMA_VERSION + 7}.*knows") as caught:
        parse_manifest(newer, "x")
    assert f"this program knows {SCHEMA_VERSION}:" in str(caught.value)
    assert "pip install -U hybrid-retriever" in str(caught.value)


def test_messages_hold_nothing_of_the_content():
    with pytest.raises(ManifestUnreadable) as caught:
        parse_manifest(changed(embedding={"api_key": "hunter2"}), "x")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_manifests_are_frozen():
    with pytest.raises(ValidationError):
        MANIFEST.created_with = "other"


def test_a_file_is_replaced_whole(tmp_path):
    file = tmp_path / "manifest.json"
    write_manifest_file(file, MANIFEST)
    assert parse_manifest(file.read_text(encoding="utf-8"), "x") == MANIFEST
    other = MANIFEST.model_copy(update={"created_with": "2"})
    write_manifest_file(file, other)
    assert parse_manifest(file.read_text(encoding="utf-8"), "x") == other
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    file = tmp_path / "manifest.json"
    write_manifest_file(file, MANIFEST)
    before = file.read_bytes()
    embedding = MANIFEST.embedding.model_copy(update={"config": {"it": object()}})
    with pytest.raises(PydanticSerializationError):
        write_manifest_file(file, MANIFEST.model_copy(update={"embedding": embedding}))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_put_in_place_leaves_nothing_behind(tmp_path):
    place = tmp_path / "manifest.json"
    (place / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"manifest\.json"):
        write_manifest_file(place, MANIFEST)
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="rights do not bind this user")
def test_a_folder_without_rights_keeps_the_old_file(tmp_path):
    file = tmp_path / "manifest.json"
    write_manifest_file(file, MANIFEST)
    before = file.read_bytes()
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_manifest_file(file, MANIFEST.model_copy(update={"created_with": "2"}))
    finally:
        tmp_path.chmod(0o700)
    assert file.read_bytes() == before
