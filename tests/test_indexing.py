"""Indexing: the store is the ledger. Every test runs on the exact store and on the embedded one."""

import random
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever import (
    ChunkerConfig,
    Document,
    EmbeddingError,
    InvalidInput,
    MemoryStore,
    RecordsRefused,
    Retriever,
    StoreError,
    Unloaded,
)
from retriever.embedding.hashed import HashedEmbedding
from retriever.indexing import BATCH
from retriever.metadata import record_hash

SMALL = ChunkerConfig(size=24, overlap=4)
PARAGRAPHS = [
    f"Paragraph {n} speaks of {word}. It has a second sentence about {word} too."
    for n, word in enumerate(["apples", "bridges", "clouds", "drums", "engines", "forests", "gardens", "harbours"])
]


@pytest.fixture(params=["memory", "edge"])
def index(request, counting, tmp_path):
    address = "memory:" if request.param == "memory" else str(tmp_path / "index")
    with Retriever.open(address, embedding=counting(), chunker=SMALL) as opened:
        counting.reset()
        yield opened


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "docs"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / f"{name}.md").write_text(f"# File {name}\n\n" + "\n\n".join(PARAGRAPHS), encoding="utf-8")
    return root


def contents(retriever):
    """Everything in the index, by chunk id; each id must be there once."""
    store = retriever.store
    ids = [entry.chunk_id for entry in store.entries()]
    assert len(ids) == len(set(ids)) == store.count()
    return {chunk.id: chunk for chunk in store.fetch([store.key(chunk_id) for chunk_id in ids]).values()}


def check_spans(retriever, texts):
    """Every chunk is its document's text at its span."""
    chunks = contents(retriever).values()
    assert chunks
    for chunk in chunks:
        assert texts[chunk.document_id][chunk.start : chunk.end] == chunk.text


def test_the_same_folder_again_costs_nothing(index, folder, counting):
    first = index.index(folder)
    assert first.added == len(contents(index)) > 12
    before = contents(index)
    counting.reset()
    again = index.index(folder)
    assert (again.added, again.updated, again.deleted, again.skipped) == (0, 0, 0, first.added)
    assert counting.documents == []
    assert contents(index) == before


def test_nothing_is_written_for_an_unchanged_folder(folder, counting):
    class Watched(MemoryStore):
        writes = 0

        def upsert(self, records):
            self.writes += len(records)
            super().upsert(records)

        def rewrite(self, chunks):
            self.writes += len(chunks)
            super().rewrite(chunks)

        def delete(self, chunk_ids):
            self.writes += len(chunk_ids)
            super().delete(chunk_ids)

    store = Watched()
    retriever = Retriever.open(store, embedding=counting(), chunker=SMALL)
    retriever.index(folder)
    assert store.writes > 0
    store.writes = 0
    retriever.index(folder)
    assert store.writes == 0


def test_an_edit_above_embeds_only_what_changed_and_keeps_spans_right(index, folder, counting):
    index.index(folder)
    file = folder / "b.md"
    edited = file.read_text().replace(
        "Paragraph 0 speaks of apples.", "Now the first paragraph is about something longer."
    )
    file.write_text(edited)
    counting.reset()
    report = index.index(folder)
    assert 0 < report.added <= 2
    assert len(counting.documents) == report.added
    assert report.deleted >= 1
    assert report.updated > 0, "the chunks below have moved"
    source = folder.as_posix()
    check_spans(index, {f"{source}::{f.name}": f.read_text() for f in folder.iterdir()})


def test_two_roots_with_the_same_file_name_do_not_meet(index, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "docs").mkdir(parents=True)
        (tmp_path / name / "docs" / "README.md").write_text("The same words in both.")
        index.index(tmp_path / name / "docs")
    chunks = contents(index).values()
    assert len(chunks) == len({chunk.document_id for chunk in chunks}) == 2


