"""Text on pictures, in the font that Pillow ships, wrapped to a width.

That font knows little more than English. Other text is set in a font of this machine that has all of its letters.
Where there is none, accents are dropped and other letters become escapes: no word is a row of boxes.
"""

from __future__ import annotations

import bisect
import functools
import unicodedata

from PIL import ImageFont

from ..utils.text import collapsed

# Usual names on Linux, macOS and Windows; Pillow looks for them where the system keeps its fonts.
OTHERS = (
    "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial Unicode.ttf", "arial.ttf",
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc",
    "msyh.ttc", "YuGothM.ttc", "msgothic.ttc", "malgun.ttf", "AppleSDGothicNeo.ttc", "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "Nirmala.ttf",
)  # fmt: skip
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont  # the latter where Pillow is built without FreeType
LIKE = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i", "Æ": "AE", "Ø": "O", "Ł": "L"}
LIKE |= {
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "—": "-",
    "–": "-",
    "−": "-",
    "×": "x",
    "′": "'",
    "\u00a0": " ",
    "\u202f": " ",
}
NO_LETTER = "\U0010ffff"  # in no font: draws what a font draws for letters that it lacks


@functools.lru_cache(maxsize=64)
def font(size: int, name: str | None = None) -> Font:
    """Pillow's own font, or another one of this machine."""
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


def set_in(text: str, size: int) -> tuple[str, Font]:
    """The text on one line as it can be drawn, and the font that has its letters."""
    text = collapsed("".join(c if c.isprintable() else " " for c in text))
    for name in (None, *OTHERS):
        if (name is None or _is_here(name)) and all(_has(name, c) for c in text):
            return text, font(size, name)
    return "".join(_spelt(c) for c in text), font(size, None)


def wrapped(text: str, size: int, width: int, lines: int) -> list[str]:
    """At most so many lines no wider than `width`; an ellipsis says that there would be more."""
    most = width + 1  # letters that need a look: none is narrower than a pixel
    text, used = set_in(text[: (lines + 1) * most], size)
    done, line = [], ""
    for word in text.split():
        if used.getlength(f"{line} {word[:most]}".strip()) <= width:
            line = f"{line} {word}".strip()
            continue
        done += [line] if line else []
        while used.getlength(word[:most]) > width and len(done) <= lines:  # too long, or a script without spaces
            end = max(1, _fitting(word, used, width))
            done.append(word[:end])
            word = word[end:]
        line = word
        if len(done) > lines:
            break
    done += [line] if line else []
    if len(done) > lines:
        last = done[lines - 1]
        done[lines - 1 :] = [last[: _fitting(last, used, width, "…")].rstrip() + "…"]
    return done


def _fitting(text: str, used: Font, width: int, end: str = "") -> int:
    """How many of a text's letters fit before an end."""
    numbers = range(1, min(len(text), width) + 1)
    return bisect.bisect_right(numbers, float(width), key=lambda number: used.getlength(text[:number] + end))


@functools.cache
def _is_here(name: str) -> bool:
    try:
        font(10, name)
    except OSError:
        return False
    return True


@functools.lru_cache(maxsize=4096)
def _has(name: str | None, letter: str) -> bool:
    return letter.isspace() or _drawn(name, letter) != _drawn(name, NO_LETTER)


def _drawn(name: str | None, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = font(20, name).getmask(letter)
    return mask.size, bytes(mask)


def _spelt(letter: str) -> str:
    """A letter in those of Pillow's font."""
    if _has(None, letter):
        return letter
    plain = LIKE.get(letter) or "".join(c for c in unicodedata.normalize("NFKD", letter) if not _is_accent(c))
    if all(_has(None, c) for c in plain):
        return plain
    return letter.encode("ascii", "backslashreplace").decode()


def _is_accent(letter: str) -> bool:
    return bool(unicodedata.combining(letter))
