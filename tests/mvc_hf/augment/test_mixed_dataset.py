from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from numbers_set import Numbers, as_tensor
from PIL import Image
from sources import parquet, png
from torch.utils.data import DataLoader

from mvc_hf.augment.mixed_dataset import NOT_YET, MixedDataset, mix_datasets
from mvc_hf.augment.schedules import Combined
from mvc_hf.augment.synthetic_images import SyntheticImages
from mvc_hf.data.loading import open_dataset
from mvc_hf.errors import DataError, HostError, RecipeError

DOCS = Path(__file__).parents[3] / "docs" / "training.md"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return tiny.image_folder(tmp_path_factory.mktemp("made"), {"apple": 5, "pear": 7, "plum": 4}, seed=1)


def mean_and_mode(image):
    return (float(np.asarray(image).mean()), image.mode)


def test_both_kinds_go_through_one_transform(synthetic):
    mixed = mix_datasets(Numbers(), str(synthetic), "combined", epoch="union", transform=mean_and_mode)
    samples = mixed.samples()
    assert len(mixed) == 12 + 16 and sorted(samples) == list(range(28))
    source = open_dataset(str(synthetic))
    for slot, sample in enumerate(samples):
        (mean, mode), label = mixed[slot]
        assert mode == "L"
        if sample < 12:
            assert (mean, label) == (sample, sample % 3)
        else:
            expected = np.asarray(source.image(sample - 12).convert("L")).mean()
            assert (mean, label) == (pytest.approx(expected), source.labels[sample - 12])


def test_a_transform_of_the_real_set_is_used_for_both(synthetic):
    """Where a data set transforms by itself, it is left as it is."""
    real = Numbers(transform=lambda image: torch.tensor(np.asarray(image), dtype=torch.float)[None])
    mixed = mix_datasets(real, str(synthetic), "combined", epoch="union")
    assert all(mixed[slot][0].shape == (1, 16, 16) for slot in range(28))
    assert real.transform is not None
    with pytest.raises(RecipeError, match="give one there or here"):
        mix_datasets(real, str(synthetic), "combined", transform=mean_and_mode)


def test_target_transform_reaches_synthetic_labels(synthetic):
    real = Numbers()
    real.target_transform = lambda label: 10 + label
    mixed = mix_datasets(real, str(synthetic), "synthetic")
    assert {mixed[slot][1] for slot in range(len(mixed))} == {10, 11, 12}


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_epoch_reaches_workers_that_live_on(synthetic, context):
    mixed = mix_datasets(Numbers(), str(synthetic), "rsp", prob=0.5, transform=as_tensor)
    loader = DataLoader(
        mixed, batch_size=4, num_workers=2, persistent_workers=True, multiprocessing_context=context, shuffle=True
    )
    alone = mix_datasets(Numbers(), str(synthetic), "rsp", prob=0.5, transform=as_tensor)
    streams = set()
    for epoch in (0, 1, 2, 1):
        mixed.set_epoch(epoch)
        seen = Counter(round(v, 4) for images, _ in loader for v in images.tolist())
        alone.set_epoch(epoch)
        assert seen == Counter(round(alone[slot][0].item(), 4) for slot in range(12))
        streams.add(tuple(sorted(seen)))
    assert len(streams) == 3


def test_an_epoch_must_have_been_set(synthetic):
    made = SyntheticImages([open_dataset(str(synthetic))], None, "index", 0, 100)
    mixed = MixedDataset(Numbers(), made, None, length=4, epoch=NOT_YET)
    with pytest.raises(HostError, match="before its schedule was set"):
        mixed[0]
    mixed.schedule = Combined(12, 16, 4)
    with pytest.raises(HostError, match="before the epoch was set"):
        mixed[0]
    mixed.set_epoch(0)
    mixed[0]


def test_a_broken_synthetic_image_is_named(synthetic, tmp_path):
    for path in synthetic.rglob("*.png"):
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(path.read_bytes())
    (tmp_path / "pear" / "003.png").write_bytes(b"no picture")
    mixed = mix_datasets(Numbers(), str(tmp_path), "synthetic", epoch=16)
    with pytest.raises(DataError, match=r"pear/003\.png is not a picture"):
        [mixed[slot] for slot in range(16)]


LOADERS = [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}]


@pytest.mark.parametrize("settings", LOADERS, ids=["here", "workers", "persistent"])
def test_what_is_broken_arrives_as_its_own_line_from_any_loader(synthetic, tmp_path, settings):
    folder = shutil.copytree(synthetic, tmp_path / "synthetic")
    (folder / "pear" / "003.png").write_bytes(b"no picture")
    mixed = mix_datasets(Numbers(), str(folder), "synthetic", epoch=16, transform=as_tensor)
    loader = DataLoader(mixed, batch_size=4, **settings)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            list(loader)
        assert str(caught.value).startswith("pear/003.png is not a picture of a format that Pillow reads")
        assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


