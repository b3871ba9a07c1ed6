"""The hook on timm's own train.py. Set TIMM_TRAIN_SCRIPT to that of the installed timm to run these tests."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

SCRIPT = os.environ.get("TIMM_TRAIN_SCRIPT")
pytestmark = pytest.mark.skipif(not SCRIPT, reason="TIMM_TRAIN_SCRIPT is not set to timm's train.py")

NAMES = ["cat", "dog"]
TINY = [
    "--model",
    "wrn_28_2",
    "--model-kwargs",
    "depth=10",
    "width=1",
    "--num-classes",
    "2",
    "--input-size",
    "3",
    "16",
    "16",
    "-b",
    "8",
    "-j",
    "1",
]
TINY += ["--device", "cpu", "--lr", "0.1", "--warmup-epochs", "1", "--log-interval", "1", "--checkpoint-hist", "20"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Cats are dark and dogs are light: 32 real images, 10 of validation, 48 synthetic ones."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def picture(label):
        return Image.fromarray(rng.integers(100 * label, 100 * label + 90, (16, 16, 3), dtype=np.uint8))

    for split, count in (("train", 16), ("validation", 5)):
        for label, name in enumerate(NAMES):
            (root / "real" / split / name).mkdir(parents=True)
            for i in range(count):
                picture(label).save(root / "real" / split / name / f"{i:02d}.png")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = {"image": [picture(i % 2) for i in range(48)], "label": [i % 2 for i in range(48)]}
    (root / "synthetic").mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(root / "synthetic" / "train.parquet")
    return root


def command(data, out, name, *flags, processes=1):
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    launch += [
        "-m",
        "mvc_hf.plugins.timm_train",
        SCRIPT,
        data / "real",
        *TINY,
        "--output",
        out,
        "--experiment",
        name,
        *flags,
    ]
    return [str(part) for part in launch]


def train(data, out, name, *flags, processes=1, code=0):
    done = subprocess.run(
        command(data, out, name, *flags, processes=processes), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def summary(out, name):
    with open(out / name / "summary.csv") as file:
        return [row for row in csv.DictReader(file) if row["epoch"] != "epoch"]


def rates(rows):
    return [float(row["lr"]) for row in rows]


def cosine(base, length):
    return [base * 0.5 * (1 + np.cos(np.pi * t / length)) for t in range(length)]


def test_two_phase_and_its_two_rates(data, tmp_path):
    flags = ["--aug-synthetic", data / "synthetic", "--epochs", 10, "--model-ema", "--model-ema-decay", 0.5]
    done = train(data, tmp_path, "a", *flags)
    rows = summary(tmp_path, "a")
    assert rates(rows)[1:] == pytest.approx([*cosine(0.1, 8)[1:], *cosine(0.01, 2)])
    assert "phase two, real images alone, from epoch 8 of 10" in done.stderr
    assert "no synthetic" not in done.stderr
    assert float(rows[-1]["eval_top1"]) == 100.0
    saved = yaml.safe_load((tmp_path / "a" / "args.yaml").read_text())
    assert saved["aug_synthetic"] == [str(data / "synthetic")] and saved["aug_schedule"] == "two-phase"


@pytest.mark.parametrize(
    "flags",
    [
        ["--aug-schedule", "combined", "--aug-epoch", "union", "--no-prefetcher"],
        ["--aug-schedule", "rsp", "--aug-prob", 0.5, "--mixup", 0.2, "--cutmix", 1.0],
        ["--aug-splits", 3, "--aa", "rand-m9-mstd0.5-inc1", "--jsd-loss", "-j", 2],
        ["--aug-schedule", "synthetic", "--grad-accum-steps", 2, "--sched-on-updates"],
    ],
    ids=["combined", "rsp mixup", "augmix", "synthetic accumulated"],
)
def test_schedules_with_timms_own_flags(data, tmp_path, flags):
    train(data, tmp_path, "a", "--aug-synthetic", data / "synthetic", "--epochs", 4, *flags)
    assert len(summary(tmp_path, "a")) == 4


def test_without_workers(data, tmp_path):
    train(data, tmp_path, "a", "--aug-synthetic", data / "synthetic", "--epochs", 2, "-j", 0)
    assert len(summary(tmp_path, "a")) == 2


def test_training_sizes(data, tmp_path):
    if "--train-img-sizes" not in Path(SCRIPT).read_text():
        pytest.skip("this train.py has no --train-img-sizes")
    flags = ["--train-img-sizes", 16, 24, "--train-batches-per-epoch", 3]
    train(data, tmp_path, "a", "--aug-synthetic", data / "synthetic", "--epochs", 3, *flags)
    assert len(summary(tmp_path, "a")) == 3


@pytest.mark.parametrize("schedule", ["two-phase", "rsp", "combined"])
def test_two_processes(data, tmp_path, schedule):
    flags = ["--aug-synthetic", data / "synthetic", "--aug-schedule", schedule, "--epochs", 4]
    train(data, tmp_path, "a", *flags, processes=2)
    assert len(summary(tmp_path, "a")) == 4


@pytest.mark.parametrize("on_updates", [False, True])
def test_killed_and_resumed(data, tmp_path, on_updates):
    """SIGKILL in the run; then the same flags with --resume give the rates of an unbroken run, to the end."""
    flags = ["--aug-synthetic", data / "synthetic", "--epochs", 8, "--aug-phase2-epochs", 4]
    flags += ["--sched-on-updates"] if on_updates else []
    train(data, tmp_path, "whole", *flags)
    running = subprocess.Popen(
        command(data, tmp_path, "broken", *flags), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "broken" / "checkpoint-2.pth.tar").exists():
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    expected = rates(summary(tmp_path, "whole"))
    for epoch in (2, 3):  # before the switch at 4, and exactly at it where epoch 3 was reached
        checkpoint = tmp_path / "broken" / f"checkpoint-{epoch}.pth.tar"
        if not checkpoint.exists():
            checkpoint = tmp_path / "whole" / f"checkpoint-{epoch}.pth.tar"
        train(data, tmp_path, f"resumed-{epoch}", *flags, "--resume", checkpoint)
        rows = summary(tmp_path, f"resumed-{epoch}")
        assert [int(row["epoch"]) for row in rows] == list(range(epoch + 1, 8))
        assert rates(rows) == pytest.approx(expected[epoch + 1 :])


def test_help_shows_both(data, tmp_path):
    shown = train(data, tmp_path, "a", "--help").stdout
    assert "Synthetic images (mvc_hf):" in shown and "--aug-phase2-lr-scale" in shown and "--drop-path" in shown


def test_wide_resnets_are_found(data, tmp_path):
    flags = ["--aug-synthetic", data / "synthetic", "--epochs", 2, "--model-kwargs", "width=2"]
    assert "wrn_28_2 created, param count:1466578" in train(data, tmp_path, "a", *flags).stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--aug-prob", "2"], "--aug-prob must be from 0 to 1"),
        (["--aug-epoch", "5"], "leaves no full batch of 8"),
        (["--use-multi-epochs-loader"], "--use-multi-epochs-loader prepares"),
    ],
)
def test_wrong_flags_are_one_line(data, tmp_path, flags, message):
    done = train(data, tmp_path, "a", "--aug-synthetic", data / "synthetic", *flags, code=1)
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not (tmp_path / "a" / "summary.csv").exists()


@pytest.fixture
def broken(data, tmp_path):
    """The synthetic set with one picture that is none."""
    table = pq.read_table(data / "synthetic" / "train.parquet")
    cells = table["image"].to_pylist()
    cells[30] = {"bytes": b"no picture", "path": None}
    image = pa.array(cells, table.schema.field("image").type)
    pq.write_table(table.set_column(0, table.schema.field("image"), image), tmp_path / "broken.parquet")
    return tmp_path / "broken.parquet"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_picture_is_one_line(broken, data, tmp_path, workers):
    flags = ["--aug-synthetic", broken, "--aug-schedule", "synthetic", "--aug-epoch", "union", "-j", workers]
    done = train(data, tmp_path, "a", *flags, code=1)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: row 30 of broken.parquet is not a picture") and "Traceback" not in done.stderr


def test_a_broken_picture_on_two_processes(broken, data, tmp_path):
    """The launcher prints a traceback of its own; the ranks have none, and the first to fail is named as the cause."""
    flags = ["--aug-synthetic", broken, "--aug-schedule", "synthetic", "--aug-epoch", "union", "-j", 1]
    done = train(data, tmp_path, "a", *flags, processes=2, code=1)
    ranks, launcher = done.stderr.split("torch.distributed.elastic.multiprocessing.errors.ChildFailedError")
    assert re.search(r"^Error \(rank [01]\): row 30 of broken.parquet is not a picture", ranks, re.MULTILINE)
    assert ranks.count("Traceback") == 1
    assert "traceback : row 30 of broken.parquet is not a picture" in launcher.partition("Root Cause")[2]


def test_more_labels_than_classes(data, tmp_path):
    done = train(data, tmp_path, "a", "--aug-synthetic", data / "synthetic", "--num-classes", 1, code=1)
    assert "--num-classes is 1, but the real images have 2 classes" in done.stderr.splitlines()[-1]


def test_the_real_set_may_be_hub_style(data, tmp_path):
    """timm's hfds/ reader on Parquet, whose class names come from its ClassLabel."""
    folder = tmp_path / "set"
    folder.mkdir()
    for split, count in (("train", 32), ("validation", 10)):
        features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES[::-1])})
        images = [Image.new("RGB", (16, 16), (150 * (i % 2),) * 3) for i in range(count)]
        rows = {"image": images, "label": [1 - i % 2 for i in range(count)]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")
    flags = ["--aug-synthetic", data / "synthetic", "--epochs", 4]
    launch = command(data, tmp_path, "a", *flags, "--dataset", f"hfds/{folder}", "--data-dir", tmp_path / "cache")
    launch.remove(str(data / "real"))
    done = subprocess.run(launch, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    assert float(summary(tmp_path, "a")[-1]["eval_top1"]) == 100.0


@pytest.mark.parametrize("policy", [[], ["--aug-policy", "cifar10"]], ids=["alone", "policy"])
def test_a_policy_of_torchvisions_without_synthetic_images(data, tmp_path, policy):
    train(data, tmp_path, "a", "--epochs", 2, *policy)
    assert len(summary(tmp_path, "a")) == 2


def test_compare_reads_the_test_images_once(data, tmp_path):
    """Through the real script: one look at the end, told image by image, and nothing of it on the screen."""
    from mvc_hf.config.run_recipe import RunRecipe
    from mvc_hf.config.sections import Section
    from mvc_hf.config.stages.comparing import CompareSettings
    from mvc_hf.plugins.classifiers.compare import compare

    settings = CompareSettings(
        classifier="wrn_28_2", classifier_kwargs="depth=10 width=1", epochs=4, batch_size=8, seeds=1, script=SCRIPT,
        script_flags="--opt sgd --lr 0.1", augmentations="none,autoaugment-cifar", schedules="two-phase",
        test_split="validation", validation_fraction=0.25, warmup_epochs=1,
    )  # fmt: skip
    run = RunRecipe.from_dict({"dataset": str(data / "real"), "output": str(tmp_path)})
    found = compare(Section(run, settings, {"made": str(data / "synthetic")}))
    assert [row.mean for row in found.rows] and all(row.right.shape == (1, 10) for row in found.rows)
    assert found.facts["updates"] == 16
    runs = tmp_path / "compare" / "runs"
    log = (runs / "real-alone-0.log").read_text()
    assert log.count("Skipping eval") == 3 and "Test: [" in log and not list(runs.rglob("*.pth.tar"))
