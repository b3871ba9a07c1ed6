"""Where the hook's images come from, and what is found wrong with them before any training."""

from __future__ import annotations

import argparse

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm.data
import torch
import yaml
from hooked import (
    NAMES,
    REAL,
    SCRIPT,
    SYNTHETIC,
    check_epochs,
    grey,
    label_of,
    log,
    run,
    write_parquet,
)
from hub_server import connect
from huggingface_hub import HfApi

from mvc_hf.augment.schedules import TwoPhase
from mvc_hf.errors import DataError, RecipeError
from mvc_hf.plugins import timm_small_train as small_train
from mvc_hf.plugins import timm_train


def test_classes_that_do_not_match_list_both_sides(real, tmp_path):
    other = write_parquet(tmp_path / "other.parquet", [100, 101, 102], ["cat", "Dog", "unused"], [0, 1, 1])
    with pytest.raises(
        DataError,
        match=r"1 classes of other\.parquet are not among the real ones: 'Dog'; the real ones are 'cat', 'dog'",
    ):
        run(real, tmp_path, "--aug-synthetic", other)
    lines = run(real, tmp_path, "--aug-synthetic", other, "--aug-label-match", "index", "--aug-schedule", "synthetic",
                "--aug-epoch", 3, "-b", 3, "--epochs", 1)  # fmt: skip
    assert sorted(zip(lines[0]["seen"], lines[0]["labels"])) == [(100, 0), (101, 1), (102, 1)]
    many = write_parquet(tmp_path / "many.parquet", [100], ["a", "b", "c"], [2])
    with pytest.raises(DataError, match="labels up to 2, the real images only 2 classes"):
        run(real, tmp_path, "--aug-synthetic", many, "--aug-label-match", "index")


@pytest.mark.parametrize(
    "flags", [["-j", 0], ["-j", 2], ["-j", 2, "--no-prefetcher"]], ids=["here", "workers", "no prefetcher"]
)
def test_a_picture_that_is_broken_is_one_line(real, tmp_path, flags, capsys):
    """timm keeps its workers from epoch to epoch."""
    path = write_parquet(tmp_path / "x.parquet", [100, 101, 102, 103])
    table = pq.read_table(path)
    cells = table["image"].to_pylist()
    cells[2] = {"bytes": b"no picture", "path": None}
    image = pa.array(cells, table.schema.field("image").type)
    pq.write_table(table.set_column(0, table.schema.field("image"), image), path)
    synthetic = ["--aug-synthetic", path, "--aug-schedule", "synthetic"]
    code = timm_train.main([*map(str, [SCRIPT, real, "--output", tmp_path, *synthetic, *flags])])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1 and lines[-1].startswith(
        "Error: row 2 of x.parquet is not a picture of a format that Pillow reads"
    )
    assert not any("Traceback" in line for line in lines)


@pytest.fixture
def only_paths(tmp_path):
    """What `load_dataset("imagefolder").to_parquet` leaves, absolute paths and no bytes, and the pictures."""
    for i, value in enumerate(range(100, 116)):
        place = tmp_path / "pictures" / NAMES[label_of(i)] / f"{i:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        grey(value).save(place)
    made = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "pictures"), split="train")
    (tmp_path / "set").mkdir()
    for split in ("train", "validation"):
        made.to_parquet(tmp_path / "set" / f"{split}.parquet")
    assert pq.read_table(tmp_path / "set" / "train.parquet")["image"][0]["bytes"].as_py() is None
    return tmp_path


def test_paths_that_datasets_writes_are_read(only_paths, real, capsys):
    out, synthetic = only_paths / "out", only_paths / "set" / "train.parquet"
    lines = run(real, out, "--aug-synthetic", synthetic, "--aug-schedule", "synthetic", "--epochs", 1, "-j", 1)
    assert sorted(lines[0]["seen"]) == list(range(100, 116))
    assert capsys.readouterr().err.count("train.parquet holds paths instead of pictures: 16 are read from their") == 1


def hub_style(only_paths):
    """Real images by timm's hfds/ reader, of that Parquet."""
    return [str(only_paths / "cache"), "--dataset", f"hfds/{only_paths / 'set'}", "--output", str(only_paths / "out")]


def test_real_images_that_are_missing_are_found_before_any_training(only_paths, synthetic):
    flags = ["--aug-synthetic", str(synthetic), "--aug-schedule", "combined", "--epochs", "1"]
    timm_train.train(str(SCRIPT), [*hub_style(only_paths), *flags])
    (only_paths / "pictures" / "cat" / "004.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 16 real images are missing; the first, row 2, names a file .*004\.png'"
    ):
        timm_train.train(str(SCRIPT), [*hub_style(only_paths), *flags])


def test_real_images_of_the_hub_do_not_reach_out_of_their_folder(only_paths, synthetic, monkeypatch):
    cached = [{"filename": f"/cache/ann___pets/default/0.0.0/{'a' * 40}/pets-train.arrow"}]
    monkeypatch.setattr(datasets.Dataset, "cache_files", cached)
    with pytest.raises(DataError, match=r"row 0 of the real images holds a path instead .*out of its own folder"):
        timm_train.train(str(SCRIPT), [*hub_style(only_paths), "--aug-synthetic", str(synthetic)])


