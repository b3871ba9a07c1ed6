"""Shards: every image once, in an order of the seed, and as timm's wds/ reads them."""

import json
import tarfile

import judged
import numpy as np
import pytest

from mvc_hf.config.stages.exporting import ExportSettings
from mvc_hf.exporting.export import export
from mvc_hf.exporting.webdataset import split_of

LABELS = np.repeat([0, 1, 2], 10)


@pytest.fixture
def made(tmp_path):
    return str(judged.split(tmp_path / "made", judged.pictures(LABELS, 1), LABELS))


def samples(folder):
    info = json.loads((folder / "_info.json").read_text())["splits"]["train"]
    found = []
    for name, length in zip(info["filenames"], info["shard_lengths"]):
        with tarfile.open(folder / name) as tar:
            members = tar.getmembers()
            assert len(members) == 3 * length
            assert all(member.mtime == member.uid == member.gid == 0 for member in members)
            for image, label, told in zip(*[iter(members)] * 3):
                key = image.name.rpartition(".")[0]
                assert (label.name, told.name) == (f"{key}.cls", f"{key}.json")
                found.append((key, int(tar.extractfile(label).read()), json.loads(tar.extractfile(told).read())))
    assert len(found) == info["num_samples"]
    return found


def test_every_image_once_and_classes_mixed(made, tmp_path):
    export(made, tmp_path / "out", settings=ExportSettings(layout="webdataset", shard_size=8))
    found = samples(tmp_path / "out")
    assert len({key for key, _, _ in found}) == 30 and sorted(label for _, label, _ in found) == LABELS.tolist()
    assert len({label for _, label, _ in found[:8]}) > 1 and all(told["label"] == label for _, label, told in found)


def test_shards_are_many_where_images_are_few(made, tmp_path):
    export(made, tmp_path / "out", settings=ExportSettings(layout="webdataset"))
    assert len(list((tmp_path / "out").glob("train-*.tar"))) == 15  # of two images each


def test_the_seed_decides_the_order(made, tmp_path):
    for seed in (0, 1):
        settings = ExportSettings(layout="webdataset", shard_size=30, seed=seed)
        export(made, tmp_path / str(seed), settings=settings)
    first, second = samples(tmp_path / "0"), samples(tmp_path / "1")
    assert [key for key, _, _ in first] != [key for key, _, _ in second]


def test_timm_reads_them(made, tmp_path):
    pytest.importorskip("webdataset")
    from timm.data import create_dataset

    export(made, tmp_path / "train", settings=ExportSettings(layout="webdataset"))
    dataset = create_dataset("wds/", root=str(tmp_path / "train"), split="train", batch_size=1)
    seen = [(image.size, label) for image, label in dataset]
    assert len(seen) == 30 and sorted(label for _, label in seen) == LABELS.tolist()


@pytest.mark.parametrize(("folder", "split"), [("out", "train"), ("validation", "validation"), ("Test", "test")])
def test_the_split_is_called_as_its_folder(tmp_path, folder, split):
    assert split_of(tmp_path / folder) == split
