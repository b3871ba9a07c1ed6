"""The hook on a script with the contract of timm's train.py: flags, configs, and scripts that are not timm's."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest
import yaml
from hooked import (
    REAL,
    SCRIPT,
    run,
)

from mvc_hf.errors import DataError, HostError, MvcError, RecipeError
from mvc_hf.plugins import timm_train
from mvc_hf.plugins.timm_flags import FLAGS


def test_without_the_flag_nothing_changes(real, tmp_path):
    lines = run(real, tmp_path, "--epochs", 2)
    assert all(sorted(line["seen"]) == list(range(REAL)) for line in lines)


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
