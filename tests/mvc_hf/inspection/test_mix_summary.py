import numpy as np
import pytest
import torch

from mvc_hf.inspection.mix_summary import Mixture, Part, mixtures
from mvc_hf.mixing import MixPlans, apply, plan


@pytest.mark.parametrize(("coarse", "fine"), [(0, 0), (2, 8), (8, 8), (2, 300)])
def test_shares_are_those_of_the_mixed_embeddings(coarse, fine):
    """Every caption's embedding is its own number throughout, so that a mix shows where each element is from."""
    captions, tokens, width = 9, 7, 11
    plans = plan(
        3, 0, np.arange(20), pool_start=0, pool_size=captions, tokens=tokens, width=width, coarse=coarse, fine=fine
    )
    numbers = torch.arange(captions).float()[:, None, None].expand(-1, tokens, width).contiguous()
    for mixed, base, found in zip(apply(numbers, plans).numpy(), plans.base, mixtures(plans, tokens, width)):
        assert found.share == pytest.approx((mixed != base).mean())
        left = {part.caption for part in found.parts}
        assert set(np.unique(mixed).astype(int)) - {base} <= left
        fine_only = sum(part.elements for part in found.parts if not part.rows)
        assert fine_only == sum((mixed == p.caption).sum() for p in found.parts if not p.rows)
        assert not set(left) & {base}


def test_rows_and_elements_after_later_copies():
    mix = {
        "base": 0,
        "coarse": [{"source": 1, "r": 0, "s": 3}, {"source": 2, "r": 2, "s": 4}],
        "fine": [{"source": 1, "w": 4, "u": 0, "v": 5}, {"source": 3, "w": 4, "u": 3, "v": 6}],
    }
    (found,) = mixtures(MixPlans.from_records([mix]), tokens=6, width=10)
    assert found.parts == (Part(1, 2, 3), Part(2, 2, 0), Part(3, 0, 3))
    assert found.share == (4 * 10 + 6) / 60
    assert found.named(["a", "b", "c", "d"]).parts[2] == Part("d", 0, 3)


def test_a_class_with_one_caption_mixes_nothing():
    plans = plan(0, 0, np.arange(3), pool_start=4, pool_size=1, tokens=5, width=5, coarse=2, fine=8)
    assert mixtures(plans, 5, 5) == [Mixture(0.0, ())] * 3
