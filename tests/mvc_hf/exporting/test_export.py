"""An export: what is written is what was chosen, a broken one goes on, and nothing of others is touched."""

import json

import judged
import numpy as np
import pytest
import torchvision

import mvc_hf
from mvc_hf.config.stages.exporting import ExportSettings
from mvc_hf.errors import DataError, OutputError, RecipeError
from mvc_hf.exporting import imagefolder, webdataset
from mvc_hf.exporting.export import export

LABELS = np.repeat([0, 1, 2], 4)


@pytest.fixture
def made(tmp_path):
    return str(judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS))


@pytest.fixture
def real(tmp_path):
    return str(judged.folder(tmp_path / "real", judged.pictures(LABELS, 2), LABELS))


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_trains_as_an_image_folder_of_torchvision(made, real, tmp_path):
    found = export(made, tmp_path / "out" / "train", with_real=real)
    images = torchvision.datasets.ImageFolder(tmp_path / "out" / "train")
    again = mvc_hf.open_dataset(str(tmp_path / "out" / "train"))
    assert len(images) == 24 == sum(found.images_of_class.values())
    assert found.images_of_origin == {"synthetic": 12, "real": 12}
    assert str(found).endswith("train: 24 images of 3 classes (12 synthetic, 12 real)")
    assert sorted(images.classes) == sorted(again.class_names)
    lines = [json.loads(line) for line in (tmp_path / "out" / "train" / "metadata.jsonl").read_text().splitlines()]
    assert {line["file_name"] for line in lines} == {
        path.removeprefix(str(tmp_path / "out" / "train") + "/") for path, _ in images.samples
    }
    assert len({tuple(line) for line in lines}) == 1  # `datasets` wants the same columns in each


@pytest.mark.parametrize("layout", ["imagefolder", "webdataset"])
def test_a_broken_export_goes_on_to_the_same_bytes(made, real, tmp_path, monkeypatch, layout):
    settings = ExportSettings(layout=layout)
    module = {"imagefolder": imagefolder, "webdataset": webdataset}[layout]
    export(made, tmp_path / "whole", with_real=real, settings=settings)
    written, picture_file = [], module.picture_file

    def breaks(source, row):
        if len(written) == 7:
            raise OSError(28, "No space left on device")
        written.append(row)
        return picture_file(source, row)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(module, "picture_file", breaks)
        export(made, tmp_path / "broken", with_real=real, settings=settings)
    assert not list((tmp_path / "broken").rglob(".*")) and not (tmp_path / "broken" / "metadata.jsonl").exists()
    export(made, tmp_path / "broken", with_real=real, settings=settings)
    assert tree(tmp_path / "broken") == tree(tmp_path / "whole")
    monkeypatch.setattr(module, "picture_file", breaks)  # and again: nothing is left to do
    written.clear()
    export(made, tmp_path / "broken", with_real=real, settings=settings)
    assert not written


def test_the_reduced_set_of_a_recipe(real, tmp_path):
    """The very images that a recipe with `max-images-per-class` sees."""
    from mvc_hf.data.view import ViewConfig

    export(real, tmp_path / "out", settings=ExportSettings(max_per_class=2, seed=5))
    whole = mvc_hf.open_dataset(real)
    rows = ViewConfig(2, 5).chosen(whole.labels)
    names = [f"{whole.class_names[whole.labels[row]]}/{row:06d}.png" for row in rows]
    assert sorted(path for path in tree(tmp_path / "out") if path.endswith(".png")) == sorted(names)
    for row, name in zip(rows, names):
        assert (tmp_path / "out" / name).read_bytes() == whole.stored(row)


def test_what_is_there_is_never_written_over(made, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'thesis.txt', and is no export"):
        export(made, out)
    (out / "thesis.txt").unlink()
    export(made, out, settings=ExportSettings(max_per_class=1))
    before = tree(out)
    with pytest.raises(OutputError, match=r"--max-per-class \(1 → 2\).*choose another folder"):
        export(made, out, settings=ExportSettings(max_per_class=2))
    assert tree(out) == before
    stranger = out / next(path for path in before if path.endswith(".png"))
    (stranger.parent / "mine.png").write_bytes(b"")
    with pytest.raises(OutputError, match=r"holds 'mine.png', which is not of this export"):
        export(made, out, settings=ExportSettings(max_per_class=1))


def test_in_the_folder_of_the_data_set_it_would_be_taken_for_a_part_of_it(made, real):
    with pytest.raises(OutputError, match="lies in the folder of the data set"):
        export(made, f"{real}/out", with_real=real)


def test_classes_that_the_real_images_have_not(made, tmp_path):
    other = judged.folder(tmp_path / "other", judged.pictures(LABELS[:4], 2), LABELS[:4])
    with pytest.raises(DataError, match="2 classes of made are not among those of other"):
        export(made, tmp_path / "out", with_real=str(other))
    assert not (tmp_path / "out").exists()


def test_settings_of_real_images_without_any(made, tmp_path):
    with pytest.raises(RecipeError, match="--max-real-per-class means nothing without --with-real"):
        export(made, tmp_path / "out", settings=ExportSettings(max_real_per_class=1))
