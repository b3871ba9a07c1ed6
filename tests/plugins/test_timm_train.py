"""The hook, on a script with the contract of timm's train.py."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm.data
import torch
import yaml
from hub_server import connect
from huggingface_hub import HfApi
from PIL import Image
from timm.data.distributed_sampler import RepeatAugSampler

from mvc_hf.augment.schedules import Combined, Pools, RandomReplacement, TwoPhase
from mvc_hf.errors import DataError, HostError, MvcError, RecipeError
from mvc_hf.plugins import timm_small_train as small_train
from mvc_hf.plugins import timm_train
from mvc_hf.plugins.timm_flags import FLAGS

SCRIPT = Path(__file__).parents[1] / "helpers" / "minimal_train.py"
REAL, SYNTHETIC, VALIDATION = 16, 24, 5  # images; their grey values say which they are
NAMES = ["cat", "dog"]


def grey(value):
    return Image.new("RGB", (8, 8), (value,) * 3)


def label_of(i):
    return i % 2


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Real image i is grey i, validation image i is grey 200 + i. File names keep the order within a class."""
    root = tmp_path_factory.mktemp("real")
    for split, count, first in (("train", REAL, 0), ("validation", VALIDATION, 200)):
        for i in range(count):
            folder = root / split / NAMES[label_of(i)]
            folder.mkdir(parents=True, exist_ok=True)
            grey(first + i).save(folder / f"{i:03d}.png")
    return root


def write_parquet(path, values, names=NAMES, labels=None, **extra):
    path.parent.mkdir(parents=True, exist_ok=True)
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    features |= {name: datasets.Value("int64") for name in extra}
    labels = [label_of(i) for i in range(len(values))] if labels is None else labels
    rows = {"image": [grey(v) for v in values], "label": labels, **extra}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """Synthetic image j is grey 100 + j; each was made from a real image of its class."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_parquet(
        folder / "data" / "train-00000-of-00001.parquet",
        [100 + j for j in range(SYNTHETIC)],
        condition=[row_of(j % REAL) for j in range(SYNTHETIC)],
    )
    return folder


def row_of(i):
    """timm counts the images of a folder class by class."""
    return order().index(i)


def order():
    return sorted(range(REAL), key=lambda i: (NAMES[label_of(i)], i))


def values_of(samples):
    """The grey values of samples, as the loader shows them."""
    return [order()[s] if s < REAL else 100 + s - REAL for s in samples]


def run(real, out, *flags, script=SCRIPT):
    timm_train.train(str(script), [str(real), "--output", str(out), *map(str, flags)])
    return log(out)


def log(out, rank=0):
    return [json.loads(line) for line in (Path(out) / f"log-{rank}.jsonl").read_text().splitlines()]


def check_epochs(lines, schedule, batch=4):
    """Every slot of an epoch was seen once (the script's batches divide the length)."""
    for line in lines:
        expected = values_of(schedule.samples(line["epoch"]))
        assert len(line["seen"]) == schedule.length // batch * batch
        assert Counter(line["seen"]) == Counter(expected), line["epoch"]
        assert line["labels"] == [label_of(v % 100) for v in line["seen"]]
        assert line["val"] == [200, 202, 204, 201, 203]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("prefetcher", [True, False])
def test_two_phase(real, synthetic, tmp_path, workers, prefetcher):
    flags = [] if prefetcher else ["--no-prefetcher"]
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, "--epochs", 5, "-j", workers, *flags,
                "--aug-phase2-epochs", 2)  # fmt: skip
    assert [line["epoch"] for line in lines] == list(range(5))
    check_epochs(lines, TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3))
    assert any(v >= 100 for line in lines[:3] for v in line["seen"])
    assert all(v < 100 for line in lines[3:] for v in line["seen"])
    rates = [line["rates"][0] for line in lines]
    cosine = [0.5 * (1 + np.cos(np.pi * t / 3)) for t in range(3)] + [0.1, 0.05]
    np.testing.assert_allclose(rates, cosine, atol=1e-9)


