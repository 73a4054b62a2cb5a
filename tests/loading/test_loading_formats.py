from __future__ import annotations

import base64
import io
import logging
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

import retriever
from retriever.errors import MissingExtra
from retriever.loading import Unloaded, load, supported_formats
from retriever.types import Document

REPOSITORY = Path(retriever.__file__).parents[1]


def make_pdf(*pages: str, title: str = "") -> bytes:
    """The smallest PDF that says something."""
    kids = " ".join(f"{3 + 2 * n} 0 R" for n in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for n, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {4 + 2 * n} 0 R "
            f"/Resources << /Font << /F1 {font} >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    body, offsets = "%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"<< /Size {size} /Root 1 0 R /Info {len(objects)} 0 R >>"
    xref = f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    return f"{body}{xref}trailer\n{trailer}\nstartxref\n{len(body)}\n%%EOF\n".encode()


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def make_docx(body: str) -> bytes:
    """The smallest Word document."""
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument'
        '.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def paragraph(text: str, style: str = "") -> str:
    properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"


@pytest.mark.parametrize(
    ("name", "metadata"),
    [
        ("a.md", {"format": "markdown"}),
        ("A.MARKDOWN", {"format": "markdown"}),
        ("a.txt", {"format": "text"}),
        ("a.rst", {"format": "text"}),
        ("a.log", {"format": "log"}),
        ("Makefile", {"format": "code", "language": "makefile"}),
        ("requirements.txt", {"format": "code", "language": "pip"}),
        ("README", {"format": "text"}),
        ("a.unheard", {"format": "text"}),
        ("a.py", {"format": "code", "language": "python"}),
        ("a.CPP", {"format": "code", "language": "cpp"}),
        ("a.yml", {"format": "code", "language": "yaml"}),
        ("a.toml", {"format": "code", "language": "toml"}),
        ("a.xml", {"format": "code", "language": "xml"}),
    ],
)
def test_text_is_as_it_is(read, name, metadata):
    text = "  def f():\r\n\treturn 1  # 中文\n\n\n"
    assert read(name, text) == [Document(name, text, {"path": name, **metadata})]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Title\n\ntext", "Title"),
        ("\n\n# 中文 title #\r\ntext", "中文 title"),
        ("text\n# Not first", None),
        ("## Not a title", None),
        ("#hashtag", None),
        ("# \n", None),
        (f"# {'x' * 200}", "x" * 200),
        (f"# {'x' * 201}", None),
    ],
)
def test_title_of_markdown(read, text, title):
    [document] = read("a.md", text)
    assert document.text == text
    assert document.metadata.get("title") == title


HTML = """<!DOCTYPE html>
<html><head><title> A
page </title><style>p { color: red }</style><script>var hidden = 1;</script></head>
<body><!-- a comment -->
<h1>First</h1><p>Some <b>bold</b> text &amp; foo_bar * 2.
<h2>Second</h2>
<ul><li>one<li>two</ul>
<table><tr><th>A<th>B<tr><td>1<td>2</table>
<pre>  code
    more</pre>
<img src="data:image/png;base64,AAAA" alt="A cat"><noscript>no</noscript>
</body></html>
"""


def test_html_becomes_markdown(read):
    [document] = read("a.html", HTML)
    assert document.text == (
        "# First\n\nSome **bold** text & foo_bar * 2.\n\n## Second\n\n* one\n* two\n\n"
        "| A | B |\n| --- | --- |\n| 1 | 2 |\n\n```\n  code\n    more\n```\n\nA cat"
    )
    assert document.metadata == {"path": "a.html", "format": "html", "title": "A page"}


def test_html_in_a_chinese_encoding(read):
    page = '<html><head><meta charset="gb2312"><title>标题</title></head><body><p>龘靐</p></body></html>'
    [document] = read("a.htm", page.encode("gbk"))
    assert (document.text, document.metadata["title"]) == ("龘靐", "标题")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul><li><p>a<li><p>b</ul>c", "* a\n* b\n\nc"),
        ("<table><tr><th>A<th>B<tr><td><p>1<td><p>2</table>", "| A | B |\n| --- | --- |\n| 1 | 2 |"),
        ("<dl><dt>a<dd><p>b<dt>c<dd>d</dl>", "a\n:   b\n\nc\n:   d"),
    ],
)
def test_end_tags_that_are_left_out(read, page, text):
    assert [d.text for d in read("a.html", page)] == [text]


