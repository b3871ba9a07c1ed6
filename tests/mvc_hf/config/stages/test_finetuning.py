"""How the base is fine-tuned."""

import pytest

from mvc_hf.config.fields import FINETUNE, GENERATE
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.stages.finetuning import FinetuneSettings
from mvc_hf.errors import RecipeError


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"learning_rate": 0}, "--learning-rate is 0.0; it must be greater than 0"),
        ({"conditioning_dropout_prob": 0.5}, "--conditioning-dropout-prob is 0.5; it must be at most 0.333333"),
        ({"holdout_fraction": 0.6}, "--holdout-fraction is 0.6; it must be at most 0.5"),
        ({"lr_scheduler": "polynomial"}, "--lr-scheduler is 'polynomial'; choose one of constant, "),
        ({"ema_decay": 1.0}, "--ema-decay is 1.0; it must be at most"),
        ({"train_batch_size": 8193}, "--train-batch-size is 8193; it must be at most 8,192"),
        ({"max_train_steps": 0}, "--max-train-steps is 0; it must be at least 1"),
        ({"gradient_accumulation_steps": 0}, "--gradient-accumulation-steps is 0"),
    ],
)
def test_limits(values, says):
    with pytest.raises(RecipeError, match=says):
        FinetuneSettings(**values)


def test_text_image_and_both_are_dropped_apart():
    """Each with the same probability, so that three times the largest one is all there is."""
    assert 3 * FinetuneSettings(conditioning_dropout_prob=1 / 3).conditioning_dropout_prob == 1
    assert FinetuneSettings().conditioning_dropout_prob == 0.05  # as the paper and InstructPix2Pix have it


def test_how_often_is_saved_and_how_memory_is_spared_changes_no_weight():
    same = Recipe(gradient_checkpointing=True, checkpointing_steps=7, checkpoints_total_limit=1)
    assert same.identity(FINETUNE) == Recipe().identity(FINETUNE)
    for more in ({"use_ema": False}, {"train_batch_size": 4}, {"gradient_accumulation_steps": 2}, {"variant": "fp16"}):
        assert Recipe(**more).identity(FINETUNE) != Recipe().identity(FINETUNE), more


def test_generating_takes_the_variant_and_none_of_the_others():
    taken = set(vars(FinetuneSettings())) & set(Recipe().to_dict(GENERATE))
    assert taken == {"variant"}
