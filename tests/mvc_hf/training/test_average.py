"""The moving average of the weights."""

import torch
from diffusers.training_utils import EMAModel

from mvc_hf.training.average import follow


def test_it_is_that_of_diffusers():
    torch.manual_seed(0)
    weights = [torch.randn(7, 3, requires_grad=True), torch.randn(5, requires_grad=True)]
    ours, theirs = EMAModel(weights, decay=0.9), EMAModel(weights, decay=0.9)
    for _ in range(40):  # past the warm-up, where the decay grows
        with torch.no_grad():
            for weight in weights:
                weight += torch.randn_like(weight)
        follow(ours, weights)
        theirs.step(weights)
    assert ours.optimization_step == theirs.optimization_step == 40
    for mine, other, weight in zip(ours.shadow_params, theirs.shadow_params, weights):
        torch.testing.assert_close(mine, other)
        assert not torch.allclose(mine, weight) and not mine.requires_grad