@pytest.mark.parametrize(
    "name",
    [
        *("summary", "main", "header", "footer", "nav", "aside", "address", "figure"),
        *("details", "form", "fieldset", "legend", "option", "center"),
    ],
)
def test_words_of_different_blocks_are_kept_apart(read, name):
    [document] = read("a.html", f"one<{name}>two</{name}>three<{name}>four</{name}>")
    assert document.text.split() == ["one", "two", "three", "four"]


def test_a_page_of_broken_tags_takes_no_quadratic_time(read):
    start = time.perf_counter()
    read("a.html", "<a " * 80_000)
    assert time.perf_counter() - start < 5


def test_large_pages_lose_nothing(read):
    [document] = read("a.html", "<p>" + "word " * 2_500_000 + "<p>end")
    assert len(document.text) == 12_500_000 - 1 + len("\n\nend")


def test_what_a_page_declares_does_not_matter_once_it_is_read(read):
    assert [d.text for d in read("a.html", '<meta charset="gb2312"><p>中文 é 🎉')] == ["中文 é 🎉"]


def test_the_title_of_a_page_is_bounded(read):
    [document] = read("a.html", f"<title>{'x' * 5000}</title>text")
    assert document.metadata["title"] == "x" * 200


def test_long_pages_without_end_tags(read):
    [document] = read("a.html", "<p>text" * 3000)
    assert document.text.count("text") == 3000


@pytest.mark.parametrize(
    "page",
    [
        "<",
        "a.txt",
        "https://example.com/page",
        "<![CDATA[",
        "&#xD800;&#0;",
        "<a<b<c",
        "<title></title>",
        "<script><style>",
    ],
)
def test_odd_pages(read, page):
    [document] = read("a.html", page)
    assert isinstance(document, Document)
    assert "title" not in document.metadata


def test_a_page_too_deep_to_walk(read):
    [outcome] = read("a.html", "<div>" * 5000)
    assert (outcome.path, outcome.kind) == ("a.html", "failed")


def test_xhtml(read):
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>text</p></body></html>'
    assert [d.text for d in read("a.xhtml", page)] == ["text"]


def test_pdf_is_a_document_a_page(read):
    assert read("a.pdf", make_pdf("First page", "", "Third page", title="The title")) == [
        Document("a.pdf#page=1", "First page", {"path": "a.pdf", "format": "pdf", "title": "The title", "page": 1}),
        Unloaded("a.pdf#page=2", "page 2 has no text; scanned?", "skipped"),
        Document("a.pdf#page=3", "Third page", {"path": "a.pdf", "format": "pdf", "title": "The title", "page": 3}),
    ]


def encrypted(user_password: str, algorithm: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(make_pdf("Secret"))))
    writer.encrypt(user_password, "owner", algorithm=algorithm)
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_encrypted_pdf(read, algorithm):
    [outcome] = read("a.pdf", encrypted("password", algorithm))
    assert outcome == Unloaded("a.pdf", "encrypted; save a copy without the password", "failed")
    [document] = read("a.pdf", encrypted("", algorithm))
    assert document.text == "Secret"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.4\n", b"not a PDF", b"\0" * 100, make_pdf("x")[:150]])
def test_broken_pdf(read, data, caplog):
    caplog.set_level(logging.CRITICAL, "pypdf")
    [outcome] = read("a.pdf", data)
    assert (outcome.path, outcome.kind) == ("a.pdf", "failed")
    assert outcome.reason.startswith("not a readable PDF")


def test_pdf_without_pages(read):
    [outcome] = read("a.pdf", make_pdf())
    assert (outcome.path, outcome.kind) == ("a.pdf", "skipped")


