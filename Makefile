# What a person runs is what CI runs. Needs Python 3.11 or newer and make; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := .demo
# What is never imported is never compiled: that is most of it, and takes a minute.
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --no-compile

.PHONY: help setup demo examples test check services services-stop bench load-proof proofs clean

help:             ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/: .*## */\t/' | expand -t 16

setup: $(READY)   ## make the virtual environment in .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12"; exit 1; }
	@echo "setting up $(VENV): this takes a few minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY)    ## index this project's documentation and ask it questions, in English and Chinese
	$(BIN)/retriever index README.md README.zh.md ARCHITECTURE.md docs --store $(DEMO)
	$(BIN)/retriever search "How do I delete the documents of one source?" --store $(DEMO) -k 2
	$(BIN)/retriever search "怎样只删除一个来源的文档？" --store $(DEMO) -k 2
	$(BIN)/retriever search "IndexMismatch" --mode keyword --store $(DEMO) -k 1
	$(BIN)/retriever info --store $(DEMO)

examples: $(READY)  ## answer from a folder with a LangChain chain, and share a collection through plain chromadb
	$(BIN)/python examples/rag_chain.py
	$(BIN)/python examples/plain_chromadb.py

test: $(READY)    ## run the tests
	@$(BIN)/python -m pytest -q -n auto --dist worksteal

check: $(READY)   ## style, types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

services: $(READY)  ## start Chroma and Qdrant in Docker, or without it a Chroma server, and wait for them
	@$(BIN)/python -m benchmarks.services

services-stop: $(READY)  ## stop them; their data stays
	@$(BIN)/python -m benchmarks.services --stop

bench: $(READY)   ## answers and their quality, as a report, on this project's own guides; with RETRIEVER_DATA SciFact and more sets: a quarter of an hour
	@status=0; for name in handbook $${RETRIEVER_DATA:+quality bars}; do \
	$(BIN)/python -m benchmarks run $$name --out runs/bench-$$name || status=1; \
	$(BIN)/python -m benchmarks report runs/bench-$$name || status=1; done; exit $$status

load-proof: $(READY)  ## the load generator next to queueing theory: five minutes on an idle machine
	@$(BIN)/python -m benchmarks.load_proof

proofs: $(READY)  ## what takes two hours: kill -9 on each store, speed, memory, attaching, readers beside a writer, LangChain, more random examples
	@status=0; for part in kill "kill --store chroma" "kill --store chroma-server" speed memory attach readers langchain; do \
	$(BIN)/python -m benchmarks $$part || status=1; done; \
	HYPOTHESIS_PROFILE=slow $(BIN)/python -m pytest -q -k "properties or oracle or filters or interrupted or unicode or contract" \
	|| status=1; $(BIN)/python -m pytest -q -n auto --dist worksteal -m slow || status=1; exit $$status

clean:            ## remove what the other targets made
	rm -rf $(VENV) $(DEMO)
