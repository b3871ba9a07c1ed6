"""A small run that several test files go on from."""

import shutil

import pytest

from mvc_hf.config.recipe import Recipe
from mvc_hf.training.finetune import finetune


@pytest.fixture(scope="session")
def small_recipe(photos, tiny_base):
    return Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=9, validation_steps=3,
        checkpointing_steps=2, learning_rate=1e-3, lr_warmup_steps=2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def finished_run(small_recipe, tmp_path_factory):
    """Made once; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MVC_HF_CACHE", str(tmp_path_factory.mktemp("caches")))
        finetune(small_recipe, out)
    return out


@pytest.fixture
def recipe(small_recipe):
    return small_recipe


@pytest.fixture
def whole(finished_run, tmp_path):
    """A finished run of `recipe`."""
    return shutil.copytree(finished_run, tmp_path / "whole")