def test_word(read):
    body = paragraph("标题 Title", "Heading1") + paragraph("Some text_here.") + paragraph("Sub", "Heading2")
    [document] = read("a.docx", make_docx(body))
    assert document == Document(
        "a.docx", "# 标题 Title\n\nSome text_here.\n\n## Sub", {"path": "a.docx", "format": "docx"}
    )


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_word_with_an_image(read):
    picture = (
        '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/'
        'wordprocessingDrawing"><wp:docPr id="1" name="x" descr="A cat"/><a:graphic xmlns:a="http://schemas'
        '.openxmlformats.org/drawingml/2006/main"><a:graphicData><pic:pic xmlns:pic="http://schemas.openxmlformats'
        f'.org/drawingml/2006/picture"><pic:blipFill><a:blip r:embed="p1" xmlns:r="{OFFICE}"/></pic:blipFill>'
        "</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    buffer = io.BytesIO(make_docx(paragraph("Before") + picture))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("word/media/p.png", PIXEL)
        archive.writestr(
            "word/_rels/document.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="p1" Type="{OFFICE}/image" '
            'Target="media/p.png"/></Relationships>',
        )
    [document] = read("a.docx", buffer.getvalue())
    assert document.text == "Before\n\nA cat"


def test_empty_word(read):
    assert [d.text for d in read("a.docx", make_docx(""))] == [""]


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0 protected", make_docx("<w:p>"), make_docx("")[:99]],
    ids=["empty", "a beginning", "protected", "broken XML", "cut off"],  # not the bytes, which hold the time of day
)
def test_broken_word(read, data):
    [outcome] = read("a.docx", data)
    assert (outcome.path, outcome.kind) == ("a.docx", "failed")
    assert "password" in outcome.reason


def test_formats_are_listed():
    formats = supported_formats()
    assert set(formats) == {"markdown", "text", "log", "html", "pdf", "docx", "json", "csv", "code", "image"}
    assert formats["json"] == (".json", ".jsonl", ".ndjson")
    extensions = [extension for group in formats.values() for extension in group]
    assert len(extensions) == len(set(extensions))
    assert all(extension == extension.lower() and extension.startswith(".") for extension in extensions)


WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(["pypdf", "mammoth", "bs4", "lxml", "markdownify"]))
from retriever.loading import load
for outcome in load(sys.argv[1]):
    print(getattr(outcome, "id", None) or f"{outcome.path} {outcome.kind}: {outcome.reason}")
"""


def run(code: str, folder: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    return done.stdout.splitlines()


def test_a_missing_extra_costs_only_its_files(tmp_path):
    (tmp_path / "a.pdf").write_bytes(make_pdf("x"))
    (tmp_path / "b.docx").write_bytes(make_docx(""))
    (tmp_path / "c.html").write_text("<p>x")
    (tmp_path / "d.txt").write_text("x")
    assert run(WITHOUT_EXTRA, tmp_path) == [
        f"a.pdf failed: {MissingExtra('PDF files', 'files')}",
        f"b.docx failed: {MissingExtra('Word files', 'files')}",
        f"c.html failed: {MissingExtra('HTML files', 'files')}",
        "d.txt",
    ]


IMPORTED = """
import sys
from retriever.loading import load, supported_formats
supported_formats()
list(load(sys.argv[1]))
print(sorted({"pypdf", "mammoth", "bs4", "markdownify", "charset_normalizer"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("name", "data", "needed"),
    [
        ("a.txt", "检索".encode("gbk"), "[]"),
        ("a.jsonl", b'{"text": "x"}', "[]"),
        ("a.pdf", make_pdf("x"), "['pypdf']"),
    ],
)
def test_libraries_are_imported_when_needed(tmp_path, name, data, needed):
    (tmp_path / name).write_bytes(data)
    assert run(IMPORTED, tmp_path) == [needed]


def test_metadata_has_no_times_and_is_flat(tmp_path):
    (tmp_path / "a.md").write_text("# T")
    before = list(load(tmp_path))
    (tmp_path / "a.md").touch()
    assert list(load(tmp_path)) == before
    assert all(isinstance(value, str | int) for value in before[0].metadata.values())
