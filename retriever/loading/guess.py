"""Guessing the encoding of text that is not Unicode.

The libraries for this need a few hundred characters before they can be trusted, and a note or a column of names has
fewer: two Chinese characters in GBK are also two in Big5 and two syllables in EUC-KR. So the encodings that people
meet are read one after the other, and the reading whose characters are the commonest in its own language wins.
Whatever reads badly in all of them is left to ``charset_normalizer``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

# What a character beyond ASCII counts, in a reading where it is frequent. Short Chinese words also read as Greek or
# Cyrillic letters, all of them frequent, and Greek or Cyrillic words hardly ever as common Chinese.
CJK = 1.0
LATIN = 0.95
OTHER_ALPHABET = 0.85
ORDINARY = 0.9
"""What a Chinese, Japanese or Korean character counts that is ordinary, but not among the most frequent."""

GOOD_READING = 0.6
"""Mean above which a reading is believed."""

_CJK_MARKS = "、。，．；：？！…—～·《》〈〉「」『』【】（）〔〕“”‘’％＋－／＝　"
_LATIN_MARKS = "“”‘’„‚–—…«»‹›€£§°©®™•·\xa0¡¿"

_SIMPLIFIED = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行"
    "所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日军者意无"
    "力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利"
    "什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走"
    "号据库件数请码页书订单价款退货用户测试检索系统网络软件"
)
_TRADITIONAL = (
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡用道行"
    "所然家種事成方多經麼去法學如都同現當沒動面起看定天分還進好小部其些主樣理心本前開但因只從想實日軍者意無"
    "力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利"
    "什二等產或新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真論處走"
    "號據庫件數請碼頁書訂單價款退貨戶測試檢索系統網絡軟"
)
_KOREAN = (
    "이다는의에을가고하지을를로도사기자시어은한서있정인대일부리것나수보아해그스제주전라상들만오안장원과구공여비"
    "동여소게했생유성면거관진조트우선세연된으와용니습요데내화방드신물문년미터분마개모국간경위네음무바"
)
_KANA = "".join(map(chr, [*range(0x3041, 0x3094), *range(0x30A1, 0x30F7), 0x30FC]))
_FRENCH = "àâæçèéêëîïôùûüœìòÀÂÇÈÉÊÎÔÙŒ"  # and Italian
_IBERIAN = "áâãàçéêíñóôõúüÁÂÃÇÉÍÑÓÚªº"
_GERMAN = "äöüßÄÖÜåæøéÅÆØ"  # and Nordic
_ICELANDIC = "áðéíóúýþæöÁÐÉÍÓÚÝÞÆÖ"
_CENTRAL = "áäąćčďéęěíłńňóôöőřśšťúůüűýźżžßÁĄĆČĎÉĘĚÍŁŃŇÓÖŐŘŚŠŤÚŮÜŰÝŹŻŽ"
_TURKISH = "çğıöşüâîûÇĞİÖŞÜ"
# These three are told apart by the letters that are rare in each, and so left out.
_CYRILLIC = "абвгдежзийклмнопрстухчыьюяёіїєґўАБВГДЕЖЗИКЛМНОПРСТУХЧЮЯ№"
_GREEK = "αβγδεηθικλμνοπρστυχωςάέήίόύώΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΆΈΉΊΌΎΏ"
_HEBREW = "אבגדהוחיכלםמןנעפצקרשת"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read bytes.

    :param codec: Python's name for it.
    :param frequent: the commonest characters of a language written in it.
    :param weight: what one of them counts.
    :param ordinary: the part of a double-byte standard that holds its ordinary characters: its name, and the range of
        first bytes.
    :param needs: where given, at least a tenth of the text must be of these.
    """

    codec: str
    frequent: str
    weight: float
    ordinary: tuple[str, int, int] | None = None
    needs: str = ""