def test_sources_whose_names_and_ids_run_together_do_not_meet(index):
    index.index([Document("b::c", "one text")], source="a")
    index.index([Document("a::b::c", "one text")])
    assert len(contents(index)) == 2
    index.index([Document("a::b::c", "another text")])
    assert sorted(chunk.text for chunk in contents(index).values()) == ["another text", "one text"]


def test_a_text_twice_in_one_file_is_there_twice(index):
    section = f"# Same\n\n{PARAGRAPHS[0]}"
    index.index([Document("twice", "\n\n".join([section] * 3))])
    same = [chunk for chunk in contents(index).values() if chunk.text == section]
    assert len(same) == 3
    assert len({chunk.start for chunk in same}) == 3


def test_changed_metadata_is_rewritten_without_embedding(index, counting):
    index.index([Document("d", PARAGRAPHS[0], {"year": 2020, "tag": "old"})])
    counting.reset()
    report = index.index([Document("d", PARAGRAPHS[0], {"year": 2021})])
    assert (report.added, report.updated, report.deleted) == (0, len(contents(index)), 0)
    assert counting.documents == []
    assert [chunk.metadata for chunk in contents(index).values()] == [{"year": 2021}] * report.updated
    assert len(index.search("apples", filter={"year": 2021})) > 0
    assert index.search("apples", filter={"tag": "old"}) == []


def test_comments_of_source_code_are_no_headings(index, tmp_path):
    root = tmp_path / "src"
    root.mkdir()
    (root / "a.py").write_text("# The first line\n\nx = 1\n")
    (root / "a.md").write_text("# The first line\n\nx = 1\n")
    index.index(root)
    found = {chunk.metadata["path"]: chunk.metadata.get("headings") for chunk in contents(index).values()}
    assert found == {"a.py": None, "a.md": ["The first line"]}


def test_the_index_is_not_indexed(counting, tmp_path):
    (tmp_path / "a.md").write_text("some text")
    with Retriever.open(tmp_path / "index", embedding=counting()) as retriever:
        assert retriever.index(tmp_path).added == 1
        again = retriever.index(tmp_path)
        assert (again.documents, again.added, again.deleted) == (1, 0, 0)


def test_prune_deletes_what_is_gone_from_this_source_only(index, folder):
    index.index(folder)
    index.index([Document("kept", "a document of another source")])
    (folder / "a.md").unlink()
    report = index.index(folder)
    assert report.deleted > 0
    left = {chunk.document_id for chunk in contents(index).values()}
    assert left == {f"{folder.as_posix()}::b.md", f"{folder.as_posix()}::c.md", "kept"}


def test_documents_are_pruned_only_when_asked(index):
    index.index([Document("a", "first"), Document("b", "second")])
    index.index([Document("a", "first")])
    assert len(contents(index)) == 2
    index.index([Document("a", "first")], prune=True)
    assert [chunk.document_id for chunk in contents(index).values()] == ["a"]


def test_what_failed_to_load_is_never_pruned(index):
    names = ["gone", "broken.pdf#page=1", "locked/deep/file.md", "locked", "lockedness"]
    index.index([Document(name, f"text of {name}") for name in names], source="s")
    report = index.index(
        [Document("x", "new"), Unloaded("broken.pdf", "broken", "failed"), Unloaded("locked", "no rights", "failed")],
        source="s",
        prune=True,
    )
    left = {chunk.document_id for chunk in contents(index).values()}
    assert left == {"s::x", "s::broken.pdf#page=1", "s::locked/deep/file.md", "s::locked"}
    assert [problem.item for problem in report.failed] == ["broken.pdf", "locked"]


def test_none_in_a_stream_is_a_problem_and_not_its_end(index):
    index.index([Document("a", "first"), Document("b", "second")])
    report = index.index([Document("a", "first"), None, Document("b", "second")], prune=True)
    assert (report.deleted, len(report.failed)) == (0, 1)
    assert len(contents(index)) == 2


