"""The sheet of samples on a checkpoint's card: drawn by default, of synthetic images alone, never a reason to fail."""

import json
import shutil

import pytest
import tiny
from PIL import Image

import mvc_hf.workflows.samples as samples
from mvc_hf.workflows.samples import draw_samples


@pytest.fixture
def copy(checkpoint, tmp_path, monkeypatch):
    few = {"num_inference_steps": 2}
    monkeypatch.setattr(samples.Recipe, "from_dict", lambda values, made=samples.Recipe.from_dict: made(values | few))
    return shutil.copytree(checkpoint, tmp_path / "copy")


def test_it_is_drawn_from_where_the_images_lay(copy, photos):
    sheet = draw_samples(copy)
    assert sheet == copy / "samples.png"
    first = sheet.read_bytes()
    with Image.open(sheet) as image:
        assert image.width > samples.IMAGES * samples.CELL and image.height > 3 * samples.CELL
    sheet.unlink()
    assert draw_samples(copy, str(photos)).read_bytes() == first  # the same, where the data set is named
    sheet.write_bytes(b"one's own")
    assert draw_samples(copy).read_bytes() == b"one's own"


def test_no_real_image_is_on_it(copy, monkeypatch):
    """The columns of a preview that show real images are left out: all that is drawn came out of the model."""
    drawn = []
    monkeypatch.setattr(
        samples, "contact_sheet", lambda columns, *_, **__: drawn.append(columns) or Image.new("L", (1, 1))
    )
    found = []
    original = samples.preview
    monkeypatch.setattr(samples, "preview", lambda *a, **k: found.append(original(*a, **k)) or found[-1])
    draw_samples(copy)
    made = [row.images[0] for row in found[0].rows]
    assert [image for images in drawn[0]["synthetic"] for image in images] == made and len(made) == 12


@pytest.mark.parametrize("how", ["gone", "other", "unreadable", "unknown"])
def test_other_images_than_those_are_not_looked_at(copy, tmp_path, how, capsys):
    """Whoever made the folder must not choose what is read from this machine."""
    note = copy / "checkpoints" / "places.json"
    if how == "unreadable":
        note.write_text("{")
    elif how == "unknown":
        note.unlink()
    else:
        other = tmp_path / "other"
        if how == "other":
            tiny.image_folder(other, {"apple": 3, "pear": 3, "plum": 3}, seed=5)
        note.write_text(json.dumps({"dataset": str(other)}))
    assert draw_samples(copy) is None and not (copy / "samples.png").exists()
    assert "note: the card goes without a sheet of samples: give --dataset" in capsys.readouterr().err


def test_none_is_drawn_where_none_is_wanted_or_it_would_take_hours(copy, monkeypatch, capsys):
    assert draw_samples(copy, wanted=False) is None
    monkeypatch.setattr(samples, "SLOW", 1)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert draw_samples(copy) is None and "--samples draws one" in capsys.readouterr().err
    assert draw_samples(copy, wanted=True) == copy / "samples.png"


def test_a_folder_that_cannot_be_written_to_goes_without(copy, monkeypatch, capsys):
    def full(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(samples, "atomic_write", full)
    assert draw_samples(copy) is None
    assert "goes without a sheet of samples: [Errno 30] Read-only file system" in capsys.readouterr().err
