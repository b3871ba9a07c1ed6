"""Banks that encode what is asked for, when it is asked for: the same as whole ones."""

import numpy as np
import pytest
import tiny
import torch

from mvc_hf import mixing
from mvc_hf.captions.table import CaptionTable
from mvc_hf.data.loading import open_dataset
from mvc_hf.diffusion.banks.latents import LatentBank
from mvc_hf.diffusion.banks.on_demand import OnDemandLatentBank, OnDemandTextBank
from mvc_hf.diffusion.banks.text import TextBank
from mvc_hf.errors import DataError


def test_few_texts_mix_as_the_bank_does(base):
    captions = [f"caption {i} of class {i // 8}" for i in range(24)]
    table = CaptionTable.build([i // 8 for i in range(24)], captions, range(24))
    whole, few = TextBank.build(table, base), OnDemandTextBank(table, base)
    encoded, encode = [], base.encode_text
    base.encode_text = lambda texts: encoded.extend(texts) or encode(texts)
    for coarse, fine in ((0, 0), (2, 8), (0, 3)):
        plans = mixing.plan(
            1, 0, np.arange(2), pool_start=8, pool_size=8, tokens=77, width=32, coarse=coarse, fine=fine
        )
        torch.testing.assert_close(few.mixed(plans), whole.mixed(plans), atol=2e-3, rtol=2e-3)
    assert len(encoded) == len(set(encoded)) and set(encoded) <= set(table.captions[8:16])
    torch.testing.assert_close(few.null, whole.null, atol=2e-3, rtol=2e-3)


def on_demand(source, base):
    return OnDemandLatentBank(source, base, resolution=16, max_broken=0)


def test_few_images_have_the_latents_of_the_bank_and_are_encoded_once(photos, base, monkeypatch):
    source = open_dataset(str(photos))
    whole, few = LatentBank.build(source, base, resolution=16, max_broken=0), on_demand(source, base)
    encoded, encode = [], type(base).encode_images
    monkeypatch.setattr(type(base), "encode_images", lambda s, p: encoded.append(len(p)) or encode(s, p))
    rows = np.array([20, 3, 20])
    torch.testing.assert_close(few.mode(rows), whole.mode(rows), atol=2e-3, rtol=2e-3)
    few.mode(np.array([3, 4]))
    assert encoded == [2, 1] and few.moments.shape == whole.moments.shape
    assert [m.tolist() for m in few.members] == [m.tolist() for m in whole.members]


def test_what_cannot_be_read_is_left_out_of_its_class(tmp_path, base, capsys):
    folder = tiny.image_folder(tmp_path / "p", {"a": 3, "b": 2})
    (folder / "a" / "001.png").write_bytes(b"no picture")
    few = on_demand(open_dataset(str(folder)), base)
    few.look_at([0])
    assert few.members[0].tolist() == [0, 2] and "skipped 1 of 3 images" in capsys.readouterr().err
    for path in (folder / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image can be read of the class 'b'"):
        few.look_at([1])


def test_a_model_that_was_let_go_is_not_needed_for_what_is_known(photos, base):
    few = on_demand(open_dataset(str(photos)), base)
    known = few.mode(np.array([5]))
    few.let_go()
    assert torch.equal(few.mode(np.array([5])), known)
    with pytest.raises(AttributeError):
        few.mode(np.array([6]))