def test_a_file_prunes_only_what_was_in_it(index, tmp_path):
    root = tmp_path / "rows"
    root.mkdir()
    (root / "a.jsonl").write_text('{"id": 1, "text": "one"}\n{"id": 2, "text": "two"}\n')
    (root / "a.jsonl.md").write_text("three")
    index.index(root)
    (root / "a.jsonl").write_text('{"id": 2, "text": "two"}\n')
    assert index.index(root / "a.jsonl").deleted == 1
    assert sorted(chunk.text for chunk in contents(index).values()) == ["three", "two"]


def test_a_path_needs_a_source_with_a_name(index, folder):
    with pytest.raises(InvalidInput, match="not empty"):
        index.index(folder, source="")


def test_a_linked_file_has_the_name_of_its_link(index, folder, tmp_path):
    (tmp_path / "link.md").symlink_to(folder / "a.md")
    index.index(tmp_path / "link.md")
    assert {chunk.document_id for chunk in contents(index).values()} == {f"{tmp_path.resolve()}::link.md"}


def test_equal_texts_are_embedded_once(index, counting):
    index.index([Document(str(n), "the same text") for n in range(10)])
    assert counting.documents == ["the same text"]
    assert len(contents(index)) == 10


def test_a_run_that_cannot_be_optimised_is_done_all_the_same(counting):
    class Slow(MemoryStore):
        def optimise(self):
            raise StoreError("no room")

    report = Retriever.open(Slow(), embedding=counting()).index([Document("a", "text")])
    assert report.added == 1
    assert "no room" in report.warnings[0]


def test_an_empty_or_unreadable_source_prunes_nothing(index, folder, tmp_path):
    index.index(folder)
    before = contents(index)
    for file in folder.iterdir():
        file.unlink()
    report = index.index(folder)
    assert contents(index) == before
    assert any("nothing was pruned" in warning for warning in report.warnings)
    index.index([Unloaded(".", "no rights", "failed"), Document("x", "y")], source=folder.as_posix(), prune=True)
    assert before.items() <= contents(index).items()


def test_an_emptied_file_loses_its_chunks(index, folder):
    index.index(folder)
    (folder / "a.md").write_text(" \n")
    report = index.index(folder)
    assert ("a.md", "empty") in report.ignored
    assert report.deleted > 0
    assert not any(chunk.document_id.endswith("::a.md") for chunk in contents(index).values())


