import pytest
import tiny
from numbers_set import Numbers
from torch.utils.data import Subset

from mvc_hf.augment.mixed_dataset import mix_datasets
from mvc_hf.augment.targets import class_numbers, labels
from mvc_hf.errors import DataError


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return tiny.image_folder(tmp_path_factory.mktemp("made"), {"apple": 5, "pear": 7, "plum": 4}, seed=1)


def test_numbers_and_labels_of_a_subset(synthetic):
    part = Subset(Numbers(), [3, 4, 8])
    assert labels(part).tolist() == [0, 1, 2]
    assert class_numbers(part) == {"apple": 0, "pear": 1, "plum": 2}
    mixed = mix_datasets(part, str(synthetic), "rsp", prob=1.0)
    assert sorted(mixed[slot][1] for slot in range(3)) == [0, 1, 2]


def test_labels_that_nobody_lists_are_read():
    class Bare(Numbers):
        def __init__(self):
            super().__init__()
            self._kept, self.targets = self.targets, None

        def __len__(self):
            return 12

        def __getitem__(self, i):
            return None, self._kept[i]

    assert labels(Bare()).tolist() == [i % 3 for i in range(12)]


def test_labels_must_be_single_numbers():
    for wrong in ([[0, 1]] * 12, [0.5] * 12, [-1] * 12):
        real = Numbers()
        real.targets = wrong
        with pytest.raises(DataError, match="must have one label each"):
            labels(real)


def test_torchvisions_synonyms_are_one_name():
    real = Numbers()
    real.classes = [("tench", "Tinca tinca"), "pear", "plum"]
    assert class_numbers(real) == {"tench, Tinca tinca": 0, "pear": 1, "plum": 2}
