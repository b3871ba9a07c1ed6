import torch

from mvc_hf.diffusion.finite import all_finite, broken


def test_one_bad_number_is_found_whatever_its_kind():
    good = torch.linspace(-1e38, 1e38, 1000)
    assert all_finite([good, good.half().clamp(-1, 1), torch.arange(3), torch.zeros(0)])
    for bad in (float("nan"), float("inf"), -float("inf")):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            tensor = torch.ones(10, 10, dtype=dtype)
            tensor[3, 4] = bad
            assert not all_finite([good, tensor])
            assert broken([("good", good), ("ids", torch.arange(3)), ("bad", tensor)]) == ["bad"]


def test_nothing_is_finite():
    assert all_finite([]) and broken([]) == []
