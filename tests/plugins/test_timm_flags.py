"""The flags of synthetic images, whoever parses them. What they do in a run is in test_timm_schedules.py."""

import argparse

import pytest

from mvc_hf.errors import RecipeError
from mvc_hf.plugins.timm_flags import add_flags, check_idle, check_policy, check_settings


def settings(**given):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return argparse.Namespace(**vars(parser.parse_args(["--aug-synthetic", "made"])) | given)


def test_defaults_are_filled_in_and_one_set_is_a_list():
    checked = settings(aug_synthetic="made", aug_scores="scores.parquet")  # as a YAML config may say it
    check_settings(checked)
    assert (checked.aug_synthetic, checked.aug_scores) == (["made"], ["scores.parquet"])
    assert (checked.aug_schedule, checked.aug_epoch, checked.aug_label_match) == ("two-phase", "real", "name")


def test_only_what_the_schedule_takes_is_filled_in():
    """So that args.yaml, given again as a config, names nothing that means nothing."""
    of = {}
    for schedule in ("two-phase", "rsp", "combined", "synthetic"):
        checked = settings(aug_schedule=schedule)
        check_settings(checked)
        of[schedule] = (checked.aug_prob, checked.aug_rsp_from, checked.aug_phase2_epochs, checked.aug_phase2_lr_scale)
        check_settings(checked)  # once more, as a file of settings
    nothing = (None, None, None, None)
    assert of == {
        "two-phase": (None, None, None, 0.1), "rsp": (0.8, "class", None, None), "combined": nothing,
        "synthetic": nothing,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "given"),
    [
        *((s, {"aug_prob": v}) for s in ("two-phase", "combined", "synthetic", None) for v in (0.5, 0.8, 0)),
        *((s, {"aug_rsp_from": "class"}) for s in ("two-phase", "combined", "synthetic", None)),
        *((s, {"aug_phase2_epochs": 3}) for s in ("rsp", "combined", "synthetic")),
        *((s, {"aug_phase2_lr_scale": 0.1}) for s in ("rsp", "combined", "synthetic")),
    ],
)
def test_what_means_nothing_under_the_schedule_is_refused(schedule, given):
    """Of the default's value, too: who gives it believes that it does something."""
    name = "--" + next(iter(given)).replace("_", "-")
    with pytest.raises(RecipeError) as error:
        check_settings(settings(aug_schedule=schedule, **given))
    assert f"{name} means nothing under --aug-schedule {schedule or 'two-phase'}" in str(error.value)
    check_settings(settings(aug_schedule="rsp" if "phase2" not in name else "two-phase", **given))


@pytest.mark.parametrize("given", [{"aug_prob": 0.0}, {"aug_schedule": "two-phase"}, {"aug_follow_symlinks": True}])
def test_without_synthetic_images_every_flag_is_refused(given):
    with pytest.raises(RecipeError, match="means nothing without --aug-synthetic DATASET"):
        check_idle(settings(aug_synthetic=None, **given))
    check_idle(settings(aug_synthetic=None, aug_policy="cifar10"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"aug_schedule": "three-phase"}, "--aug-schedule must be one of combined"),
        ({"aug_label_match": 3}, "--aug-label-match must be one of name, index, got 3"),
        ({"aug_prob": 1.5}, "--aug-prob must be from 0 to 1, got 1.5"),
        ({"aug_prob": "half"}, "--aug-prob must be from 0 to 1, got 'half'"),
        ({"aug_ratio": 0}, "--aug-ratio must be above 0, got 0"),
        ({"aug_phase2_lr_scale": float("inf")}, "--aug-phase2-lr-scale must be above 0, got inf"),
        ({"aug_filter": 5}, "--aug-filter must be an expression, got 5"),
        ({"aug_weights": ["a"]}, "--aug-weights must be an expression, got ['a']"),
        ({"aug_epoch": "all"}, "--aug-epoch must be real, union, or a number of at least 1, got 'all'"),
        ({"use_multi_epochs_loader": True}, "--use-multi-epochs-loader prepares images of the next epoch"),
        ({"naflex_loader": True}, "--naflex-loader orders its samples itself"),
    ],
)
def test_values_out_of_range_are_named(given, says):
    with pytest.raises(RecipeError) as error:
        check_settings(settings(**given))
    assert says in str(error.value)


def test_a_policy_is_one_of_torchvisions_and_the_only_one():
    check_policy(settings(aug_policy="cifar10", aa=None))
    check_policy(settings(aa="v0"))
    with pytest.raises(RecipeError, match="must be one of cifar10, imagenet, svhn, got 'cifar'"):
        check_policy(settings(aug_policy="cifar"))
    with pytest.raises(RecipeError, match="--aa v0 and --aug-policy cifar10 are two policies"):
        check_policy(settings(aug_policy="cifar10", aa="v0"))
