import numpy as np
import tiny

from mvc_hf.assessment.sets import open_sets
from mvc_hf.config.assessing import AssessSettings


def test_labels_are_those_of_the_real_classes_in_either_spelling(tmp_path):
    real = tiny.image_folder(tmp_path / "real", {"café": 2, "pear": 3, "quince": 2})
    made = tiny.image_folder(tmp_path / "made", {"cafe\u0301": 1, "quince": 2})
    sets = open_sets(str(made), str(real), None, AssessSettings())
    assert sets.synthetic.labels.tolist() == [0, 2, 2] and sets.class_names == ("café", "pear", "quince")
    assert sets.holdout is None and len(sets.real) == 7
    assert [part.role for part in (sets.synthetic, sets.real)] == ["synthetic", "real"]


def test_the_held_out_split_is_test_where_there_are_splits(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        tiny.image_folder(tmp_path / "both" / split, {"apple": count, "pear": count})
    made = tiny.image_folder(tmp_path / "made", {"apple": 2})
    both = str(tmp_path / "both")
    assert len(open_sets(str(made), both, both, AssessSettings()).holdout) == 4
    assert len(open_sets(str(made), both, both, AssessSettings(holdout_split="train")).holdout) == 6
    plain = tiny.image_folder(tmp_path / "plain", {"apple": 5})
    assert len(open_sets(str(made), both, str(plain), AssessSettings()).holdout) == 5


def test_deep_greys_are_seen_through_a_window(tmp_path):
    from PIL import Image

    for name in ("apple", "pear"):
        (tmp_path / "real" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(np.full((8, 8), 1000 * (i + 1), np.uint16)).save(tmp_path / "real" / name / f"{i}.png")
    made = tiny.image_folder(tmp_path / "made", {"apple": 2}, grey=True)
    sets = open_sets(str(made), str(tmp_path / "real"), None, AssessSettings(window="0,2000"))
    assert [sets.real.source.image(i).getpixel((0, 0)) for i in range(2)] == [128, 255]