@pytest.mark.parametrize("epoch", ["union", "12"])
def test_combined(real, synthetic, tmp_path, epoch):
    lines = run(
        real, tmp_path, "--aug-synthetic", synthetic, "--aug-schedule", "combined", "--aug-epoch", epoch, "--seed", 7
    )
    check_epochs(lines, Combined(REAL, SYNTHETIC, REAL + SYNTHETIC if epoch == "union" else 12, seed=7))
    assert [line["rates"][0] for line in lines] == pytest.approx([1, 0.8535534, 0.5, 0.1464466])


@pytest.mark.parametrize("source", ["class", "any", "condition"])
def test_rsp(real, synthetic, tmp_path, source):
    lines = run(
        real,
        tmp_path,
        "--aug-synthetic",
        synthetic,
        "--aug-schedule",
        "rsp",
        "--aug-rsp-from",
        source,
        "--aug-prob",
        0.6,
    )
    labels = [label_of(i) for i in order()]
    made = [label_of(j) for j in range(SYNTHETIC)]
    pools = {
        "class": Pools.same(labels, made),
        "any": Pools.all(REAL, SYNTHETIC),
        "condition": Pools.same(range(REAL), [row_of(j % REAL) for j in range(SYNTHETIC)]),
    }[source]
    check_epochs(lines, RandomReplacement(REAL, SYNTHETIC, REAL, seed=42, prob=0.6, pools=pools))


def test_synthetic_alone(real, synthetic, tmp_path):
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, "--aug-schedule", "synthetic")
    assert all(v >= 100 for line in lines for v in line["seen"] if line["val"])


def test_without_the_flag_nothing_changes(real, tmp_path):
    lines = run(real, tmp_path, "--epochs", 2)
    assert all(sorted(line["seen"]) == list(range(REAL)) for line in lines)


def test_several_sets_and_a_share_of_them(real, synthetic, tmp_path):
    more = write_parquet(tmp_path / "more.parquet", [150, 151], ["dog", "bird"], [0, 0])
    alone = ["--aug-schedule", "synthetic"]
    flags = ["--aug-synthetic", synthetic, more, *alone, "--aug-epoch", 26, "-b", 2, "--epochs", 1]
    lines = run(real, tmp_path / "all", *flags)
    assert sorted(lines[0]["seen"]) == [*range(100, 100 + SYNTHETIC), 150, 151]
    assert {label for v, label in zip(lines[0]["seen"], lines[0]["labels"]) if v >= 150} == {1}  # "dog" in both
    lines = run(
        real, tmp_path / "some", "--aug-synthetic", synthetic, "--aug-schedule", "synthetic", "--aug-ratio", 0.5
    )
    assert len({v for line in lines for v in line["seen"]}) == REAL // 2


def test_a_class_without_synthetic_images_is_said_once(real, tmp_path, capsys):
    cats = write_parquet(tmp_path / "cats.parquet", [100, 101], ["cat"], [0, 0])
    lines = run(real, tmp_path, "--aug-synthetic", cats, "--aug-schedule", "rsp", "--aug-prob", 1, "--epochs", 1)
    assert capsys.readouterr().err.count("no synthetic images for 1 of 2 classes: 'dog'") == 1
    seen = lines[0]["seen"]
    assert all(v >= 100 for v, label in zip(seen, lines[0]["labels"]) if label == 0)
    assert sorted(v for v in seen if v < 100) == [i for i in range(REAL) if label_of(i) == 1]


@pytest.mark.parametrize("flags", [["--no-prefetcher"], []])
def test_mixup_still_mixes(real, synthetic, tmp_path, flags):
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, "--mixup", 1.0, "--epochs", 2, *flags)
    assert len(lines) == 2 and np.array(lines[0]["labels"]).shape == (REAL, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_augmix_splits(real, synthetic, tmp_path, workers):
    """AugMix's wrapper hides our set_epoch, and its batches hold each image several times."""
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, "--aug-splits", 2, "--epochs", 4, "-j", workers)
    switch = TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3)
    for line in lines:
        clean = Counter(label_of(v % 100) for v in values_of(switch.samples(line["epoch"])))
        assert Counter(line["labels"]) == {k: 2 * n for k, n in clean.items()}
    assert Counter(v for v in lines[3]["seen"] if v < 100)  # real images again


