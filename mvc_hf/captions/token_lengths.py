"""How much of a caption CLIP reads: 77 tokens from the front, where the class name is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..utils.progress import say
from ..utils.text import some
from .table import CaptionTable, with_prefix

TOKENS = 77  # of all CLIP text encoders of Stable Diffusion 1.x and 2.x
ENDS = 2  # tokens that mark the start and the end
WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")  # CLIP's tokens never reach over these


def say_cuts(table: CaptionTable, class_names: Sequence[str], base: Any = None) -> int:
    """Say how many captions do not fit into what the text encoder reads, and which class names do not.

    Args:
        table: captions with their prefix.
        class_names: of the data set, in words.
        base: whose text encoder reads them; without it each word counts as one token, so that "at least" so many are
            cut.

    Returns:
        How many captions are cut.
    """
    tokenizer, limit = (base.tokenizer, base.tokens) if base else (None, TOKENS)
    cut = sum(n > limit for n in _lengths(table.captions, tokenizer, limit))
    if cut:
        some_of = (
            f"{cut} of {len(table)} captions are" if tokenizer else f"at least {cut} of {len(table)} captions are"
        )
        say(f"{some_of} longer than the {limit} tokens that CLIP reads: it reads the class name, but not their ends")
    names = [with_prefix(name, "") for name in class_names]
    long = [name for name, n in zip(class_names, _lengths(names, tokenizer, limit)) if n > limit]
    if long:
        shown = some((name[:60] + "…" if len(name) > 60 else name for name in long), 3)
        say(f"{len(long)} class names are longer than the {limit} tokens that CLIP reads: {shown}")
    return cut


def _lengths(texts: Sequence[str], tokenizer: Any, limit: int) -> list[int]:
    """Tokens of each text; 0 for those that are short enough whatever they say, as a token is at least one byte."""
    lengths = [0] * len(texts)
    long = [i for i, text in enumerate(texts) if len(text.lower().encode()) > limit - ENDS]
    if tokenizer is None:
        found = [ENDS + len(WORD.findall(texts[i])) for i in long]
    else:
        found = [len(ids) for ids in tokenizer([texts[i] for i in long], verbose=False).input_ids] if long else []
    for i, count in zip(long, found):
        lengths[i] = count
    return lengths
