"""What a class is called in a caption, from what its folder or label is called.

The label keeps its name. In words "01_golden_retriever" is a golden retriever: underscores are spaces, and numbers
that only put folders in order are left out. A file may say it better.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from ..errors import DataError
from ..utils.text import brief, collapsed, normal
from .files import read_settings

ORDER = re.compile(r"\d+[\s._-]+(?=\S)")  # before a name
ARTICLE = re.compile(r"\b([Aa])n? (?=\{\})")
# Said with a consonant first, though written with a vowel, and the other way round.
CONSONANT = re.compile(r"(?:uni(?!n|m)|us[ei]|uk|eu|ew|one(?:\b|-)|once|ut[ei]|ura|ufo)", re.IGNORECASE)
VOWEL = re.compile(r"[aeiouàáâäåæèéêëìíîïòóôöøùúûü]|hour|heir|hono|(?:[fhlmnrsx]|mri|x-ray)(?=[\s-]|$)", re.IGNORECASE)


def words_of(class_names: Sequence[str]) -> tuple[str, ...]:
    """The names in words.

    Numbers in front are left out only where every name has one and the rest tells the classes apart: "3_series" and
    "5_series" are names.
    """
    spaced = [collapsed(name.replace("_", " ")) or name for name in class_names]
    bare = [ORDER.sub("", name, count=1) for name in spaced]
    ordered = all(a != b for a, b in zip(bare, spaced)) and len(set(map(str.casefold, bare))) == len(bare)
    return tuple(bare if ordered and len(bare) > 1 else spaced)


def read_words(path: str, class_names: Sequence[str]) -> tuple[str, ...]:
    """The names in words, as a YAML or JSON file of "name: words" has them; those that it lacks as `words_of`.

    Raises:
        RecipeError: it cannot be read.
        DataError: it names a class that is not there, or words that are none.
    """
    known = {normal(name): at for at, name in enumerate(class_names)}
    found = list(words_of(class_names))
    for name, words in read_settings(path).items():
        at = known.get(normal(str(name)))
        if at is None:
            near = difflib.get_close_matches(str(name), class_names, 1)
            hint = f"did you mean {brief(near[0])}?" if near else f"there are {', '.join(map(brief, class_names[:5]))}"
            raise DataError(f"--class-names names {brief(name)}, which is no class: {hint}")
        if not isinstance(words, str) or not words.strip():
            raise DataError(f"--class-names has {brief(words)} for {brief(name)}: write words, in quotes")
        found[at] = collapsed(words)
    return tuple(found)


def with_article(template: str, words: str) -> str:
    """The template with the words in place of {}, and "a" or "an" before them as they sound."""
    vowel = bool(VOWEL.match(words)) and not CONSONANT.match(words)
    return ARTICLE.sub(lambda found: f"{found[1]}n " if vowel else f"{found[1]} ", template).replace("{}", words)
