"""Collections whose files are damaged, and what repair makes of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import chromadb
import pytest

from retriever import ConfigurationError, Document, Retriever, StoreDamaged, StoreNotFound, repair_index
from retriever.indexing import BATCH
from retriever.repairing import Repairable
from retriever_chroma import ChromaStore
from retriever_chroma.repair import FolderRepair

COUNT = 1_500  # more than Chroma keeps in its queue
METADATA = {"n": 1, "tags": ["a", "b"], "mixed": [1, 2.5], "float": 0.1 + 0.2, "chroma:document": "x", "flag": True}


def text(n: int) -> str:
    """Each document has words of its own: a graph cannot reach all of 1,500 vectors that are nearly equal."""
    return f"Text number{n} about {' '.join(f'word{n * factor % 1_009}' for factor in range(3, 15))}."


@pytest.fixture
def folder(tmp_path, counting):
    with Retriever.open(f"chroma:{tmp_path / 'db'}", embedding="counting") as retriever:
        retriever.index(Document(f"d{n}", text(n), METADATA | {"n": n}) for n in range(COUNT))
    counting.reset()
    return tmp_path / "db"


def graph(folder: Path) -> Path:
    (file,) = folder.glob("*-*/data_level0.bin")
    return file


def kill_marker(folder: Path) -> None:
    """As if the process had been killed."""
    (folder / ".retriever" / "clean").unlink()


def fill_with_ones(file: Path) -> None:
    file.write_bytes(b"\xff" * file.stat().st_size)


def cut(file: Path) -> None:
    (file.parent / "index_metadata.pickle").write_bytes(b"\x80")


def remove(file: Path) -> None:
    (file.parent / "link_lists.bin").unlink()


def check_sound(folder, counting):
    with Retriever.open(f"chroma:{folder}") as retriever:
        assert retriever.verify().problems == []
        assert retriever.store.count() == COUNT
        hit = retriever.search("number77", 1, mode="keyword", filter={"n": 77})[0]
        assert (hit.document_id, dict(hit.chunk.metadata)) == ("d77", METADATA | {"n": 77})
        assert retriever.search(text(78), 1, mode="semantic")[0].document_id == "d78"
        counting.reset()
        again = retriever.index([Document("d1", text(1), METADATA | {"n": 1})])
        assert (again.skipped, again.added, again.updated) == (1, 0, 0)
        with pytest.raises(StoreNotFound):
            Retriever.open(f"chroma:{folder}#retriever.repair")


@pytest.mark.parametrize("damage", [fill_with_ones, cut, remove])
def test_a_damaged_collection_is_refused_and_repaired(folder, damage, counting):
    damage(graph(folder))
    kill_marker(folder)
    with pytest.raises(StoreDamaged, match=r"retriever repair --store chroma:") as caught:
        Retriever.open(f"chroma:{folder}").search("number77")
    assert str(folder) in str(caught.value)
    seen = []
    report = repair_index(f"chroma:{folder}", progress=lambda done: seen.append(done.chunks))
    assert report.chunks == seen[-1] == COUNT
    assert 0 < report.embedded < COUNT, "the vectors of the queue were taken as they are"
    assert 0 < len(counting.documents) <= report.embedded + 8, "canaries apart"
    check_sound(folder, counting)


def test_an_interrupted_repair_goes_on(folder, counting):
    fill_with_ones(graph(folder))
    kill_marker(folder)

    class Enough(Exception):
        pass

    def stop(done):
        if done.chunks >= 2 * BATCH:
            raise Enough

    with pytest.raises(Enough):
        repair_index(f"chroma:{folder}", progress=stop)
    counting.reset()
    assert repair_index(f"chroma:{folder}").chunks == COUNT
    assert len(counting.documents) <= COUNT - 2 * BATCH + 8
    check_sound(folder, counting)


def test_what_changed_since_an_interrupted_repair_counts(folder, counting):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair_index(f"chroma:{folder}", progress=stop)
    with Retriever.open(f"chroma:{folder}") as retriever:
        chunks = {entry.document_id: entry.chunk_id for entry in retriever.store.entries()}
        written = retriever.store.fetch([chunks["d1"], chunks["d2"]])
        retriever.store.delete([chunks["d2"]])
        retriever.store.rewrite([replace(written[chunks["d1"]], metadata={"n": -1})])
    repair_index(f"chroma:{folder}")
    with Retriever.open(f"chroma:{folder}") as retriever:
        assert retriever.store.count() == COUNT - 1
        assert retriever.store.fetch([chunks["d1"]])[chunks["d1"]].metadata == {"n": -1}
        assert len(list((folder / ".retriever").glob("*-*"))) == 1, "the replica of the old collection is gone"
        retriever.store.destroy()
    assert not folder.exists()


def test_a_replacement_that_a_kill_damaged_is_begun_anew(folder, counting):
    damaged = graph(folder)

    def stop(done):
        if done.chunks == COUNT:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair_index(f"chroma:{folder}", progress=stop)
    for file in folder.glob("*-*/data_level0.bin"):
        fill_with_ones(file)
    assert len(list(folder.glob("*-*/data_level0.bin"))) == 2, "both are damaged"
    assert damaged.exists()
    kill_marker(folder)
    assert repair_index(f"chroma:{folder}").chunks == COUNT
    check_sound(folder, counting)


def test_a_repair_that_was_interrupted_before_its_last_step(folder, counting):
    client = chromadb.PersistentClient(folder)
    client.get_collection("retriever", embedding_function=None).modify(name="retriever.repair")
    client.close()
    assert repair_index(f"chroma:{folder}").chunks == 0
    check_sound(folder, counting)


def test_a_sound_collection_can_be_repaired_too_and_others_stay(folder, counting):
    with Retriever.open(f"chroma:{folder}#other", embedding="counting") as other:
        other.index([Document("o", "Something else.")])
    assert repair_index(f"chroma:{folder}").chunks == COUNT
    check_sound(folder, counting)
    with Retriever.open(f"chroma:{folder}#other") as other:
        assert other.search("something", 1)[0].document_id == "o"


def test_where_nothing_can_be_repaired(folder, tmp_path, counting):
    with pytest.raises(StoreNotFound, match="no index"):
        repair_index(f"chroma:{tmp_path / 'nothing'}")
    assert not (tmp_path / "nothing").exists()
    assert isinstance(ChromaStore(), Repairable)
    for store in (ChromaStore(), "chroma://127.0.0.1:1/docs", "memory:", tmp_path / "edge"):
        with pytest.raises(ConfigurationError, match="repair"):
            repair_index(store)
    (folder / "chroma.sqlite3").write_bytes(b"\0" * 5_000)
    with pytest.raises(StoreDamaged, match="SQLite"):
        repair_index(f"chroma:{folder}")


def test_the_address_names_the_collection(folder):
    assert isinstance(ChromaStore(path=folder).repair(), FolderRepair)
    shutil.rmtree(folder)
    assert ChromaStore(path=folder).repair().salvage() is None
