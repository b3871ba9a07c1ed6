import pytest
import tiny
from numbers_set import Numbers
from sources import hub_parquet

from mvc_hf.augment.mixed_dataset import mix_datasets
from mvc_hf.augment.synthetic_images import SyntheticImages
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return tiny.image_folder(tmp_path_factory.mktemp("made"), {"apple": 5, "pear": 7, "plum": 4}, seed=1)


def test_names_match_in_either_spelling(tmp_path):
    real, made = Numbers(), tiny.image_folder(tmp_path / "made", {"cafe\u0301": 2, "plum": 1})
    real.classes = ["caf\u00e9", "pear", "plum"]
    mixed = mix_datasets(real, str(made), "combined", epoch="union")
    assert mixed.synthetic.labels.tolist() == [0, 0, 2]
    real.classes = ["caf\u00e9", "cafe\u0301", "plum"]
    with pytest.raises(
        DataError, match="real images have the class 'caf\u00e9' twice, its accents written in different"
    ):
        mix_datasets(real, str(made), "combined")


def test_names_of_the_real_set_without_images_are_fine(tmp_path, synthetic):
    data = hub_parquet(tmp_path / "x.parquet", [0, 2], ["apple", "pear", "plum", "fig"])
    mixed = mix_datasets(str(data), str(synthetic), "combined", epoch="union")
    assert len(mixed) == 2 + 16


def test_a_set_without_names(synthetic):
    real = Numbers()
    real.classes = None
    with pytest.raises(DataError, match=r"come without class names.*--aug-label-match index"):
        mix_datasets(real, str(synthetic), "combined")
    assert len(mix_datasets(real, str(synthetic), "combined", label_match="index")) == 12


def test_labels_are_those_of_the_real_classes(synthetic):
    made = SyntheticImages([open_dataset(str(synthetic))] * 2, {"plum": 0, "pear": 1, "apple": 2}, "name", 0, 100)
    assert len(made) == 32 and made.labels.tolist() == 2 * (5 * [2] + 7 * [1] + 4 * [0])
    assert made.describe(0) == made.describe(16) == "apple/000.png"
    assert made.image(5).getpixel((0, 0)) == open_dataset(str(synthetic)).image(5).getpixel((0, 0))


def test_more_than_the_limit_are_drawn_by_the_seed(synthetic):
    source = open_dataset(str(synthetic))
    drawn = [SyntheticImages([source], None, "index", seed, 6) for seed in (0, 0, 1)]
    files = [[made.describe(i) for i in range(len(made))] for made in drawn]
    assert len(set(files[0])) == 6 and files[0] == files[1] != files[2]


def test_a_small_picture_is_decoded_once(synthetic, monkeypatch):
    source, asked = open_dataset(str(synthetic)), []
    original = source.image
    monkeypatch.setattr(source, "image", lambda row: asked.append(row) or original(row))
    made = SyntheticImages([source], None, "index", 0, 100)
    seen = [made.image(i) for i in (3, 5, 3, 5, 3)]
    assert sorted(asked) == [3, 5]
    assert [image.tobytes() for image in seen] == [original(row).tobytes() for row in (3, 5, 3, 5, 3)]