def test_training_sizes(real, synthetic, tmp_path):
    pytest.importorskip("timm.data.scheduled_sampler", reason="this timm has no --train-img-sizes")
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, "--train-img-sizes", 8, 16, "--epochs", 5, "-j", 1)
    assert {size for line in lines for size in line["sizes"]} == {8, 16}
    check_epochs(lines, TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=4))
    lines = run(
        real, tmp_path / "two", "--aug-synthetic", synthetic, "--train-img-sizes", 8, "--train-batches-per-epoch", 2
    )
    assert all(len(line["seen"]) == 8 for line in lines)


def test_grad_accumulation_counts_updates(real, synthetic, tmp_path):
    flags = ["--grad-accum-steps", 2, "--sched-on-updates", "--epochs", 4, "--aug-phase2-epochs", 2]
    lines = run(real, tmp_path, "--aug-synthetic", synthetic, *flags)
    assert lines[2]["rates"][0] == pytest.approx(0.1)
    assert lines[1]["rates"][-1] == pytest.approx(0.5 * (1 + np.cos(np.pi * 3 / 4)))


@pytest.mark.parametrize("on_updates", [False, True])
@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_resume_on_either_side_of_the_switch_and_at_it(real, synthetic, tmp_path, on_updates, stop_after):
    flags = ["--aug-synthetic", synthetic, "--epochs", 5, "--aug-phase2-epochs", 2, "--warmup-epochs", 1]
    flags += ["--sched-on-updates"] if on_updates else []
    whole = run(real, tmp_path / "whole", *flags)
    run(real, tmp_path / "broken", *flags, "--stop-after", stop_after)
    found = run(real, tmp_path / "broken", *flags, "--resume", tmp_path / "broken" / "last.pt")
    assert [line["epoch"] for line in found] == list(range(5))
    assert [line["rates"] for line in found] == [line["rates"] for line in whole]
    check_epochs(found, TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3))


def test_flags_from_a_config_reach_args_yaml(real, synthetic, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"aug_synthetic": str(synthetic), "aug_schedule": "rsp", "aug_prob": 1.0, "epochs": 1})
    )
    lines = run(real, tmp_path, "-c", config)
    assert all(v >= 100 for v in lines[0]["seen"])
    saved = yaml.safe_load((tmp_path / "args.yaml").read_text())
    assert saved["aug_synthetic"] == [str(synthetic)]
    assert (saved["aug_schedule"], saved["aug_prob"], saved["aug_epoch"]) == ("rsp", 1.0, "real")


def test_help_shows_the_group(capsys):
    with pytest.raises(SystemExit) as stopped:
        timm_train.train(str(SCRIPT), ["--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0 and "Synthetic images (mvc_hf):" in shown and "a small training script" in shown
    assert all(flag in shown for flag in FLAGS)


def two_processes(real, out, *flags):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "mvc_hf.plugins.timm_train", SCRIPT, real, "--output", out, *flags]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=os.environ, timeout=120)
    assert done.returncode == 0, done.stderr
    return [log(out, rank) for rank in range(2)]


def test_two_processes_share_the_slots_and_resume(real, synthetic, tmp_path):
    flags = ["--aug-synthetic", synthetic, "--epochs", 4, "-j", 1]
    broken = two_processes(real, tmp_path, *flags, "--stop-after", 1)
    assert [len(lines) for lines in broken] == [2, 2]
    first, second = two_processes(real, tmp_path, *flags, "--resume", tmp_path / "last.pt")
    schedule = TwoPhase(REAL, SYNTHETIC, REAL, seed=42, switch=3)
    for a, b in zip(first, second, strict=True):
        assert Counter(a["seen"] + b["seen"]) == Counter(values_of(schedule.samples(a["epoch"])))
        assert a["rates"] == b["rates"]
    slots = [values_of(schedule.samples(e)) for e in range(3)]
    positions = [[s.index(v) for v in a["seen"]] for s, a in zip(slots, first)]
    assert positions[0] != positions[1], "the sampler's epoch must go on too"


