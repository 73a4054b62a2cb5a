"""Copies the collection into an index that can be written to. Vectors are copied as they are: nothing is embedded."""

from qdrant_attached import store

from retriever import copy_index

with store:
    report = copy_index(store.retriever.store, "./index")
print(f"{report.copied} of {report.chunks} pages copied")
