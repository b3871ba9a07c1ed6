from __future__ import annotations

import pytest
from classifier_sets import QUICK

from mvc_hf.config.stages.comparing import ClassifierSettings
from mvc_hf.errors import RecipeError
from mvc_hf.plugins.classifiers.command_line import Classifier, Images, alone, model_arguments, policy_flags


def test_arguments_of_a_model_are_read_as_timm_reads_them():
    assert model_arguments("depth=10 act=relu channels=[16,32] drop_rate=0.1") == {
        "depth": 10, "act": "relu", "channels": [16, 32], "drop_rate": 0.1,
    }  # fmt: skip
    for text in ("depth", "=1", "a b=1", "1a=2", "a="):
        with pytest.raises(RecipeError, match="give NAME=VALUE"):
            model_arguments(text)


@pytest.mark.parametrize("name", ["rand-m9-mstd0.5-inc1", "v0", "original-mstd0.5", "3a"])
def test_policies_of_timm_are_taken_as_they_are(name):
    assert policy_flags(name) == ("--aa", name)


@pytest.mark.parametrize("name", ["v9", "augmix-m3", "", "none;"])
def test_policies_that_are_none_are_refused(name):
    with pytest.raises(RecipeError, match="choose among none, randaugment"):
        policy_flags(name)


def test_a_training_in_small_differs_in_its_epochs_alone(tmp_path):
    settings = ClassifierSettings(**QUICK)
    classifier = Classifier(settings, 2, 8, ("cpu",))
    images = Images(tmp_path, "train", "test", "key")
    job = classifier.job("arm", images, ["--aa", "v0"], 3, tmp_path, 0.1)
    brief = classifier.briefly(job, 2, tmp_path / "x.json")
    changed = [(a, b) for a, b in zip(job.flags, brief.flags, strict=True) if a != b]
    assert changed == [(str(tmp_path / "arm-3.json"), str(tmp_path / "x.json")), ("3", "2")]
    other = classifier.job("arm", Images(tmp_path, "train", "test", "other key"), ["--aa", "v0"], 3, tmp_path, 0.1)
    assert other.flags == job.flags and other.inputs != job.inputs, "other images, another job"


def test_one_process_of_many_is_refused(monkeypatch):
    alone()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="without torchrun"):
        alone()
