"""Which images an epoch of the hook shows: two-phase, RSP, combined, and timm's own ways of mixing and sampling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hooked import (
    REAL,
    SYNTHETIC,
    check_epochs,
    label_of,
    order,
    row_of,
    run,
    values_of,
    write_parquet,
)

from mvc_hf.augment.schedules import Combined, Pools, RandomReplacement, TwoPhase


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
