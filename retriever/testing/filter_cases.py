"""What filters find, written down by hand: one record a letter, and the letters that each filter finds."""

from __future__ import annotations

from typing import Any

from retriever.filters import And, Compare, Filter, Not, Or
from retriever.stores import Record
from retriever.testing.samples import chunk_id, make_record

VALUES: dict[str, Any] = {
    "a": 1,
    "b": 1.0,
    "c": 2,
    "d": 0.3,
    "e": -0.5,
    "f": 2**53,
    "g": True,
    "h": False,
    "i": "1",
    "j": "apple",
    "k": "Apple pie",
    "l": "",
    "m": "2024-05-01",
    "n": [1, 3],
    "o": [0.3, 2.5],
    "p": ["apple", "fig"],
    "q": ["apple pie"],
    "r": [True, False],
    "s": None,
}
"""Under the key ``k``; None means that the record has no such key."""

LANGUAGES = {"en": "acegikmoqs", "de": "bdfhj", "": "lnpr"}
"""Under the key ``lang``; the last have none."""

PLACES = {"handbook::a.md": "abcdef", "handbook::b.md": "ghijk", "loose": "lmnopqrs"}
"""Documents; the source of the first two is ``handbook``, of the last ``""``."""

ALL = "".join(VALUES)


def case_records() -> list[Record]:
    """The records that the cases are about."""
    made = []
    for letter, value in VALUES.items():
        language = next(name for name, letters in LANGUAGES.items() if letter in letters)
        document = next(name for name, letters in PLACES.items() if letter in letters)
        metadata = {"k": value, "lang": language or None}
        source = "handbook" if "::" in document else ""
        made.append(make_record(chunk_id(letter), metadata=metadata, document_id=document, source=source))
    return made


def all_but(letters: str) -> str:
    """The complement.

    :param letters: of records.
    """
    return "".join(letter for letter in ALL if letter not in letters)


Case = tuple[dict[str, object] | Filter, str]

