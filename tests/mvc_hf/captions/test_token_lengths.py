"""How many captions CLIP does not read to their ends."""

import pytest

from mvc_hf.captions.table import CaptionTable
from mvc_hf.captions.token_lengths import say_cuts
from mvc_hf.diffusion.model import load_base


def test_cut_captions_are_counted(capsys, tiny_base):
    base = load_base(str(tiny_base))
    texts = ["This is an image of cat. " + "a " * n for n in (20, 60, 80, 300)]
    fits = [len(base.tokenizer(text).input_ids) <= 77 for text in texts]
    assert fits == [True, True, False, False]
    table = CaptionTable.build([0] * 4, texts, range(4))
    assert say_cuts(table, ["cat"], base) == 2
    assert "2 of 4 captions are longer than the 77 tokens that CLIP reads" in capsys.readouterr().err
    assert say_cuts(table, ["cat"]) == 2
    assert "at least 2 of 4 captions" in capsys.readouterr().err
    short = CaptionTable.build([0], texts[:1], [0])
    assert say_cuts(short, ["cat"], base) == say_cuts(short, ["cat"]) == 0
    assert capsys.readouterr().err == ""
    assert say_cuts(short, ["cat", "word " * 90], base) == 0
    assert "1 class names are longer" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["it's 1984, isn't it?! " * 9, "Größe_x ½² مرحبا 日本語 " * 9, "x" * 500, "🐱 " * 40])
def test_words_are_never_more_than_tokens(text, tiny_base):
    from transformers import CLIPTokenizer

    from mvc_hf.captions.token_lengths import _lengths

    tokenizer = CLIPTokenizer.from_pretrained(tiny_base, subfolder="tokenizer")
    assert _lengths([text], None, 77)[0] <= len(tokenizer(text).input_ids)
