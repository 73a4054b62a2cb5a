#!/bin/sh
# Index this project's own documentation and ask it questions. Run by `make demo`.
set -e
store=${1:-.demo}

run() {
    printf '\n\033[1m$ retriever'
    for word in "$@"; do
        case $word in *\ *) printf ' "%s"' "$word" ;; *) printf ' %s' "$word" ;; esac
    done
    printf '\033[0m\n'
    retriever "$@"
}

run index README.md README.zh.md ARCHITECTURE.md docs --store "$store"
run search "How do I search with a filter?" --store "$store" -k 2
run search "怎样只删除一个来源的文档？" --store "$store" -k 2
run search "IndexMismatch" --store "$store" -k 1 --mode keyword
run info --store "$store"
