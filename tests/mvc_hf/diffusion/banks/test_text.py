"""Caption embeddings: what the text encoder says, encoded once."""

import numpy as np
import torch

from mvc_hf.captions.loading import caption_source
from mvc_hf.captions.table import CaptionTable
from mvc_hf.data.loading import open_dataset
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.mixing import MixPlans
from mvc_hf.storage.files import cache_root


def test_captions_are_what_the_text_encoder_says(photos, base):
    table = caption_source("template").table(open_dataset(str(photos)))
    text = TextBank.build(table, base)
    assert text.embeddings.shape == (len(table), 77, 32)
    expected = base.encode_text([table.captions[5]])[0]
    torch.testing.assert_close(text.embeddings[5].float(), expected, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(text.null.float(), base.encode_text([""])[0], atol=2e-3, rtol=2e-3)


def test_memory_is_mapped_not_read(photos, base):
    text = TextBank.build(caption_source("template").table(open_dataset(str(photos))), base)
    cached = next(cache_root().glob("text-*/array.npy"))
    assert isinstance(np.load(cached, mmap_mode="r"), np.memmap)
    before = text.embeddings[0, 0, 0].item()
    np.lib.format.open_memmap(cached, "r+")[0, 0, 0] = before + 1  # seen through the map: nothing was copied
    assert text.embeddings[0, 0, 0].item() == before + 1


def test_long_captions_keep_the_class_name(base):
    table = CaptionTable.build([0, 0], ["This is an image of cat. " + "very " * n + "old" for n in (100, 200)], [0, 1])
    text = TextBank.build(table, base)
    assert torch.equal(text.embeddings[0], text.embeddings[1])  # both are cut after 77 tokens, in "very"
    other = TextBank.build(CaptionTable.build([0], ["This is an image of dog. " + "very " * 100], [0]), base)
    assert not torch.equal(text.embeddings[0], other.embeddings[0])


def test_a_mix_takes_its_rows_from_the_bank(base):
    """Base row 1; row 0's tokens 2 to 4 over it; one element of row 2."""
    table = CaptionTable.build([0, 0, 0], ["a red cat", "a small dog", "a tree"], [0, 1, 2])
    text = TextBank.build(table, base)
    plans = MixPlans(np.array([1]), np.array([[[0, 2, 5]]]), np.array([[[2, 7, 3, 4]]]))
    (found,) = text.mixed(plans)
    expected = text.embeddings[1].float().clone()
    expected[2:5] = text.embeddings[0, 2:5].float()
    expected[7, 3] = text.embeddings[2, 7, 3].float()
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_captions_that_are_encoded_are_not_encoded_again_in_another_order_of_runs(base, monkeypatch):
    table = CaptionTable.build([0, 0], ["a red cat", "a small dog"], [0, 1])
    first = TextBank.build(table, base)
    asked = []
    encode = type(base).encode_text
    monkeypatch.setattr(type(base), "encode_text", lambda self, texts: asked.append(texts) or encode(self, texts))
    assert torch.equal(TextBank.build(table, base).embeddings, first.embeddings) and asked == []
    more = TextBank.build(CaptionTable.build([0, 0, 0], [*table.captions, "a tree"], [0, 1, 2]), base)
    assert torch.allclose(more.embeddings[:2].float(), first.embeddings.float(), atol=2e-3) and len(asked) == 1
