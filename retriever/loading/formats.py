"""Which extension is read how: the one place where formats are listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from retriever.errors import MissingExtra
from retriever.loading.csv_rows import load_csv
from retriever.loading.images import load_image
from retriever.loading.json_rows import load_json, load_jsonl
from retriever.loading.markup import load_docx, load_html
from retriever.loading.outcome import File, Outcome, ReadError, Unloaded, one_line
from retriever.loading.pdf import load_pdf
from retriever.loading.plain import load_markdown, load_text
from retriever.loading.walk import Found
from retriever.pictures import EXTENSIONS

Loader = Callable[[File], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Format:
    """How files of a kind are read.

    :param name: as it stands in the metadata.
    :param load: what reads them.
    :param language: of source code.
    """

    name: str
    load: Loader
    language: str = ""


_LANGUAGES = {
    "bash": ".sh .bash .zsh .fish",
    "batch": ".bat .cmd",
    "c": ".c .h",
    "clojure": ".clj .cljs",
    "cmake": ".cmake",
    "cpp": ".cc .cpp .cxx .hh .hpp .hxx",
    "csharp": ".cs",
    "css": ".css .scss .less",
    "cuda": ".cu .cuh",
    "dart": ".dart",
    "diff": ".diff .patch",
    "dockerfile": ".dockerfile",
    "elixir": ".ex .exs",
    "erlang": ".erl .hrl",
    "go": ".go",
    "graphql": ".graphql .gql",
    "groovy": ".groovy .gradle",
    "haskell": ".hs",
    "ini": ".ini .cfg .conf .properties .env",
    "java": ".java",
    "javascript": ".js .jsx .mjs .cjs",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "latex": ".tex",
    "lua": ".lua",
    "makefile": ".mk .mak",
    "objective-c": ".m .mm",
    "ocaml": ".ml .mli",
    "perl": ".pl .pm",
    "php": ".php",
    "powershell": ".ps1",
    "protobuf": ".proto",
    "python": ".py .pyi",
    "r": ".r",
    "ruby": ".rb",
    "rust": ".rs",
    "scala": ".scala",
    "solidity": ".sol",
    "sql": ".sql",
    "svelte": ".svelte",
    "swift": ".swift",
    "terraform": ".tf .tfvars .hcl",
    "toml": ".toml",
    "typescript": ".ts .tsx .mts .cts",
    "vue": ".vue",
    "xml": ".xml .xsd .xsl .svg",
    "yaml": ".yaml .yml",
    "zig": ".zig",
}

_NAMED = {
    "makefile": "makefile",
    "gnumakefile": "makefile",
    "dockerfile": "dockerfile",
    "containerfile": "dockerfile",
    "jenkinsfile": "groovy",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
    "cmakelists.txt": "cmake",
    "requirements.txt": "pip",
    "constraints.txt": "pip",
}
"""Languages of files that are known by their whole name, in lower case."""

_UNKNOWN = Format("text", load_text)

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        **dict.fromkeys((".md", ".markdown", ".mdx"), Format("markdown", load_markdown)),
        **dict.fromkeys((".txt", ".text", ".rst", ".adoc", ".org"), Format("text", load_text)),
        ".log": Format("log", load_text),
        **dict.fromkeys((".html", ".htm", ".xhtml"), Format("html", load_html)),
        ".pdf": Format("pdf", load_pdf),
        ".docx": Format("docx", load_docx),
        **dict.fromkeys(EXTENSIONS, Format("image", load_image)),
        ".json": Format("json", load_json),
        **dict.fromkeys((".jsonl", ".ndjson"), Format("json", load_jsonl)),
        **dict.fromkeys((".csv", ".tsv"), Format("csv", load_csv)),
        **{
            extension: Format("code", load_text, language)
            for language, extensions in _LANGUAGES.items()
            for extension in extensions.split()
        },
    }
)
"""By extension, in lower case. Files of other extensions are read as text if they are text."""


def supported_formats() -> dict[str, tuple[str, ...]]:
    """List what can be read.

    :return: the extensions of each format, by its name as it stands in the metadata.
    """
    names = dict.fromkeys(form.name for form in FORMATS.values())
    return {name: tuple(sorted(e for e, form in FORMATS.items() if form.name == name)) for name in names}


def _format(location: Path) -> Format:
    language = _NAMED.get(location.name.lower())
    if language is not None:
        return Format("code", load_text, language)
    return FORMATS.get(location.suffix.lower(), _UNKNOWN)


def is_image(path: str) -> bool:
    """Whether a file is named as pictures are.

    :param path: of the file.
    """
    return path.lower().endswith(EXTENSIONS)


def read(found: Found, images: bool = False) -> Iterator[Outcome]:
    """Read one file; whatever is wrong with it is told, not raised.

    :param found: the file.
    :param images: whether pictures are wanted.
    :return: its documents, and why there are not more of them.
    """
    form = _format(found.location)
    file = File(found.path, found.location, form.name, form.language, images)
    try:
        yield from form.load(file)
    except ReadError as error:
        yield Unloaded(file.path, error.reason, error.kind)
    except MissingExtra as error:
        yield Unloaded(file.path, str(error), "failed")
    except OSError as error:
        yield Unloaded(file.path, f"cannot be read: {error.strerror or one_line(error)}", "failed")
