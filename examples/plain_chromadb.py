"""Plain chromadb in two processes: one makes a collection, the other knows nothing of it but its name.

    python examples/plain_chromadb.py

Needs pip install '.[chroma]', and no model: ``hashed`` stands for one, see docs/chroma.md.
"""

import subprocess
import sys
import tempfile

import chromadb

import retriever_chroma  # chromadb knows our embedding function from here on
from retriever import Retriever

NOTES = {
    "keys": "Signing keys are rotated every quarter; see the runbook for error E1234.",
    "lunch": "The canteen serves lunch from half past eleven.",
    "holidays": "Holidays are booked a week in advance.",
}


def make(folder: str) -> None:
    """The first process: a collection, and what embeds its documents, by chromadb alone."""
    client = chromadb.PersistentClient(folder)
    notes = client.create_collection("notes", embedding_function=retriever_chroma.RetrieverEmbeddingFunction("hashed"))
    notes.add(ids=list(NOTES), documents=list(NOTES.values()))
    print(f"made: {notes.name}, {notes.count()} documents")
    client.close()


def ask(folder: str) -> None:
    """The second process: the name is enough, the model comes from the collection and is verified."""
    client = chromadb.PersistentClient(folder)
    notes = client.get_collection("notes")
    print(f"asked: {notes.query(query_texts=['when are keys rotated'], n_results=1)['ids'][0][0]}")
    notes.add(ids=["parking"], documents=["Parking is free after six."])
    print(f"added and found: {notes.query(query_texts=['free parking'], n_results=1)['ids'][0][0]}")
    with Retriever.open(retriever_chroma.ChromaStore.attach(client, "notes")) as index:
        hit = index.search("E1234", k=1)[0]
        print(f"hybrid search: {hit.document_id}, in {' and '.join(sorted(hit.legs))}, matched {hit.matched_terms[0]}")
    client.close()


def main() -> None:
    """Run both, one after the other, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("make", "ask"):
            subprocess.run([sys.executable, __file__, step, folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"make": make, "ask": ask}[sys.argv[1]](sys.argv[2])
    else:
        main()
