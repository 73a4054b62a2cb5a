from __future__ import annotations

import json
import os
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from retriever.loading import Unloaded, load, supported_formats
from retriever.loading.decode import LARGEST_TEXT
from retriever.types import Document

EXTENSIONS = [extension for extensions in supported_formats().values() for extension in extensions]

# A mark at the start is taken off, and zeros make a file binary.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(
    lambda text: not text.startswith("\ufeff")
)


@settings(max_examples=200, deadline=None)
@given(TEXT)
@example("\r\n a \r b \n\n")
@example("\x85\u2028\x1a\x7f")
def test_unicode_text_comes_back_as_it_was(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode())
    assert [d.text for d in load(path)] == [text]


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT, min_size=1), st.booleans())
@example(["a\u2028b\x85c\r\nd"], False)
def test_json_lines_come_back_as_they_were(tmp_path_factory, texts, ascii_only):
    path = tmp_path_factory.mktemp("text") / "a.jsonl"
    lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in texts]
    path.write_bytes("".join(lines).encode())
    documents = list(load(path))
    assert [d.text for d in documents] == texts
    assert [d.id for d in documents] == [f"a.jsonl#{n}" for n in range(1, len(texts) + 1)]


MAGIC = [b"", b"%PDF-1.4\n", b"PK\x03\x04", b"[{", b"<html>", b'{"id":', b"a,b\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\0"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=300), st.sampled_from([*EXTENSIONS, "", ".xyz"]))
def test_no_content_ends_the_run(tmp_path_factory, magic, rest, extension):
    path = tmp_path_factory.mktemp("any") / f"a{extension}"
    path.write_bytes(magic + rest)
    for outcome in load(path):
        assert isinstance(outcome, Document | Unloaded)
        if isinstance(outcome, Unloaded):
            assert "\n" not in outcome.reason


ZH = "检索系统支持中文。\n向量数据库是一种专门存储向量的数据库，合同编号 A-102 已经签署。\n"
TW = "檢索系統支援中文。\n今天天氣很好，我們去公園散步。\n"
JA = "文書検索システムは高速で正確です。\n今日は天気がいいので公園を散歩しました。\n"
KO = "오늘은 날씨가 좋아서 공원에서 산책을 했습니다.\n"
DE = "Die Straße führt über die Brücke nach Köln.\n"
FR = "Le café est très bon à l'été – déjà « vu » pour 5 €.\n"
PL = "Zażółć gęślą jaźń. Umowa została podpisana przez obie strony.\n"
RU = "Сегодня хорошая погода, и мы гуляли в парке.\n"
EL = "Καλημέρα κόσμε, αυτό είναι ένα κείμενο.\n"
HE = "שלום עולם, זהו מסמך קצר בעברית שנכתב כדי לבדוק את הקידוד של הקובץ.\n" * 4


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ZH, "utf-8"),
        (ZH, "utf-8-sig"),
        (ZH, "utf-16"),
        (ZH, "utf-32"),
        (ZH, "gbk"),
        (ZH, "gb2312"),
        (ZH + "𠮷野家 😀\n", "gb18030"),
        (TW, "big5"),
        (JA, "shift_jis"),
        (JA, "euc_jp"),
        (KO, "euc_kr"),
        (DE, "latin-1"),
        (FR, "cp1252"),
        (PL, "cp1250"),
        (RU, "cp1251"),
        (RU, "koi8-r"),
        (EL, "cp1253"),
        (HE, "cp1255"),
        (DE, "utf-16-le"),
        (DE, "utf-16-be"),
    ],
)
def test_encodings(read, text, encoding, ending):
    text = text.replace("\n", ending)
    [document] = read("a.txt", text.encode(encoding))
    assert document.text == text


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_marks_of_either_byte_order(read, mark):
    assert read("a.txt", ("\ufeff" + ZH).encode(mark))[0].text == ZH


@pytest.mark.parametrize(
    "text",
    [
        "你好",
        "测试",
        "中文文档",
        "文件",
        "Error: 文件未找到",
        "姓名,年龄,城市\n张三,30,北京\n李四,25,上海\n",
        "数据库",
        "价格：100元",
    ],
)
def test_a_few_chinese_characters_are_enough(read, text):
    assert read("a.txt", text.encode("gbk"))[0].text == text


@pytest.mark.parametrize(
    "text", ["café", "élève", "Füße", "naïve résumé", "São Paulo", "El niño", "price: 5 £", "it’s"]
)
def test_a_few_accents_are_enough(read, text):
    assert read("a.txt", text.encode("cp1252"))[0].text == text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет", "cp1251"),
        ("Договор подписан", "cp1251"),
        ("Федерации", "cp1251"),
        ("допустимый", "cp1251"),
        ("Москва", "koi8-r"),
        ("Договор", "koi8-r"),
        ("κείμενο", "cp1253"),
        ("Αθήνα", "cp1253"),
    ],
)
def test_a_word_of_another_alphabet_is_enough(read, text, encoding):
    """Capitals inside words, and accents by the row, tell a misreading."""
    assert read("a.txt", text.encode(encoding))[0].text == text


