"""How many updates a run has, and how fast each of them learns."""

import pytest
import torch

from mvc_hf.config.recipe import Recipe
from mvc_hf.training.lr_schedule import TrainingSchedule


def test_number_of_steps_follows_the_number_of_images():
    recipe = Recipe(train_batch_size=8, gradient_accumulation_steps=2, num_train_epochs=24)
    assert TrainingSchedule.of(recipe, 200, processes=1).steps == 300
    assert TrainingSchedule.of(recipe, 2000, processes=1).steps == 3000
    assert TrainingSchedule.of(recipe, 2000, processes=4).steps == 750
    assert TrainingSchedule.of(Recipe(max_train_steps=7), 2000, processes=4).steps == 7


@pytest.mark.parametrize("kind", ["constant", "constant_with_warmup", "cosine", "linear"])
@pytest.mark.parametrize("warmup", [0, 5, 10])
def test_learning_rate_is_that_of_diffusers(kind, warmup):
    """Theirs is zero at the first of the warm-up steps; ours wastes no step and is one step ahead."""
    from diffusers.optimization import get_scheduler

    schedule = TrainingSchedule.of(Recipe(max_train_steps=50, lr_scheduler=kind, lr_warmup_steps=warmup), 10, 1)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=schedule.peak)
    name = {"constant": "constant_with_warmup", "cosine": "cosine"}.get(kind, kind)
    theirs = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=50)
    for step in range(50):
        if step >= warmup:
            assert schedule.learning_rate(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    rates = [schedule.learning_rate(step) for step in range(warmup + 1)]
    assert rates == pytest.approx([schedule.peak * (i + 1) / (warmup + 1) for i in range(warmup + 1)])


def test_the_heldout_loss_is_measured_twenty_times_a_run_unless_asked_otherwise():
    assert TrainingSchedule.of(Recipe(max_train_steps=1000), 10, 1).validation_steps == 50
    assert TrainingSchedule.of(Recipe(max_train_steps=3), 10, 1).validation_steps == 1
    assert TrainingSchedule.of(Recipe(max_train_steps=1000, validation_steps=7), 10, 1).validation_steps == 7


def test_samples_of_an_update_are_counted_over_all_processes():
    recipe = Recipe(train_batch_size=8, gradient_accumulation_steps=2)
    assert TrainingSchedule.of(recipe, 200, processes=4).samples == 64