BAD = {
    "an id twice": Document("good", "again"),
    "a lone surrogate in the text": Document("surrogate", "a\ud800b"),
    "a lone surrogate in the id": Document("sur\udfffrogate", "text"),
    "an empty id": Document("", "text"),
    "nested metadata": Document("nested", "text", {"a": {"b": 1}}),
    "NaN in metadata": Document("nan", "text", {"a": float("nan")}),
    "a huge integer": Document("huge", "text", {"a": 2**70}),
    "a mixed list": Document("mixed", "text", {"a": [1, "b"]}),
    "no string for a text": Document("bytes", b"text"),
    "no document at all": "just a string",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_reported_by_name_and_the_rest_is_indexed(index, bad):
    report = index.index([Document("good", "a good text"), bad, Document("after", "another good text")])
    assert len(report.failed) == 1
    name = bad.id if isinstance(bad, Document) else bad
    assert name.encode(errors="backslashreplace").decode() in report.failed[0].item
    assert {chunk.document_id for chunk in contents(index).values()} == {"good", "after"}


def test_a_document_that_turned_bad_keeps_what_the_index_has(index):
    index.index([Document("d", "a good text")])
    index.index([Document("d", "bad \ud800"), Document("e", "other")], prune=True)
    assert sorted(chunk.document_id for chunk in contents(index).values()) == ["d", "e"]


def test_nul_and_any_unicode_come_back_as_they_were(index):
    text = "nul \x00 between; emoji 👩‍💻; שלום; a\u0301; 混合检索\u3000全角ＡＢＣ"
    index.index([Document("odd \x00 id", text, {"k\x00.e'y\"$#%[0]": "v\x00"})])
    (chunk,) = contents(index).values()
    assert (chunk.document_id, chunk.text) == ("odd \x00 id", text)
    assert chunk.metadata == {"k\x00.e'y\"$#%[0]": "v\x00"}


def test_nan_vectors_write_nothing(tmp_path):
    class Broken(HashedEmbedding):
        def _embed(self, texts, role):
            vectors = super()._embed(texts, role)
            if any("poison" in text for text in texts):
                vectors[0, 0] = float("nan")
            return vectors

    for address in ("memory:", str(tmp_path / "index")):
        with Retriever.open(address, embedding=Broken()) as retriever:
            with pytest.raises(EmbeddingError, match="poison"):
                retriever.index([Document("a", "a poison text")])
            assert retriever.store.count() == 0
            assert retriever.index([Document("a", "a harmless text")]).added == 1


def test_a_path_that_is_not_there(index, tmp_path):
    with pytest.raises(InvalidInput, match="nowhere"):
        index.index(tmp_path / "nowhere")


def test_a_source_name_that_would_be_ambiguous(index):
    with pytest.raises(InvalidInput, match="'a::b'"):
        index.index([Document("c", "text")], source="a::b")


def test_a_generator_is_read_a_window_at_a_time(counting, monkeypatch):
    monkeypatch.setattr("retriever.indexing.WINDOW_DOCUMENTS", 10)
    monkeypatch.setattr("retriever.indexing.CALIBRATION_CHUNKS", 10)
    retriever = Retriever.open("memory:", embedding=counting())
    ahead = []

    def documents():
        for n in range(100):
            ahead.append(n + 1 - retriever.store.count())
            yield Document(str(n), f"text number {n}")

    assert retriever.index(documents()).added == 100
    assert max(ahead) <= 21


def test_an_error_in_the_stream_leaves_a_state_that_the_next_run_finishes(index):
    def documents(stop):
        for n in range(30):
            if n == stop:
                raise RuntimeError("the source broke")
            yield Document(str(n), f"text number {n}")

    with pytest.raises(RuntimeError, match="the source broke"):
        index.index(documents(20))
    index.index(documents(None))
    assert len(contents(index)) == 30


class _Interrupted(MemoryStore):
    """Fails at the n-th write, before or after it takes effect, as a kill would."""

    def __init__(self, fail_at, after):
        super().__init__()
        self.left, self.after = fail_at, after

    def _write(self, action):
        self.left -= 1
        if self.left == 0:
            if self.after:
                action()
            raise KeyboardInterrupt
        action()

    def upsert(self, records):
        self._write(lambda: super(_Interrupted, self).upsert(records))

    def rewrite(self, chunks):
        self._write(lambda: super(_Interrupted, self).rewrite(chunks))

    def delete(self, chunk_ids):
        self._write(lambda: super(_Interrupted, self).delete(chunk_ids))

    def write_manifest(self, manifest):
        self._write(lambda: super(_Interrupted, self).write_manifest(manifest))


def _versions(seed):
    """A corpus and a changed one: edits, additions, deletions, moves."""
    chance = random.Random(seed)

    def text():
        return "\n\n".join(chance.choices(PARAGRAPHS, k=chance.randint(0, 6)))

    first = {str(n): (text(), {"v": chance.randint(0, 1)}) for n in range(12)}
    second = {k: (text() if chance.random() < 0.4 else t, {"v": chance.randint(0, 1)}) for k, (t, _) in first.items()}
    for key in chance.sample(sorted(second), 3):
        del second[key]
    second["new"] = (text(), {})
    return [[Document(k, t, m) for k, (t, m) in version.items()] for version in (first, second)]


@given(seed=st.integers(0, 10**6), fail_at=st.integers(1, 40), after=st.booleans())
def test_interrupted_anywhere_a_second_run_gives_the_undisturbed_result(seed, fail_at, after):
    def ledger(retriever):
        return {c.id: (c.document_id, record_hash(c), c.text) for c in contents(retriever).values()}

    versions = _versions(seed)
    calm = Retriever.open("memory:", embedding="hashed", chunker=SMALL)
    for version in versions:
        calm.index(version, prune=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retriever.indexing.BATCH", 3)
        patch.setattr("retriever.indexing.WINDOW_DOCUMENTS", 4)
        disturbed = Retriever.open(_Interrupted(fail_at, after), embedding="hashed", chunker=SMALL)
        for version in versions:
            try:
                disturbed.index(version, prune=True)
            except KeyboardInterrupt:
                disturbed.index(version, prune=True)
    assert ledger(disturbed) == ledger(calm)


def test_what_is_old_stays_findable_until_the_new_is_written(counting):
    class Watching(MemoryStore):
        least = 10**9

        def delete(self, chunk_ids):
            Watching.least = min(Watching.least, self.count())
            super().delete(chunk_ids)

    retriever = Retriever.open(Watching(), embedding=counting(), chunker=SMALL)
    retriever.index([Document("d", "\n\n".join(PARAGRAPHS[:4]))])
    count = retriever.store.count()
    retriever.index([Document("d", "\n\n".join(PARAGRAPHS[4:]))])
    assert Watching.least >= 2 * count


@pytest.mark.parametrize(("too_long", "count"), [("warn", 1), ("split", 0)])
def test_long_documents_kept_whole_are_counted_unless_their_parts_are_embedded(too_long, count):
    class Short(HashedEmbedding):
        max_tokens = 8  # the least that the parts of a text may have

    function = Short(HashedEmbedding.Config(too_long=too_long))
    retriever = Retriever.open("memory:", embedding=function, chunker=ChunkerConfig(kind="whole"))
    texts = ["one two three four five six seven eight nine", "one two"]
    report = retriever.index([Document("long", texts[0]), Document("short", texts[1])])
    assert (report.added, report.truncated) == (2, count)
    assert function.cut(texts) == [bool(count), False]


def test_calibration_is_measured_then_frozen(index):
    assert index.manifest.calibration is None
    index.index([Document("a", "alpha beta gamma delta"), Document("b", "alpha beta")])
    calibration = index.manifest.calibration
    assert (calibration.chunks, calibration.average_length) == (2, 3.0)
    index.index([Document("c", " ".join(f"words{'x' * n}" for n in range(18)))])
    assert index.manifest.calibration == calibration


def test_a_small_index_is_calibrated_anew_when_it_has_doubled(index, counting):
    index.index([Document("a", "one two")])
    index.index([Document("b", "alpha beta gamma delta"), Document("c", "alpha")])
    assert index.manifest.calibration.chunks == 3
    assert index.manifest.calibration.average_length == pytest.approx(7 / 3)
    index.index([Document("d", "alpha beta")])
    assert index.manifest.calibration.chunks == 3


def test_an_interrupted_recalibration_is_finished_by_the_next_run(index):
    index.index([Document("a", "one two"), Document("b", "three four five")])
    calibration = index.manifest.calibration.model_copy(update={"complete": False, "average_length": 99.0})
    index.store.write_manifest(index.manifest.model_copy(update={"calibration": calibration}))
    index.index([Document("a", "one two"), Document("b", "three four five")])
    assert index.manifest.calibration.complete
    assert index.manifest.calibration.average_length == 2.5


def test_drift_is_reported_and_recalibration_mends_it(index, monkeypatch):
    monkeypatch.setattr("retriever.indexing.CALIBRATION_CHUNKS", 1)
    index.index([Document("a", "one two")])
    report = index.index([Document(str(n), f"alpha beta gamma delta number{n}") for n in range(300)])
    assert any("recalibrat" in warning for warning in report.warnings)
    before = index.search("alpha", mode="keyword")[0].score
    manifest = index.recalibrate()
    assert manifest.calibration.chunks == 301
    assert manifest.calibration.complete
    assert index.verify().warnings == []
    after = index.search("alpha", mode="keyword")[0].score
    if index.address != "memory:":  # the exact store needs no calibration
        assert after != pytest.approx(before)


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), max_size=6))
def test_any_unicode_text_comes_back_exactly(texts):
    retriever = Retriever.open("memory:", embedding="hashed", chunker=SMALL)
    retriever.index([Document(str(n), text) for n, text in enumerate(texts)])
    for chunk in contents(retriever).values() if any(text.strip() for text in texts) else []:
        assert texts[int(chunk.document_id)][chunk.start : chunk.end] == chunk.text