CASES: dict[str, list[Case]] = {
    "eq": [
        ({"k": 1}, "abn"),
        ({"k": {"$eq": 1.0}}, "abn"),
        ({"k": 0.3}, "do"),
        ({"k": 0}, ""),
        ({"k": -0.5}, "e"),
        ({"k": 2**53}, "f"),
        ({"k": 2**53 - 1}, ""),
        ({"k": True}, "gr"),
        ({"k": False}, "hr"),
        ({"k": "1"}, "i"),
        ({"k": "apple"}, "jp"),
        ({"k": "Apple"}, ""),
        ({"k": ""}, "l"),
        ({"k": "2024-05-01"}, "m"),
        ({"missing": 1}, ""),
        ({"missing": ""}, ""),
        ({"missing": False}, ""),
        ({"lang": "en", "k": 1}, "a"),
    ],
    "ne": [
        ({"k": {"$ne": 1}}, all_but("abn")),
        ({"k": {"$ne": 0.3}}, all_but("do")),
        ({"k": {"$ne": 0}}, ALL),
        ({"k": {"$ne": True}}, all_but("gr")),
        ({"k": {"$ne": "apple"}}, all_but("jp")),
        ({"k": {"$ne": ""}}, all_but("l")),
        ({"lang": {"$ne": "en"}}, "bdfhjlnpr"),
        ({"missing": {"$ne": 1}}, ALL),
        ({"missing": {"$ne": "x"}}, ALL),
    ],
    "gt": [
        ({"k": {"$gt": 1}}, "cfno"),
        ({"k": {"$gt": 1.5}}, "cfno"),
        ({"k": {"$gt": 0.3}}, "abcfno"),
        ({"k": {"$gt": -1}}, "abcdefno"),
        ({"k": {"$gt": 2**53 - 1}}, "f"),
        ({"k": {"$gt": 2**53}}, ""),
        ({"missing": {"$gt": 0}}, ""),
        ({"lang": {"$gt": 0}}, ""),
    ],
    "gte": [
        ({"k": {"$gte": 1}}, "abcfno"),
        ({"k": {"$gte": 0.3}}, "abcdfno"),
        ({"k": {"$gte": -0.5}}, "abcdefno"),
        ({"k": {"$gte": 2.5}}, "fno"),
        ({"missing": {"$gte": -5}}, ""),
    ],
    "lt": [
        ({"k": {"$lt": 1}}, "deo"),
        ({"k": {"$lt": 0.3}}, "e"),
        ({"k": {"$lt": 0.5}}, "deo"),
        ({"k": {"$lt": -0.5}}, ""),
        ({"k": {"$lt": 1e300}}, "abcdefno"),
        ({"missing": {"$lt": 5}}, ""),
        ({"k": {"$gt": 1, "$lt": 3}}, "cno"),  # n by its 3 and its 1, o by its 2.5
    ],
    "lte": [
        ({"k": {"$lte": 1}}, "abdeno"),
        ({"k": {"$lte": 0.3}}, "deo"),
        ({"k": {"$lte": 0}}, "e"),
        ({"k": {"$lte": -0.5}}, "e"),
        ({"missing": {"$lte": 5}}, ""),
    ],
    "in": [
        ({"k": {"$in": [1]}}, "abn"),
        ({"k": {"$in": [1, 2, 0.3]}}, "abcdno"),
        ({"k": {"$in": ["apple", 1, True]}}, "abgjnpr"),
        ({"k": {"$in": [1.0, "1"]}}, "abin"),
        ({"k": {"$in": [False]}}, "hr"),
        ({"k": {"$in": [""]}}, "l"),
        ({"k": {"$in": []}}, ""),
        ({"k": {"$in": ["none", 7, 0]}}, ""),
        ({"missing": {"$in": [1, "", False]}}, ""),
    ],
    "nin": [
        ({"k": {"$nin": [1]}}, all_but("abn")),
        ({"k": {"$nin": ["apple", 1, True]}}, all_but("abgjnpr")),
        ({"k": {"$nin": [0.3, 7]}}, all_but("do")),
        ({"k": {"$nin": []}}, ALL),
        ({"lang": {"$nin": ["en", "de"]}}, "lnpr"),
        ({"missing": {"$nin": [1]}}, ALL),
    ],
    "contains": [
        ({"k": {"$contains": "apple"}}, "jp"),
        ({"k": {"$contains": "pple"}}, "jk"),
        ({"k": {"$contains": "apple pie"}}, "q"),
        ({"k": {"$contains": "pie"}}, "k"),
        ({"k": {"$contains": ""}}, "ijklm"),
        ({"k": {"$contains": "-05-"}}, "m"),
        ({"k": {"$contains": 1}}, "n"),
        ({"k": {"$contains": 0.3}}, "o"),
        ({"k": {"$contains": True}}, "r"),
        ({"k": {"$contains": "1"}}, "im"),
        ({"missing": {"$contains": ""}}, ""),
    ],
    "exists": [
        ({"k": {"$exists": True}}, all_but("s")),
        ({"k": {"$exists": False}}, "s"),
        ({"missing": {"$exists": True}}, ""),
        ({"missing": {"$exists": False}}, ALL),
        ({"lang": {"$exists": False}, "k": {"$exists": True}}, "lnpr"),
    ],
    "logic": [
        ({}, ALL),
        ({"$and": [{"k": 1}]}, "abn"),
        ({"$and": [{"k": 1}, {"lang": "de"}]}, "b"),
        ({"$and": [{"k": {"$gt": 0}}, {"k": {"$lt": 2}}]}, "abdno"),
        ({"$or": [{"k": 1}]}, "abn"),
        ({"$or": [{"k": 1}, {"lang": "de"}]}, "abdfhjn"),
        ({"$or": [{"k": "apple"}, {"k": True}, {"missing": 1}]}, "gjpr"),
        ({"$not": {"k": 1}}, all_but("abn")),
        ({"$not": {"$or": [{"k": 1}, {"lang": "de"}]}}, all_but("abdfhjn")),
        ({"$not": {"$and": [{"k": 1}, {"lang": "de"}]}}, all_but("b")),
        ({"k": {"$not": {"$gt": 0}}}, all_but("abcdfno")),
        ({"missing": {"$not": {"$gt": 0}}}, ALL),
        ({"$and": [{"$or": [{"k": 1}, {"k": 2}]}, {"$not": {"lang": "en"}}]}, "bn"),
        ({"$or": [{"$and": [{"k": 2}, {"lang": "en"}]}, {"$and": [{"k": 1.0}, {"lang": "de"}]}]}, "bc"),
        ({"$not": {"$not": {"k": "1"}}}, "i"),
        (And(()), ALL),
        (Or(()), ""),
        (Not(And(())), ""),
        (Not(Or(())), ALL),
    ],
    "reserved": [
        ({"$source": "handbook"}, "abcdefghijk"),
        ({"$source": ""}, "lmnopqrs"),
        ({"$source": {"$ne": "handbook"}}, "lmnopqrs"),
        ({"$source": "none"}, ""),
        ({"$document": "loose"}, "lmnopqrs"),
        ({"$document": {"$in": ["loose", "handbook::b.md", "none"]}}, "ghijklmnopqrs"),
        ({"$document": {"$nin": ["loose"]}}, "abcdefghijk"),
        ({"$document": {"$in": []}}, ""),
        ({"$document": {"$contains": "book::"}}, "abcdefghijk"),
        ({"$document": {"$exists": True}}, ALL),
        ({"$source": {"$exists": False}}, ""),
        ({"$source": "handbook", "k": 1}, "ab"),
        ({"$or": [{"$source": ""}, {"k": {"$lt": 0}}]}, "elmnopqrs"),
    ],
    "no order among other families": [
        (Compare("k", "gt", "2020-01-01"), ""),  # the parser refuses these
        (Compare("k", "lt", "zzz"), ""),
        (Compare("k", "gte", ""), ""),
        (Not(Compare("k", "lte", "x")), ALL),
    ],
}
"""Groups of cases; each is a filter, as a user writes it or as a tree, and the letters of what it finds."""

REFUSED: list[dict[str, object]] = [
    {"k": {"$gt": "2024-05-01"}},
    {"k": {"$gte": "2024-05-01T00:00:00"}},
    {"k": {"$lt": "a"}},
    {"k": {"$lte": True}},
    {"k": {"$gt": None}},
    {"k": {"$gt": [1]}},
    {"k": None},
    {"k": [1]},
    {"k": {"$eq": [1]}},
    {"k": {"$in": "apple"}},
    {"k": {"$in": [None]}},
    {"k": {"$nin": 1}},
    {"k": {"$exists": 1}},
    {"k": {"$like": "a"}},
    {"k": {}},
    {"$and": []},
    {"$or": {}},
    {"$and": [{}]},
    {"$not": []},
    {"$nor": [{"k": 1}]},
]
"""Filters that no store is asked: :func:`retriever.filters.parse_filter` refuses them."""