def test_repeated_augmentation_under_two_processes(real, synthetic, tmp_path):
    """timm's RepeatAugSampler: each image several times, on different processes."""
    if not len(RepeatAugSampler(range(REAL), 2, 0)):
        pytest.skip("this timm repeats no set of fewer than 256 images")
    first, second = two_processes(real, tmp_path, "--aug-synthetic", synthetic, "--epochs", 2, "--aug-repeats", 2)
    for a, b in zip(first, second, strict=True):
        assert Counter(a["seen"]) == Counter(b["seen"]) and len(set(a["seen"])) == 8


REFUSED = [
    (["--aug-schedule", "rsp"], RecipeError, "--aug-schedule means nothing without --aug-synthetic"),
    (["--aug-synthetic", "nowhere/at/all"], DataError, "no such folder or file"),
    (["--aug-synthetic", "SET", "--aug-prob", "1.2"], RecipeError, "--aug-prob must be from 0 to 1, got 1.2"),
    (["--aug-synthetic", "SET", "--aug-ratio", "0"], RecipeError, "--aug-ratio must be above 0, got 0"),
    (["--aug-synthetic", "SET", "--aug-epoch", "all"], RecipeError, "--aug-epoch must be real, union, or a number"),
    (["--aug-synthetic", "SET", "--aug-epoch", "3"], RecipeError, "an epoch of 3 samples leaves no full batch of 4"),
    (["--aug-synthetic", "SET", "--aug-phase2-epochs", "4"], RecipeError, "can have 1 to 3 of 4 epochs, got 4"),
    (["--aug-synthetic", "SET", "--epochs", "1"], RecipeError, "two phases need at least 2 epochs, got 1"),
    (["--aug-synthetic", "SET", "--aug-phase2-lr-scale", "0"], RecipeError, "--aug-phase2-lr-scale must be above 0"),
    (["--aug-synthetic", "SET", "--min-lr", "0.5"], RecipeError, r"at 0.1 \(0.1 times 1\), below --min-lr 0.5"),
    (["--aug-synthetic", "SET", "--lr-cycle-limit", "2"], RecipeError, "--lr-cycle-limit both restart the rate"),
    (["--aug-synthetic", "SET", "--use-multi-epochs-loader"], RecipeError, "prepares images of the next epoch"),
    (["--aug-synthetic", "SET", "--aug-ratio", "0.01"], RecipeError, "are none at all"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "kind", "message"), REFUSED, ids=[" ".join(f) for f, _, _ in REFUSED])
def test_wrong_flags_are_one_line_before_any_training(real, synthetic, tmp_path, flags, kind, message):
    with pytest.raises(kind, match=message) as refused:
        run(real, tmp_path, *[str(synthetic) if f == "SET" else f for f in flags])
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.glob("log-*"))


def test_a_wrong_value_in_a_config(real, synthetic, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"aug_synthetic": [str(synthetic)], "aug_schedule": "alternate"}))
    with pytest.raises(
        RecipeError, match="--aug-schedule must be one of combined, two-phase, rsp, synthetic, got 'alt"
    ):
        run(real, tmp_path, "-c", config)


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
    hook._args = argparse.Namespace(num_classes=2)
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*No such file"),
        ("not ( python", "is not a Python script"),
        ("print('hello')", "no create_dataset, no create_loader, no create_scheduler_v2, no parser, no main"),
        (SCRIPT.read_text().replace("create_scheduler_v2", "create_rates"), "it has no create_scheduler_v2.*1.0.31"),
        (
            SCRIPT.read_text().replace("AugMixDataset,", "AugMixDataset, gone_from_timm,"),
            "needs another version of timm",
        ),
    ],
)
def test_a_script_that_is_not_timms_says_where_to_get_it(tmp_path, text, message):
    script = tmp_path / "train.py"
    if text is not None:
        script.write_text(text)
    with pytest.raises(HostError, match=message) as refused:
        timm_train.train(str(script), [])
    assert "curl -LO https://raw.githubusercontent.com/huggingface/pytorch-image-models/v" in str(refused.value)


