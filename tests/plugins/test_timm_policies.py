from __future__ import annotations

import pytest
from PIL import Image
from timm.data.transforms_factory import create_transform
from torch.utils.data import Dataset
from torchvision.transforms import AutoAugment

from mvc_hf.errors import HostError
from mvc_hf.plugins.timm_policies import insert_policy


class Holder(Dataset):
    def __init__(self, transform):
        self.transform = transform


@pytest.mark.parametrize("settings", [{}, {"use_prefetcher": True}, {"normalize": False}, {"re_prob": 0.2}])
def test_it_stands_after_crops_and_flips_and_before_pictures_become_numbers(settings):
    holder = Holder(create_transform(32, is_training=True, color_jitter=None, **settings))
    insert_policy(holder, "cifar10")
    names = [type(step).__name__ for step in holder.transform.transforms]
    at = names.index("AutoAugment")
    assert names.index("RandomHorizontalFlip") < at and "To" in names[at + 1]
    assert holder.transform(Image.new("RGB", (40, 40), "red")).shape[-2:] == (32, 32)


def test_other_transforms_are_refused():
    for transform in (None, (1, 2), create_transform(32, is_training=True, separate=True)):
        with pytest.raises(HostError, match="--aug-policy"):
            insert_policy(Holder(transform), "cifar10")


def test_it_is_one_of_torchvisions():
    holder = Holder(create_transform(32, is_training=True))
    insert_policy(holder, "svhn")
    (step,) = (step for step in holder.transform.transforms if isinstance(step, AutoAugment))
    assert step.policy.value == "svhn"
