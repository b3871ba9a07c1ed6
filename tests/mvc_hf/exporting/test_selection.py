"""Which images are exported."""

import judged
import numpy as np
import pytest
from PIL import Image

from mvc_hf.config.stages.exporting import ExportSettings
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, RecipeError
from mvc_hf.exporting.selection import selected

LABELS = np.repeat([0, 1, 2], 4)


@pytest.fixture
def made(tmp_path):
    return judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS)


def rows(made, **settings):
    return selected(str(made), None, ExportSettings(**settings)).parts[0].rows.tolist()


def scored(made, **columns):
    from mvc_hf.augment.scores import split_digest, write_scores

    (made / "report").mkdir()
    source = open_dataset(str(made))
    found = {"row": np.arange(len(source)), "label": source.labels, **columns}
    write_scores(made / "report" / "scores.parquet", found, {"split": split_digest(source)})


def test_all_of_them(made):
    assert rows(made) == list(range(12))


def test_a_condition_on_columns_of_its_own_needs_no_scores(made):
    names = open_dataset(str(made)).class_names
    assert rows(made, where=f"class_name == '{names[1]}' and row != 5") == [4, 6, 7]
    assert rows(made, where="method == 'mvc' and label < 1") == [0, 1, 2, 3]


def test_a_condition_on_scores(made):
    with pytest.raises(DataError, match=r"there are no scores at .*\(--scores\)"):
        rows(made, where="label_confidence > 0.5")
    scored(made, label_confidence=np.linspace(0, 1, 12))
    assert rows(made, where="label_confidence > 0.5 and label == 2") == [8, 9, 10, 11]
    with pytest.raises(RecipeError, match="names 'copy_ratio', which the scores of this set do not have"):
        rows(made, where="copy_ratio > 0.5")


def test_what_is_left_is_what_the_limit_takes_from(made):
    limited = rows(made, where="row > 1", max_per_class=2)
    assert len(limited) == 6 and min(limited) > 1
    assert set(rows(made, where="row > 1", max_per_class=1)) < set(limited)
    assert rows(made, where="row >= 0", max_per_class=2) == rows(made, max_per_class=2)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("nonsense > 1", "names 'nonsense', which is no column; there are row, label, class_name"),
        ("row > 100", "leaves none of 12 images: loosen it"),
        ("method > 1", "cannot be worked out"),
        ("mix > 1", "cannot be worked out"),
        ("row >", "cannot be read"),
        ("row", "is a number and no condition"),
    ],
)
def test_conditions_that_are_none(made, where, said):
    with pytest.raises(RecipeError, match=said):
        rows(made, where=where)


def test_a_class_of_which_nothing_is_left_is_named(made, capsys):
    rows(made, where="label != 1")
    assert f"leaves no image of 1 of 3 classes: '{open_dataset(str(made)).class_names[1]}'" in capsys.readouterr().err


def test_files_of_equal_addresses_are_told_apart(tmp_path):
    """A table of somebody's that has the columns of ours, and every address twice."""
    import datasets

    pictures = [Image.new("L", (8, 8), i) for i in range(4)]
    columns = {"image": pictures, "label": ["a", "a", "b", "b"], "seed": [0] * 4, "index": [0] * 4}
    columns |= {"method": ["mvc"] * 4, "prompt": ["p"] * 4, "condition": [None] * 4}
    datasets.Dataset.from_dict(columns).to_parquet(tmp_path / "x.parquet")
    part = selected(str(tmp_path / "x.parquet"), None, ExportSettings()).parts[0]
    assert part.stems == ["000000", "000001", "000002", "000003"]