class Files(Numbers):
    """Reads its pictures when they are asked for, as torchvision does."""

    def __init__(self, folder, transform=None):
        super().__init__()
        self.transform = transform
        self.samples = [(str(folder / f"{i}.png"), i % 3) for i in range(12)]
        for path, _ in self.samples:
            Image.new("L", (16, 16), 7).save(path)

    def __getitem__(self, i):
        image = Image.open(self.samples[i][0])
        image.load()
        return image, self.targets[i]


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", None])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_real_image_is_named(synthetic, tmp_path, content, workers):
    real = Files(tmp_path)
    mixed = mix_datasets(real, str(synthetic), "combined", epoch="union", transform=as_tensor)
    (tmp_path / "5.png").unlink()
    if content:
        (tmp_path / "5.png").write_bytes(content)
    with pytest.raises(DataError, match=r"^the real image 5 \(.*5\.png\) cannot be read") as caught:
        list(DataLoader(mixed, batch_size=4, num_workers=workers))
    assert "\n" not in str(caught.value)
    (tmp_path / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"the real image 0 .* cannot be read"):
        mix_datasets(real, str(synthetic), "combined")


def test_an_error_of_a_persons_own_data_set_is_left_as_it_is(synthetic):
    class Own(Numbers):
        def __getitem__(self, i):
            return super().__getitem__(i) if i == 0 else 1 / 0

    mixed = mix_datasets(Own(), str(synthetic), "combined", epoch="union", transform=as_tensor)
    with pytest.raises(ZeroDivisionError):
        list(DataLoader(mixed))


def test_sets_that_lack_pictures_are_refused_before_the_first_epoch(synthetic, tmp_path):
    cells = [{"bytes": png(1), "path": None}, {"bytes": None, "path": None}]
    file = str(parquet(tmp_path / "x.parquet", ["apple", "pear"], cells))
    for sets in ((Numbers(), file), (file, str(synthetic))):
        with pytest.raises(
            DataError, match=r"^x\.parquet: 1 of 2 rows have no picture, the first is row 1 of x\.parquet"
        ):
            mix_datasets(*sets, "combined")
    away = [{"bytes": None, "path": f"/nowhere/{i}.png"} for i in range(2)]
    with pytest.raises(
        DataError, match=r"holds paths instead of pictures, the first '/nowhere/0\.png', and no file is"
    ):
        mix_datasets(Numbers(), str(parquet(tmp_path / "y.parquet", ["apple", "pear"], away)), "combined")


def test_colours_that_have_no_way_to_the_mode_are_named(tmp_path):
    (tmp_path / "apple").mkdir()
    Image.new("LAB", (4, 4)).save(tmp_path / "apple" / "1.tif")
    mixed = mix_datasets(Numbers(), str(tmp_path), "synthetic", epoch=1)
    with pytest.raises(DataError, match=r"^apple/1\.tif cannot be used \(conversion from LAB to .*: store it as L"):
        mixed[0]


def test_real_images_by_name_of_their_set(photos, synthetic):
    mixed = mix_datasets(str(photos), str(synthetic), "combined", epoch="union")
    assert len(mixed) == 27 + 16 and mixed.classes == ["apple", "pear", "plum"]
    assert all(mixed[slot][0].mode == "RGB" for slot in range(0, 43, 7))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "two-phase"}, "needs the number of epochs"),
        ({"schedule": "two-phase", "epochs": 1}, "at least 2 epochs"),
        ({"schedule": "backwards"}, "no schedule 'backwards'"),
        ({"schedule": "rsp", "rsp_from": "nowhere"}, "not from 'nowhere'"),
        ({"schedule": "combined", "epoch": "all"}, "not 'all'"),
        ({"schedule": "combined", "epoch": 0}, "at least 1 sample"),
        ({"schedule": "combined", "prob": 0.5}, "prob means nothing under schedule='combined': .* take 'rsp'"),
        ({"schedule": "two-phase", "epochs": 5, "rsp_from": "any"}, "rsp_from means nothing"),
        ({"schedule": "rsp", "phase2_epochs": 1}, "phase2_epochs means nothing under schedule='rsp'"),
    ],
)
def test_settings_that_cannot_be(synthetic, settings, message):
    with pytest.raises(RecipeError, match=message):
        mix_datasets(Numbers(), str(synthetic), **settings)


def examples():
    return re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(examples())))
def test_the_examples_in_the_docs_run(number, tmp_path, monkeypatch):
    """As they stand, on photos of several sizes and of other classes than those of our tests."""
    for place, sizes in (("photos", (16, 23, 40)), ("synthetic", (32,))):
        for size in sizes:
            for i, name in enumerate(("ant", "bee", "cow", "dog")):
                (tmp_path / place / name).mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (size, size + 5 * i), (size, i, 7)).save(tmp_path / place / name / f"{size}.png")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(examples()[number], str(DOCS), "exec"), found)
    assert found["train_set"].epoch == (4 if number == 0 else 2), "the last epoch was set"