def test_more_labels_than_the_model_has_classes(synthetic, real, tmp_path):
    """Which the first batch would find out, with an index that is out of range."""
    many = write_parquet(tmp_path / "many.parquet", [100, 101, 102], ["cat", "dog", "cow"], [0, 1, 2])
    for split in ("train", "test"):
        write_parquet(tmp_path / "set" / f"{split}.parquet", [1, 2, 3], ["cat", "dog", "cow"], [0, 1, 2])
    flags = ["--output", str(tmp_path / "out"), "--aug-schedule", "combined", "--num-classes", "2"]
    flags += ["--model", "wrn_28_2", "--model-kwargs", '{"depth": 10, "width": 1}']
    common = [str(tmp_path / "cache"), "--dataset", f"hfds/{tmp_path / 'set'}", *flags]
    for made in (synthetic, many):
        with pytest.raises(RecipeError, match=r"--num-classes is 2, but the real images have 3 classes .*give"):
            timm_train.train(small_train.__file__, [*common, "--aug-synthetic", str(made)])
    assert not (tmp_path / "out").exists()


def test_the_validation_set_is_looked_at_before_any_training(real, synthetic, tmp_path):
    hook = timm_train.Hook(timm_train.load_script(SCRIPT))
    hook._given = hook._args = argparse.Namespace(num_classes=2)
    path = write_parquet(tmp_path / "set" / "validation.parquet", [1, 2, 3], ["cat", "dog", "cow"], [0, 1, 2])

    def create(name="set", **options):
        return timm.data.create_dataset(f"hfds/{tmp_path / name}", root=str(tmp_path), split="validation", **options)

    with pytest.raises(RecipeError, match="the validation images have labels up to 2: give at least 3"):
        hook.create_dataset(create, is_training=False)
    hook._args.num_classes = 3
    left = hook.create_dataset(create, is_training=False)
    assert type(left) is timm.data.ImageDataset
    table = pq.read_table(path)
    image = pa.array([{"bytes": None, "path": "/nowhere/1.png"}] * 3, table.schema.field("image").type)
    (tmp_path / "gone").mkdir()
    pq.write_table(table.set_column(0, table.schema.field("image"), image), tmp_path / "gone" / "validation.parquet")
    with pytest.raises(DataError, match=r"3 of 3 real images are missing; the first, row 0, names a file that is not"):
        hook.create_dataset(create, name="gone", is_training=False)


def test_conditions_must_be_of_these_real_images(real, synthetic, tmp_path):
    flags = ["--aug-schedule", "rsp", "--aug-rsp-from", "condition"]
    for name, conditions in (("beyond", [REAL, 0]), ("other class", [REAL - 1, 0])):
        path = write_parquet(tmp_path / f"{name}.parquet", [100, 101], NAMES, [0, 0], condition=conditions)
        with pytest.raises(DataError, match="1 synthetic images name a condition image that these real images do not"):
            run(real, tmp_path, "--aug-synthetic", path, *flags)
    bare = write_parquet(tmp_path / "bare.parquet", [100], ["cat"], [0])
    with pytest.raises(DataError, match=r"bare\.parquet has no column 'condition'"):
        run(real, tmp_path, "--aug-synthetic", bare, *flags)


def test_a_streaming_data_set_is_refused():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    hook = timm_train.Hook(timm_train.load_script(SCRIPT))
    hook._args = object()
    with pytest.raises(DataError, match=r"map-style data sets only, and this one streams \(hfids/, wds/, tfds/\)"):
        hook.create_dataset(lambda **_: Stream(), is_training=True)


def test_torchvision_as_the_real_set(real, synthetic, tmp_path):
    flags = ["--dataset", "torch/image_folder", "--epochs", 3, "--aug-phase2-epochs", 1]
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, *flags)
    check_epochs(lines, TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=2))


def test_hub_style_parquet_as_the_real_set(synthetic, tmp_path):
    """timm's hfds/ reader, with names from a ClassLabel in another order than the synthetic set's."""
    names = ["dog", "cat"]
    for split, values in (("train", range(REAL)), ("validation", [200, 202, 204, 201, 203])):
        write_parquet(tmp_path / "set" / f"{split}.parquet", list(values), names, [1 - label_of(v) for v in values])
    timm_train.train(str(SCRIPT), [
        str(tmp_path / "cache"), "--dataset", f"hfds/{tmp_path / 'set'}", "--output", str(tmp_path), "--epochs", "2",
        "--aug-synthetic", str(synthetic), "--aug-schedule", "rsp",
    ])  # fmt: skip
    for line in log(tmp_path):
        assert line["labels"] == [1 - label_of(v % 100) for v in line["seen"]]
        assert any(v >= 100 for v in line["seen"])


def test_synthetic_images_from_the_hub(real, synthetic, tmp_path, monkeypatch, local_hub):
    """A branch may move: args.yaml says which commit was used, and that commit can be given."""
    connect(local_hub, tmp_path / "home", monkeypatch)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", local_hub.url)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    api = HfApi()
    api.create_repo("ann/pets", repo_type="dataset")
    api.upload_folder(repo_id="ann/pets", repo_type="dataset", folder_path=synthetic)
    flags = ["--aug-schedule", "synthetic", "--epochs", 1]
    lines = run(real, tmp_path / "a", "--aug-synthetic", "ann/pets@main", *flags)
    assert all(v >= 100 for v in lines[0]["seen"])
    (used,) = yaml.safe_load((tmp_path / "a" / "args.yaml").read_text())["aug_synthetic"]
    commit = local_hub.repos["datasets", "ann/pets"].branches["main"]
    assert used == f"ann/pets@{commit}"

    other = write_parquet(tmp_path / "new" / "data" / "train-00000-of-00001.parquet", [180, 181, 182, 183])
    api.upload_file(repo_id="ann/pets", repo_type="dataset", path_or_fileobj=other, path_in_repo=f"data/{other.name}")
    again = run(real, tmp_path / "b", "--aug-synthetic", used, *flags)
    assert sorted(again[0]["seen"]) == sorted(lines[0]["seen"])
    assert set(run(real, tmp_path / "c", "--aug-synthetic", "ann/pets", *flags)[0]["seen"]) == {180, 181, 182, 183}
