"""Records in Chroma: in memory, in a folder, on a server and in the cloud, with a keyword index beside them."""

from importlib.util import find_spec

from retriever.errors import MissingExtra

for _module in ("chromadb", "tantivy", "tenacity"):  # looked for and not imported: chromadb takes most of a second
    if find_spec(_module) is None:
        raise MissingExtra("The Chroma store", "chroma")

from retriever_chroma.store import ChromaStore  # noqa: E402 - it needs those modules

__all__ = ["ChromaStore"]