class Choosy(MemoryStore):
    """Takes no record with a certain word."""

    def upsert(self, records):
        refused = [record for record in records if "huge" in record.terms]
        super().upsert([record for record in records if "huge" not in record.terms])
        if refused:
            names = [record.chunk.id for record in refused]
            raise RecordsRefused(f"{self.address}: too large: {', '.join(names)}", names)


def test_a_record_that_the_store_refuses_is_reported_and_the_rest_is_written(counting):
    store = Choosy()
    with Retriever.open(store, embedding="counting") as retriever:
        documents = [Document(f"d{n}", f"text {n}") for n in range(400)] + [Document("big", "huge thing")]
        report = retriever.index(documents)
        assert report.added == store.count() == 400
        ((item, reason),) = report.failed
        assert item == "big"
        assert "too large" in reason
        again = retriever.index(documents)
        assert (again.skipped, again.added, len(again.failed)) == (400, 0, 1)


def test_a_batch_is_stored_while_the_next_one_is_embedded():
    """Each waits for the other to have begun: one after the other they would wait in vain."""
    embedding_again, storing = Event(), Event()

    class Embedding(HashedEmbedding):
        batches = 0

        def embed_documents(self, texts, **options):
            self.batches += 1
            if self.batches == 2:  # after the first batch
                embedding_again.set()
                assert storing.wait(20)
            return super().embed_documents(texts, **options)

    class Store(MemoryStore):
        def upsert(self, records):
            storing.set()
            assert embedding_again.wait(20)
            super().upsert(records)

    with Retriever.open(Store(), embedding=Embedding()) as retriever:
        report = retriever.index(Document(f"d{n}", f"text {n}") for n in range(3 * BATCH))
        assert (report.added, retriever.store.count()) == (3 * BATCH, 3 * BATCH)


