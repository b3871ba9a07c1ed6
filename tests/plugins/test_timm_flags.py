"""The flags of synthetic images, whoever parses them. What they do in a run is in test_timm_schedules.py."""

import argparse

import pytest

from mvc_hf.errors import RecipeError
from mvc_hf.plugins.timm_flags import FLAGS, add_flags, check_policy, check_settings


def settings(**given):
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return argparse.Namespace(**vars(parser.parse_args(["--aug-synthetic", "made"])) | given)


def test_names_and_defaults_come_back():
    defaults = add_flags(argparse.ArgumentParser())
    assert [flag[2:].replace("-", "_") for flag in FLAGS] == list(defaults)
    assert (defaults["aug_synthetic"], defaults["aug_schedule"], defaults["aug_prob"]) == (None, "two-phase", 0.8)


def test_defaults_are_fine_and_one_set_is_a_list():
    checked = settings(aug_synthetic="made", aug_scores="scores.parquet")  # as a YAML config may say it
    check_settings(checked)
    assert (checked.aug_synthetic, checked.aug_scores) == (["made"], ["scores.parquet"])


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
