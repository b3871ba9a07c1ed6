"""Scores go with their own split, wherever it lies; what they say decides which images are used, and how often."""

import shutil

import judged
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hub_server import File, connect

from mvc_hf.augment.mixed_dataset import mix_datasets
from mvc_hf.augment.scores import Selection, addresses, read_scores, scores_of, select, split_digest, write_scores
from mvc_hf.augment.synthetic_images import SyntheticImages
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, RecipeError

LABELS = np.repeat([0, 1, 2], 4)


@pytest.fixture
def made(tmp_path):
    return judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS)


def score(folder, file=None, **columns):
    """Scores beside a split, or in a file."""
    source = open_dataset(str(folder))
    n = len(source)
    (folder / "report").mkdir(exist_ok=True)
    values = {"row": np.arange(n), "label": source.labels, "class_name": [judged.NAMES[y] for y in source.labels]}
    values |= {"label_confidence": np.arange(n) / n, **columns}
    write_scores(file or folder / "report" / "scores.parquet", values, {"split": split_digest(source)})
    return source


def test_addresses_are_those_of_the_rows(made, tmp_path, photos):
    found = addresses(open_dataset(str(made)))
    assert found["index"].tolist() == 3 * [0, 1, 2, 3] and found["seed"].tolist() == [0] * 12
    assert addresses(open_dataset(str(photos))) == {}


def test_the_same_split_is_known_again_and_another_is_not(made, tmp_path):
    digest = split_digest(open_dataset(str(made)))
    copied = shutil.copytree(made, tmp_path / "elsewhere")
    assert split_digest(open_dataset(str(copied))) == digest
    for images, labels, seed in (
        (judged.pictures(LABELS, 2), LABELS, 0), (judged.pictures(LABELS, 1), LABELS[::-1].copy(), 0),
        (judged.pictures(LABELS, 1), LABELS, 1),
    ):  # fmt: skip
        other = judged.split(tmp_path / f"other-{seed}-{labels[0]}-{images.sum()}", images, labels, seed)
        assert split_digest(open_dataset(str(other))) != digest


def test_a_filter_leaves_what_it_says(made, capsys):
    source = score(made)
    found = select([str(made)], [source], "label_confidence >= 0.5 and class_name != 'plum'", None)
    assert np.flatnonzero(found.keep).tolist() == [6, 7]
    assert "--aug-filter leaves 2 of 12 synthetic images" in capsys.readouterr().err
    assert select([str(made)], [source], None, None) is None


def test_rows_of_a_selection_keep_their_labels_and_pictures(made):
    source = score(made)
    chosen = select([str(made)] * 2, [source] * 2, "label_confidence > 0.7", None)
    images = SyntheticImages([source] * 2, {"plum": 0, "pear": 1, "apple": 2}, "name", 0, 100, chosen)
    assert images.labels.tolist() == [0] * 6 and len(images) == 6
    assert [images.describe(i) for i in range(6)] == 2 * [source.describe_row(row) for row in (9, 10, 11)]
    few = SyntheticImages(
        [source], {"apple": 0, "pear": 1, "plum": 2}, "name", 0, 2, Selection(np.ones(12, bool), None)
    )
    assert len(few) == 2


def test_weights_decide_how_often():
    weights = np.array([0.0, 1.0, 1.0, 2.0, 6.0])
    counts = np.zeros(5)
    for seed in range(400):
        rows = Selection(np.ones(5, bool), weights).rows(seed, np.inf)
        assert len(rows) == 5 and (np.diff(rows) >= 0).all()
        each = np.bincount(rows, minlength=5)
        assert (np.abs(each - 5 * weights / 10) < 1).all()  # up or down to a whole number, never further
        counts += each
    assert counts / 400 == pytest.approx(5 * weights / 10, abs=0.08)
    assert (
        Selection(np.ones(5, bool), weights).rows(3, 2).tolist()
        == Selection(np.ones(5, bool), weights).rows(3, 2).tolist()
    )
    assert len(Selection(np.ones(5, bool), weights).rows(3, 2)) == 2
    kept = Selection(np.array([True, True, False, False, False]), weights).rows(0, np.inf)
    assert kept.tolist() == [1, 1]


def test_filter_and_weights_that_leave_nothing(made):
    source = score(made)
    with pytest.raises(RecipeError, match=r"leaves none of 12 synthetic images: loosen it"):
        select([str(made)], [source], "label_confidence > 2", None)
    with pytest.raises(RecipeError, match="names 'confidence', which is no column; there are row, label, class_name"):
        select([str(made)], [source], "confidence > 2", None)
    chosen = Selection(np.array([True, False]), np.array([0.0, 1.0]))
    with pytest.raises(RecipeError, match="--aug-weights is 0 for every image that --aug-filter leaves"):
        chosen.rows(0, 5)


