"""The guide for people who use LangChain: its code runs, its diffs are those of the examples, its formulas hold."""

import ast
import asyncio
import difflib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_chroma import Chroma
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_qdrant import QdrantVectorStore

from retriever_langchain import EmbeddingFunctionEmbeddings, RetrieverVectorStore

ROOT = Path(__file__).parents[2]
GUIDES = {"en": ROOT / "docs/langchain.md", "zh": ROOT / "docs/zh/langchain.md"}
MODEL = "sentence-transformers/all-MiniLM-L6-v2"

FILL = """
from langchain_chroma import Chroma
from retriever_langchain import EmbeddingFunctionEmbeddings
Chroma("manual", EmbeddingFunctionEmbeddings("hashed"), "./chroma").add_texts(["Stopping: push the red button."])
"""


class Notes(BaseLoader):
    """Gives two documents of one source."""

    def lazy_load(self):
        yield Document("The signing key is rotated every 90 days.", metadata={"source": "notes.txt"})
        yield Document("keytool rotates it.", metadata={"source": "notes.txt"})


def blocks(guide, language):
    """The fenced blocks of a guide."""
    return re.findall(rf"^```{language}\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def without_comments(code):
    """What a block does."""
    return ast.dump(ast.parse(code))


@pytest.mark.parametrize("language", GUIDES)
def test_every_block_of_code_runs(tmp_path, monkeypatch, capsys, language):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RETRIEVER_CACHE", str(tmp_path / "cache"))
    Path("docs").mkdir()
    Path("docs/keys.md").write_text("# Keys\n\nRotate the signing key with keytool.\n")
    subprocess.run([sys.executable, "-c", FILL], check=True)  # Chroma's settings of a folder belong to a process
    names = {"embeddings": EmbeddingFunctionEmbeddings("hashed"), "loader": Notes()}
    for number, code in enumerate(blocks(GUIDES[language], "python")):
        compiled = compile(
            code.replace(MODEL, "hashed"), f"block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        waiting = eval(compiled, names)
        if inspect.iscoroutine(waiting):
            asyncio.run(waiting)
    assert names["report"].added == 2
    assert "keys.md 0 " in capsys.readouterr().out
    for opened in ("index", "store", "papers"):
        names[opened].close()


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_chain_of_the_readme_answers(tmp_path, monkeypatch, readme):
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks(ROOT / readme, "python") if "retriever_langchain" in block)
    names = {
        "embeddings": EmbeddingFunctionEmbeddings("hashed"),
        "RunnablePassthrough": RunnablePassthrough,
        "prompt": ChatPromptTemplate.from_template("{question} {context}"),
        "model": ParrotFakeChatModel(),
    }
    exec(compile(code, readme, "exec"), names)
    with names["store"] as store:
        store.add_texts(["Rotate the signing key with keytool."])
        answer = names["chain"].invoke("keytool").content
    assert answer.startswith("keytool ")
    assert "Rotate the signing key" in answer


def test_the_guides_have_the_same_code():
    english, chinese = (blocks(guide, "python") for guide in GUIDES.values())
    code = [without_comments(block) for block in chinese]
    assert len(english) >= 10
    assert code == [without_comments(block) for block in english]


@pytest.mark.parametrize("language", GUIDES)
def test_the_diffs_are_those_of_the_examples(language):
    assert blocks(GUIDES[language], "diff") == [
        difference(f"{peer}_before.py", f"{peer}_{script}.py")
        for peer in ("chroma", "qdrant")
        for script in ("after", "attached")
    ]


def difference(*names):
    """Between the app as it was and a script of ours."""
    before, after = ((ROOT / "examples/migrate" / name).read_text(encoding="utf-8").splitlines() for name in names)
    lines = difflib.unified_diff(before, after, *names, n=1, lineterm="")
    return "".join(f"{line.rstrip()}\n" for line in lines)


beyond_one = pytest.mark.filterwarnings("ignore:Relevance scores must be between")  # theirs are not


@pytest.fixture(scope="module")
def texts():
    return ["signing key", "signing key lost", "signing key: revoke it now and at once", "a cake"]


@pytest.fixture(scope="module")
def ours(texts):
    with RetrieverVectorStore.from_texts(texts, "hashed", mode="semantic") as store:
        yield store


def cosines(ours):
    """By text."""
    return {doc.page_content: score for doc, score in ours.similarity_search_with_score("signing key", k=10)}


@pytest.mark.parametrize(
    ("space", "cosine", "relevance"),
    [
        ("l2", lambda d: 1 - d / 2, lambda t: 1 - (1 - t) * 2**0.5 / 4),
        ("cosine", lambda d: 1 - d, lambda t: (1 + t) / 2),
    ],
)
@beyond_one
@pytest.mark.filterwarnings("ignore:legacy embedding function config:DeprecationWarning")
def test_thresholds_of_langchain_chroma_translate(texts, ours, space, cosine, relevance):
    theirs = Chroma(
        f"thresholds-{space}",
        EmbeddingFunctionEmbeddings("hashed"),
        collection_configuration={"hnsw": {"space": space}},
    )
    theirs.add_texts(texts)
    measured = {doc.page_content: d for doc, d in theirs.similarity_search_with_score("signing key", k=10)}
    assert {text: cosine(d) for text, d in measured.items()} == pytest.approx(cosines(ours), abs=1e-5)
    scored = {doc.page_content: t for doc, t in theirs.similarity_search_with_relevance_scores("signing key", k=10)}
    assert {text: relevance(t) for text, t in scored.items()} == pytest.approx(relevances(ours), abs=1e-5)


@beyond_one
def test_thresholds_of_langchain_qdrant_translate(texts, ours):
    theirs = QdrantVectorStore.from_texts(texts, EmbeddingFunctionEmbeddings("hashed"), location=":memory:")
    measured = {doc.page_content: s for doc, s in theirs.similarity_search_with_score("signing key", k=10)}
    assert measured == pytest.approx(cosines(ours), abs=1e-5)
    scored = {doc.page_content: t for doc, t in theirs.similarity_search_with_relevance_scores("signing key", k=10)}
    assert scored == pytest.approx(relevances(ours), abs=1e-5)
    theirs.client.close()


def relevances(ours):
    """By text."""
    return {doc.page_content: t for doc, t in ours.similarity_search_with_relevance_scores("signing key", k=10)}