def test_chinese_snippets_in_gbk(read):
    """Any few characters out of ordinary prose."""
    prose = (
        "退款政策规定客户可以在购买后七天之内申请退货但是商品必须保持完好并且附有原始发票如果超过期限公司有权拒绝"
        "安装之前请先阅读说明书然后按照步骤连接电源打开开关等待指示灯变成绿色之后才能继续操作"
        "他们昨天晚上在学校门口遇见了一位多年没有见面的老朋友大家都非常高兴一起去附近的餐厅吃饭聊天"
    )
    rng = random.Random(7)
    starts = [rng.randrange(len(prose) - 4) for _ in range(100)]
    right = sum(read("a.txt", prose[i : i + 4].encode("gbk"))[0].text == prose[i : i + 4] for i in starts)
    assert right >= 97


def test_gbk_far_behind_plain_ascii(read):
    text = "id = 1\n" * 100_000 + "备注：数据库\n"
    assert read("a.txt", text.encode("gbk"))[0].text == text


def test_one_long_line(read):
    text = "检索系统支持中文" * 10_000
    assert read("a.txt", text.encode("gbk"))[0].text == text
    assert read("a.txt", ("a" + text).encode("gbk"))[0].text == "a" + text  # cut inside a character


@pytest.mark.parametrize(
    "head",
    [
        '<?xml version="1.0" encoding="GB2312"?>\n',
        "# -*- coding: gbk -*-\n",
        "#!/usr/bin/env python\n# vim: set fileencoding=gbk :\n",
        '<!-- --><meta http-equiv="Content-Type" content="text/html; charset=gb2312">\n',
    ],
)
def test_the_declared_encoding_is_believed(read, head):
    text = head + "鳙鲢鲫鳜 鼢鼬鼯 黧黩黯\n"  # too rare for a guess
    assert read("a.txt", text.encode("gbk"))[0].text == text
    bare = read("a.txt", text[len(head) :].encode("gbk"))
    assert getattr(bare[0], "text", None) != text[len(head) :], "the declaration made no difference"


def test_a_false_declaration_is_not_believed(read):
    head = '<?xml version="1.0" encoding="{}"?>\n'
    for declared in ("big5", "iso-8859-1", "no-such-encoding", "rot13", "utf-8"):
        text = head.format(declared) + ZH
        assert read("a.xml", text.encode("utf-8"))[0].text == text
    for declared in ("utf-8", "utf-16", "euc-jp", "hex", "x-user-defined"):
        text = head.format(declared) + ZH
        assert read("a.xml", text.encode("gbk"))[0].text == text


def test_broken_utf8_is_refused_and_not_mangled(read):
    data = (ZH * 5).encode()
    [outcome] = read("a.txt", data[:100] + b"\xff" + data[100:])
    assert (outcome.path, outcome.kind) == ("a.txt", "failed")
    assert "UTF-8 at byte 100" in outcome.reason
    [outcome] = read("a.txt", data[:-2])
    assert outcome.kind == "failed"
    [outcome] = read("a.txt", b"\xef\xbb\xbf" + ZH.encode("gbk"))
    assert outcome.kind == "failed"


def test_text_that_leaves_its_encoding_is_refused(read):
    [outcome] = read("a.txt", ZH.encode("gbk") * 3000 + b"\xff\xff\n")
    assert outcome.kind == "failed"
    assert "gb18030 at byte" in outcome.reason


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\0\0\0",
        b"text with a zero\0in it",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"a\n" * 100_000 + b"\0",
        b"\xff\xfa\x01\x02\x03\x04\x05\x06" * 50,
    ],
)
@pytest.mark.parametrize("name", ["a.bin", "a", "a.txt", "a.jsonl"])
def test_binary_files_are_skipped(read, data, name):
    [outcome] = read(name, data)
    assert (outcome.path, outcome.kind) == (name, "skipped")
    assert "binary" in outcome.reason


def test_a_zero_far_into_another_encoding(read):
    [outcome] = read("a.txt", "测试\n".encode("gbk") * 300_000 + b"\0")
    assert (outcome.path, outcome.kind) == ("a.txt", "skipped")


@pytest.mark.parametrize("text", ["", "\n", " \r\n\t\n", "\ufeff"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.py", "a.json", "a.jsonl", "a.csv", "a.html", "a.unknown"])
def test_emptied_files_are_blank_documents(read, name, text):
    [document] = read(name, text)
    assert document.id == name
    assert not document.text.strip()


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("text\n" * 20_000)
    os.truncate(path, LARGEST_TEXT + 1)  # sparse
    [outcome] = load(path)
    assert (outcome.kind, outcome.reason) == ("failed", "larger than 64 MiB; split it")


def test_a_large_binary_is_not_read(tmp_path):
    path = tmp_path / "a.img"
    path.touch()
    os.truncate(path, 1 << 40)
    [outcome] = load(path)
    assert outcome.kind == "skipped"