def test_mix_datasets_takes_them(made, tmp_path):
    score(made)
    real = judged.folder(tmp_path / "real", judged.pictures(LABELS, 5), LABELS)
    mixed = mix_datasets(str(real), str(made), "synthetic", filter="label_confidence > 0.8", epoch=6)
    assert len(mixed.synthetic) == 2 and sorted(mixed.samples() - 12) == [0, 0, 0, 1, 1, 1]
    assert mixed[0][1] == 2
    weighed = mix_datasets(str(real), str(made), "combined", weights="class_name == 'pear'", epoch="union")
    assert weighed.synthetic.labels.tolist() == [1] * 12
    elsewhere = score(made, tmp_path / "s.parquet", label_confidence=np.ones(12)) and str(tmp_path / "s.parquet")
    assert (
        len(mix_datasets(str(real), str(made), "rsp", filter="label_confidence > 0.8", scores=elsewhere).synthetic)
        == 12
    )
    loader = torch.utils.data.DataLoader(mixed.synthetic.labels, batch_size=2)
    assert len(list(loader)) == 1


def test_scores_of_another_split_are_refused(made, tmp_path):
    score(made)
    source = open_dataset(str(made))
    other = judged.split(tmp_path / "other", judged.pictures(LABELS, 2), LABELS)
    shutil.copytree(made / "report", other / "report")
    with pytest.raises(DataError, match="are of another split than other, with other labels or pictures: give mvc-hf"):
        scores_of(str(other), open_dataset(str(other)))
    longer = judged.split(tmp_path / "longer", judged.pictures([0] * 13, 2), [0] * 13)
    with pytest.raises(DataError, match="of a split of 12 images, and longer has 13"):
        scores_of(str(longer), open_dataset(str(longer)), str(made / "report" / "scores.parquet"))
    assert len(scores_of(str(made), source)) == 12


def test_scores_that_are_none(made, tmp_path):
    source = open_dataset(str(made))
    with pytest.raises(
        DataError, match=r"there are no scores at .*: give mvc-hf report again for this split, or name"
    ):
        scores_of(str(made), source)
    score(made)
    file = made / "report" / "scores.parquet"
    whole = file.read_bytes()
    for data in (b"", b"nonsense", whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(DataError, match="cannot be read"):
            scores_of(str(made), source)
    pq.write_table(pa.table({"row": [1]}), file)
    with pytest.raises(DataError, match="holds no scores of mvc-hf report"):
        scores_of(str(made), source)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        scores_of(str(made), source, str(tmp_path / "folder"))
    with pytest.raises(DataError, match="looked for in no folder: name their file"):
        scores_of("x.parquet", source)


def test_files_and_sets_go_together(made):
    source = score(made)
    with pytest.raises(RecipeError, match="--aug-scores means nothing without"):
        select([str(made)], [source], None, None, ["x"])
    with pytest.raises(RecipeError, match="names 1 files for 2 synthetic sets"):
        select([str(made)] * 2, [source] * 2, "row > 1", None, ["x"])


def test_columns_that_are_not_known_are_left_alone(made):
    score(made, harmless=np.arange(12))
    assert "harmless" not in read_scores(made / "report" / "scores.parquet").columns


def test_scores_beside_a_split_on_the_hub(made, tmp_path, local_hub, monkeypatch):
    score(made)
    repo = local_hub.repo("ann/made", "datasets")
    files = [p for p in made.rglob("*.parquet") if p.parent.name == "data"]
    front = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
    changes = {p.relative_to(made).as_posix(): File.of(p.read_bytes(), True) for p in files}
    repo.commit("main", "data", {**changes, "README.md": File.of(front.encode(), False)})
    connect(local_hub, tmp_path / "home", monkeypatch)
    source = open_dataset("ann/made")
    with pytest.raises(DataError, match=r"has no report/scores\.parquet: give mvc-hf report and push again"):
        scores_of("ann/made", source)
    data = (made / "report" / "scores.parquet").read_bytes()
    repo.commit("main", "scores", {"report/scores.parquet": File.of(data, True)})
    found = scores_of("ann/made", open_dataset("ann/made"))
    assert found.columns["label_confidence"][6] == 0.5
    assert len(open_dataset("ann/made")) == 12  # scores are no rows