def test_what_was_embedded_is_stored_where_embedding_the_next_batch_fails():
    class Failing(HashedEmbedding):
        batches = 0

        def embed_documents(self, texts, **options):
            self.batches += 1
            if self.batches == 3:
                raise EmbeddingError("the provider is gone")
            return super().embed_documents(texts, **options)

    with Retriever.open("memory:", embedding=Failing()) as retriever:
        with pytest.raises(EmbeddingError, match="is gone"):
            retriever.index(Document(f"d{n}", f"text {n}") for n in range(4 * BATCH))
        assert retriever.store.count() == 2 * BATCH


def test_a_store_that_fails_ends_the_run_with_its_error():
    class Failing(MemoryStore):
        def upsert(self, records):
            if self.count() >= BATCH:
                raise StoreError("the disk is full")
            super().upsert(records)

    with Retriever.open(Failing(), embedding="hashed") as retriever:
        with pytest.raises(StoreError, match="disk is full"):
            retriever.index(Document(f"d{n}", f"text {n}") for n in range(5 * BATCH))
        assert retriever.store.count() == BATCH


def test_a_callback_that_raises_is_called_once_for_a_batch():
    told = []

    def progress(report):
        if report.added:
            told.append(report.added)
            raise KeyError("mine")

    with Retriever.open("memory:", embedding="hashed") as retriever:
        with pytest.raises(KeyError, match="mine"):
            retriever.index((Document(f"d{n}", f"text {n}") for n in range(3 * BATCH)), progress=progress)
        assert told[0] == BATCH
        assert all(count <= retriever.store.count() for count in told)