# On a tie the earlier one wins. Where the letters of two Latin readings agree, the text is the same.
_READINGS = (
    _Reading("gb18030", _SIMPLIFIED + _CJK_MARKS, CJK, ("gb2312", 0xB0, 0xD7)),
    _Reading("cp950", _TRADITIONAL + _CJK_MARKS, CJK, ("big5", 0xA4, 0xC6)),
    _Reading("big5hkscs", _TRADITIONAL + _CJK_MARKS, CJK, ("big5", 0xA4, 0xC6)),
    _Reading("cp932", _KANA + _CJK_MARKS, CJK, ("euc_jp", 0xB0, 0xCF), needs=_KANA),
    _Reading("euc_jp", _KANA + _CJK_MARKS, CJK, ("euc_jp", 0xB0, 0xCF), needs=_KANA),
    _Reading("cp949", _KOREAN + _CJK_MARKS, CJK, ("euc_kr", 0xB0, 0xC8)),
    _Reading("cp1252", _FRENCH + _LATIN_MARKS, LATIN),
    _Reading("cp1252", _IBERIAN + _LATIN_MARKS, LATIN),
    _Reading("cp1252", _GERMAN + _LATIN_MARKS, LATIN),
    _Reading("cp1250", _CENTRAL + _LATIN_MARKS, LATIN),
    _Reading("cp1254", _TURKISH + _LATIN_MARKS, LATIN),
    _Reading("cp1252", _ICELANDIC + _LATIN_MARKS, LATIN),
    _Reading("cp1251", _CYRILLIC + _LATIN_MARKS, OTHER_ALPHABET),
    _Reading("koi8_r", _CYRILLIC, OTHER_ALPHABET),
    _Reading("cp1255", _HEBREW + _LATIN_MARKS, OTHER_ALPHABET),
    _Reading("cp1253", _GREEK + _LATIN_MARKS, OTHER_ALPHABET),
)

# What the library may answer. Left to itself it also reads short texts as UTF-16 or as EBCDIC.
_OTHERS = [
    "cp1255", "cp1256", "cp1257", "cp1258", "cp437", "cp850", "cp852", "cp866", "cp874", "iso8859_2", "iso8859_5",
    "iso8859_7", "iso8859_9", "iso8859_15", "koi8_u", "mac_cyrillic", "mac_roman", "tis_620", "gb18030", "big5",
    "cp932", "cp949", "euc_jp", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254",
]  # fmt: skip


def guess(sample: bytes, *, cut: bool = False) -> str | None:
    """Name the codec that most likely wrote these lines.

    :param sample: lines that hold bytes beyond ASCII.
    :param cut: whether the sample may end inside a character.
    :return: a codec that reads the sample without an error, or ``None``.
    """
    best, best_score = None, GOOD_READING
    for reading in _READINGS:
        score = _score(sample, reading, cut)
        if score > best_score:
            best, best_score = reading.codec, score
    return best or _ask_library(sample)


def _score(sample: bytes, reading: _Reading, cut: bool) -> float:
    """Mean commonness of the characters beyond ASCII, less what no one would write."""
    try:
        text = codecs.getincrementaldecoder(reading.codec)().decode(sample, final=not cut)
    except UnicodeDecodeError:
        return 0.0
    beyond = [c for c in text if c > "\x7f"]
    if not beyond or _few(beyond, reading.needs) or _mixes_scripts(text, reading):
        return 0.0
    frequent, ordinary = _commonness(reading)
    common = sum(reading.weight if c in frequent else ORDINARY if c in ordinary else 0.0 for c in beyond)
    return (common - 2 * _oddities(text)) / len(beyond)


@cache
def _commonness(reading: _Reading) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(reading.frequent), frozenset(_block(*reading.ordinary) if reading.ordinary else ())


def _block(codec: str, first: int, last: int) -> Iterator[str]:
    """Characters of a double-byte standard between two first bytes."""
    seconds = [*range(0x40, 0x7F), *range(0xA1, 0xFF)]
    for one in range(first, last + 1):
        for two in seconds:
            yield from bytes((one, two)).decode(codec, "ignore")


def _few(characters: list[str], needed: str) -> bool:
    return bool(needed) and 10 * sum(c in needed for c in characters) < len(characters)


_MIXED_WORD = re.compile("[A-Za-z][\u0370-\u05ff]|[\u0370-\u05ff][A-Za-z]")


def _mixes_scripts(text: str, reading: _Reading) -> bool:
    """A letter of another alphabet inside a Latin word is an accented letter misread."""
    return reading.weight == OTHER_ALPHABET and _MIXED_WORD.search(text) is not None


_ACCENTED_RUN = re.compile("[À-ɏ]{3,}")


def _oddities(text: str) -> int:
    """What double-byte and Cyrillic text is full of when it is read as letters.

    Capital letters beyond ASCII right after a small one, and accented letters by the row.
    """
    capitals = sum(b > "\x7f" and b.isupper() and a.islower() for a, b in pairwise(text))
    return capitals + sum(len(run) - 2 for run in _ACCENTED_RUN.findall(text))


def _ask_library(sample: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_OTHERS, enable_fallback=False).best()
    return best.encoding if best else None