def test_a_script_that_goes_around_the_hook(real, synthetic, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.read_text().replace("is_training=True, **common", "**common"))
    with pytest.raises(HostError, match="has not made its training loader from create_dataset"):
        run(real, tmp_path, "--aug-synthetic", synthetic, script=script)


def test_a_script_that_sets_no_epoch(real, synthetic, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.read_text().replace("        _set_loader_epoch(loader, epoch)\n", ""))
    with pytest.raises(HostError, match="before the epoch was set: call set_epoch before each epoch"):
        run(real, tmp_path, "--aug-synthetic", synthetic, script=script)


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


def test_errors_on_the_module_command_line(capsys):
    assert timm_train.main([]) == 2
    assert "name a train.py first: get that of the installed timm" in capsys.readouterr().err
    assert timm_train.main(["nowhere.py"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: cannot read 'nowhere.py'") and shown.count("\n") == 1
    assert issubclass(HostError, MvcError)


def with_scores(folder, place):
    """A copy of a synthetic set with scores: the confidence of image j is j of 24."""
    from mvc_hf.augment.scores import split_digest, write_scores
    from mvc_hf.data.loading import open_dataset

    made = shutil.copytree(folder, place)
    source = open_dataset(str(made))
    (made / "report").mkdir()
    columns = {"row": np.arange(len(source)), "label_confidence": np.arange(len(source)) / 24}
    write_scores(made / "report" / "scores.parquet", columns, {"split": split_digest(source)})
    return made


def test_a_filter_and_weights(real, synthetic, tmp_path):
    made = with_scores(synthetic, tmp_path / "made")
    flags = ["--aug-synthetic", made, "--aug-schedule", "synthetic", "--aug-epoch", 12, "--epochs", 1]
    lines = run(real, tmp_path / "filtered", *flags, "--aug-filter", "label_confidence >= 0.5")
    assert sorted(lines[0]["seen"]) == list(range(112, 124))
    heavy = run(real, tmp_path / "weighed", *flags, "--aug-weights", "(label_confidence < 0.08) + 0")
    assert Counter(heavy[0]["seen"]) == {100: 6, 101: 6}
    scores = shutil.move(made / "report" / "scores.parquet", tmp_path / "s.parquet")
    lines = run(real, tmp_path / "named", *flags, "--aug-filter", "label_confidence >= 0.5", "--aug-scores", scores)
    assert sorted(lines[0]["seen"]) == list(range(112, 124))


def test_wrong_filters_are_refused_before_anything_is_trained(real, synthetic, tmp_path):
    made = with_scores(synthetic, tmp_path / "made")
    for text, match in (
        ("confidence > 1", "which is no column; there are row, label_confidence"),
        ("label_confidence > 2", "leaves none"),
        ("label_confidence >", "cannot be read"),
        ("__import__('os')", "holds"),
    ):
        with pytest.raises(RecipeError, match=match):
            run(real, tmp_path / "out", "--aug-synthetic", made, "--aug-filter", text)
    with pytest.raises(DataError, match="there are no scores at"):
        run(real, tmp_path / "out", "--aug-synthetic", synthetic, "--aug-filter", "label_confidence > 0")
    with pytest.raises(RecipeError, match="--aug-filter means nothing without --aug-synthetic"):
        run(real, tmp_path / "out", "--aug-filter", "label_confidence > 0")
    assert not (tmp_path / "out").exists()
