import numpy as np
import pytest
import torch
from timm.scheduler import create_scheduler_v2

from mvc_hf.errors import RecipeError
from mvc_hf.plugins.timm_two_phase import two_phase_scheduler

UPDATES = 5


def sgd(*rates):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates or (1.0,)]
    return torch.optim.SGD(groups, lr=1.0)


def rates(scheduler, epochs, optimizer, on_updates=False, group=0, start=0):
    """The rate of each epoch (or update), in the order in which timm's train.py steps."""
    found = []
    if start:
        scheduler.step_update(start * UPDATES) if on_updates else scheduler.step(start)
    for epoch in range(start, epochs):
        for update in range(UPDATES):
            found.append(optimizer.param_groups[group]["lr"])
            scheduler.step_update(epoch * UPDATES + update + 1, metric=1.0)
        scheduler.step(epoch + 1, 0.5)
    return found if on_updates else found[::UPDATES]


def two(optimizer, last=3, scale=0.1, **settings):
    settings = {"sched": "cosine", "num_epochs": 10, "updates_per_epoch": UPDATES} | settings
    return two_phase_scheduler(create_scheduler_v2, optimizer, phase2_epochs=last, lr_scale=scale, **settings)


def one(**settings):
    optimizer = sgd()
    settings = {"sched": "cosine", "updates_per_epoch": UPDATES} | settings
    scheduler, epochs = create_scheduler_v2(optimizer, **settings)
    return rates(scheduler, epochs, optimizer, not settings.get("step_on_epochs", True))


KINDS = [
    {"sched": "cosine", "min_lr": 0.01},
    {"sched": "tanh"},
    {"sched": "poly", "decay_rate": 2.0},
    {"sched": "step", "decay_epochs": 2, "decay_rate": 0.5},
    {"sched": "cosine", "noise": [0.0, 1.0], "noise_std": 0.1},
]


@pytest.mark.parametrize("on_updates", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=[" ".join(map(str, k.values())) for k in KINDS])
def test_each_phase_is_the_users_kind_of_schedule(kind, on_updates):
    """Phase one with its warm-up, phase two from the scaled rate without."""
    optimizer = sgd()
    scheduler, epochs = two(optimizer, warmup_epochs=2, warmup_lr=0.001, step_on_epochs=not on_updates, **kind)
    assert (scheduler.switch, epochs) == (7, 10)
    found = rates(scheduler, epochs, optimizer, on_updates)
    settings = {"step_on_epochs": not on_updates, **kind}
    first = one(num_epochs=7, warmup_epochs=2, warmup_lr=0.001, **settings)
    scaled = sgd(0.1)
    alone, length = create_scheduler_v2(scaled, num_epochs=3, updates_per_epoch=UPDATES, **settings)
    np.testing.assert_allclose(found, first + rates(alone, length, scaled, on_updates), rtol=1e-12)
    assert found[len(first)] == pytest.approx(0.1)


@pytest.mark.parametrize("on_updates", [False, True])
@pytest.mark.parametrize("start", range(1, 10))
def test_a_resumed_run_has_the_same_rates(start, on_updates):
    settings = {"warmup_epochs": 2, "step_on_epochs": not on_updates}
    whole = sgd()
    scheduler, epochs = two(whole, **settings)
    expected = rates(scheduler, epochs, whole, on_updates)
    optimizer = sgd()
    optimizer.load_state_dict(whole.state_dict())  # as timm's --resume does, before it makes the scheduler
    scheduler, epochs = two(optimizer, **settings)
    found = rates(scheduler, epochs, optimizer, on_updates, start=start)
    assert found == expected[start * UPDATES if on_updates else start :]


def test_groups_keep_their_own_rates():
    """Layer decay (lr_scale) and groups of other base rates go through both phases."""
    optimizer = sgd(1.0, 0.2)
    optimizer.param_groups[1]["lr_scale"] = 0.5
    scheduler, _ = two(optimizer)
    scheduler.step(7)
    at_switch = [group["lr"] for group in optimizer.param_groups]
    assert at_switch == pytest.approx([0.1, 0.2 * 0.1 * 0.5])
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 0.2]
    scheduler.step(0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 0.1])


def test_the_run_is_as_long_as_without_phases():
    for settings in ({}, {"cooldown_epochs": 2}, {"warmup_epochs": 3, "warmup_prefix": True}, {"sched": "step"}):
        optimizer = sgd()
        _, plain = create_scheduler_v2(sgd(), num_epochs=10, **settings)
        scheduler, epochs = two(optimizer, **settings)
        assert epochs == plain, settings
        cooldown = settings.get("cooldown_epochs", 0)
        assert epochs - scheduler.switch == 3 + cooldown
        assert len(rates(scheduler, epochs, optimizer)) == plain


def test_milestones_keep_their_place():
    optimizer = sgd()
    scheduler, epochs = two(optimizer, sched="multistep", decay_milestones=[2, 6, 7, 9], decay_rate=0.5)
    assert rates(scheduler, epochs, optimizer) == pytest.approx(
        [*one(sched="multistep", decay_milestones=[2, 6, 7], decay_rate=0.5, num_epochs=7), 0.1, 0.05, 0.05]
    )  # timm decays in the epoch before the milestone


def test_no_schedule_is_constant_in_each_phase():
    optimizer = sgd()
    scheduler, epochs = two(optimizer, sched="none", warmup_epochs=3)
    assert rates(scheduler, epochs, optimizer) == pytest.approx([1.0] * 7 + [0.1] * 3)


@pytest.mark.filterwarnings("ignore:PlateauLRScheduler:FutureWarning")
def test_a_plateau_enters_phase_two_at_its_rate():
    try:
        create_scheduler_v2(sgd(), sched="plateau")
    except TypeError:
        pytest.skip("the plateau schedule of this timm does not go with this torch")
    optimizer = sgd()
    scheduler, epochs = two(optimizer, sched="plateau", patience_epochs=0, decay_rate=0.5, plateau_mode="max")
    found = rates(scheduler, epochs, optimizer)
    assert found[7] == pytest.approx(0.1) and found[6] < 0.1 and found[9] < 0.1


def test_wsd_decays_within_each_phase():
    pytest.importorskip("timm.scheduler.wsd_lr", reason="this timm has no wsd schedule")
    optimizer = sgd()
    scheduler, epochs = two(optimizer, sched="wsd", warmup_epochs=2, decay_epochs=9)
    found = rates(scheduler, epochs, optimizer)
    assert len(found) == 10 and found[7] == pytest.approx(0.1) and found[6] < 1.0 and found[9] < 0.1


def test_a_fifth_of_the_epochs_by_default():
    assert two(sgd(), last=None, num_epochs=200)[0].switch == 160
    assert two(sgd(), last=None, num_epochs=2)[0].switch == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"last": 10}, "1 to 9 of 10 epochs, got 10"),
        ({"num_epochs": 1, "last": None}, "at least 2 epochs, got 1"),
        ({"min_lr": 0.2}, "phase two would start at 0.1"),
        ({"cycle_limit": 2}, "--lr-cycle-limit"),
    ],
)
def test_settings_that_leave_no_place(settings, message):
    with pytest.raises(RecipeError, match=message):
        two(sgd(), **settings)


def test_state_goes_to_disk_and_back():
    optimizer = sgd()
    scheduler, _ = two(optimizer)
    other, _ = two(sgd(), scale=0.5)
    other.load_state_dict(scheduler.state_dict())
    other.step(7)
    assert other.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
