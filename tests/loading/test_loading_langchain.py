"""LangChain's loaders and documents, given to ``Retriever.index`` as they are."""

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document as LangChainDocument

from retriever import Document, InvalidInput, Retriever
from retriever.loading.langchain import stream


class Loader(BaseLoader):
    """Yields what it is given."""

    def __init__(self, *documents):
        self.documents = documents

    def lazy_load(self):
        yield from self.documents


def page(text, **metadata):
    return LangChainDocument(page_content=text, metadata=metadata)


def test_ids_are_the_documents_own_or_their_source_or_a_hash():
    given = [
        LangChainDocument(page_content="x", id="mine", metadata={"source": "a.pdf"}),
        page("one", source="a.pdf", page=0),
        page("two", source="a.pdf", page=1),
        page("other", source="b.pdf"),
        page("no source"),
        page("\ud800"),
    ]
    names = [document.id for document in stream(Loader(*given))]
    assert names[:4] == ["mine", "a.pdf", "a.pdf#2", "b.pdf"]
    assert len({*names}) == 6
    assert names[4] == next(iter(stream([page("no source")]))).id


def test_equal_texts_without_a_source_are_all_indexed():
    """Their metadata may differ."""
    with Retriever.open("memory:", embedding="hashed") as retriever:
        pages = [page("same", lang="en"), page("same", lang="de"), page("same", lang="en")]
        for added in (3, 0):
            report = retriever.index(pages)
            assert (report.added, report.failed) == (added, [])
        assert sorted(hit.chunk.metadata["lang"] for hit in retriever.search("same")) == ["de", "en", "en"]


class Duck:
    """Looks like a document of LangChain, and is a broken one."""

    def __init__(self, page_content, metadata):
        self.page_content = page_content
        self.metadata = metadata


def test_a_broken_document_ends_no_run():
    with Retriever.open("memory:", embedding="hashed") as retriever:
        given = [Duck(None, {"source": "a"}), Duck("x", None), Duck(None, {}), Duck("good", {"source": "d"})]
        report = retriever.index(given)
        assert len(report.failed) == 3
        assert report.failed[0].item == "a"
        assert [entry.document_id for entry in retriever.store.entries()] == ["d"]


def test_documents_of_both_kinds_may_be_mixed_and_what_is_neither_is_reported():
    with Retriever.open("memory:", embedding="hashed") as retriever:
        report = retriever.index([Document("ours", "one"), page("two", source="theirs"), 3])
        assert [problem.item for problem in report.failed] == ["3"]
        assert {entry.document_id for entry in retriever.store.entries()} == {"ours", "theirs"}


@pytest.mark.parametrize("what", [page("one"), Document("a", "b"), {"a": 1}, 3, None, Loader])
def test_a_single_document_is_refused(what):
    with (
        Retriever.open("memory:", embedding="hashed") as retriever,
        pytest.raises(InvalidInput, match="iterable of documents"),
    ):
        retriever.index(what)


def test_metadata_that_cannot_be_stored_is_reported_and_nothing_is_mutated():
    good, bad = page("one", source="a", tags=["x"]), page("two", source="b", loc={"lines": 3})
    with Retriever.open("memory:", embedding="hashed") as retriever:
        report = retriever.index(Loader(good, bad))
        assert [problem.item for problem in report.failed] == ["b"]
        assert "loc" in report.failed[0].reason
    assert good == page("one", source="a", tags=["x"])
    assert bad == page("two", source="b", loc={"lines": 3})


def test_an_unchanged_file_of_300_chunks_embeds_nothing_and_hides_nothing(tmp_path, counting):
    """``index(cleanup="incremental")`` of LangChain embeds 200 of them again, and 100 are visible meanwhile."""
    text = "\n\n".join(f"## Part {n}\n\n" + f"sentence {n} about things. " * 40 for n in range(300))
    loader = Loader(page(text, source="handbook.md"))
    with Retriever.open(str(tmp_path / "index"), embedding=counting()) as retriever:
        first = retriever.index(loader, source="docs")
        assert first.added >= 300
        visible = []
        counting.reset()

        def look(_):
            visible.append(retriever.store.count())

        again = retriever.index(loader, source="docs", prune=True, progress=look)
        assert (again.added, again.updated, again.deleted, again.skipped) == (0, 0, 0, first.added)
        assert counting.documents == []
        assert set(visible) == {first.added}


def test_pruning_follows_a_loader():
    with Retriever.open("memory:", embedding="hashed") as retriever:
        retriever.index(Loader(page("one", source="a"), page("two", source="b")), source="site")
        retriever.index([Document("kept", "three")])
        report = retriever.index(Loader(page("one", source="a")), source="site", prune=True)
        assert report.deleted == 1
        assert {entry.document_id for entry in retriever.store.entries()} == {"site::a", "kept"}
