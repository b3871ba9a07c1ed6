from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mvc_hf.augment.schedules import Combined, Pools, RandomReplacement, Synthetic, TwoPhase, share
from mvc_hf.errors import RecipeError

SIZE = st.integers(1, 60)
SEED = st.integers(0, 2**63 - 1)


def rsp(real_labels, synthetic_labels, length, prob, seed=0):
    pools = Pools.same(real_labels, synthetic_labels)
    return RandomReplacement(len(real_labels), len(synthetic_labels), length, seed=seed, prob=prob, pools=pools)


def every_kind(real, synthetic, length, seed):
    return [
        Combined(real, synthetic, length, seed=seed),
        TwoPhase(real, synthetic, length, seed=seed, switch=2),
        Synthetic(real, synthetic, length, seed=seed),
        RandomReplacement(real, synthetic, length, seed=seed, prob=0.5, pools=Pools.all(real, synthetic)),
    ]


@given(SIZE, SIZE, st.integers(1, 150), SEED, st.integers(0, 10**6))
def test_epochs_have_one_length_and_samples_that_exist(real, synthetic, length, seed, epoch):
    for schedule in every_kind(real, synthetic, length, seed):
        samples = schedule.samples(epoch)
        assert samples.shape == (length,) and samples.dtype == np.int64
        assert 0 <= samples.min() <= samples.max() < real + synthetic


@given(SIZE, SIZE, st.integers(1, 150), SEED, st.permutations(range(6)))
def test_an_epoch_depends_on_seed_and_number_alone(real, synthetic, length, seed, order):
    """Whatever was asked before, by whichever object: all ranks and a resumed run agree."""
    for kind in range(4):
        asked = {epoch: every_kind(real, synthetic, length, seed)[kind].samples(epoch) for epoch in order}
        one = every_kind(real, synthetic, length, seed)[kind]
        for epoch in range(6):
            np.testing.assert_array_equal(asked[epoch], one.samples(epoch))


@given(SIZE, SIZE, st.integers(1, 150), SEED)
def test_combined_visits_everything_once_in_each_pass(real, synthetic, length, seed):
    union = real + synthetic
    schedule = Combined(real, synthetic, length, seed=seed)
    stream = np.concatenate([schedule.samples(epoch) for epoch in range(2 * union // length + 2)])
    for first in range(0, len(stream) - union + 1, union):
        assert sorted(stream[first : first + union]) == list(range(union))


@given(SIZE, SIZE, st.integers(1, 150), st.integers(1, 8), SEED)
def test_two_phase_is_combined_and_then_real_images_alone(real, synthetic, length, switch, seed):
    schedule = TwoPhase(real, synthetic, length, seed=seed, switch=switch)
    for epoch in range(switch):
        np.testing.assert_array_equal(
            schedule.samples(epoch), Combined(real, synthetic, length, seed=seed).samples(epoch)
        )
    after = np.concatenate([schedule.samples(epoch) for epoch in range(switch, switch + 2 * real // length + 2)])
    assert after.max() < real
    for first in range(0, len(after) - real + 1, real):
        assert sorted(after[first : first + real]) == list(range(real))


@given(SIZE, SIZE, st.integers(1, 150), SEED)
def test_synthetic_alone(real, synthetic, length, seed):
    schedule = Synthetic(real, synthetic, length, seed=seed)
    stream = np.concatenate([schedule.samples(epoch) for epoch in range(2 * synthetic // length + 2)])
    assert stream.min() >= real
    assert sorted(stream[:synthetic]) == list(range(real, real + synthetic))


LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=40)


@given(LABELS, LABELS, st.integers(1, 100), SEED, st.integers(0, 1000))
def test_rsp_keeps_the_class_and_falls_back_to_the_real_image(real, synthetic, length, seed, epoch):
    assume(set(real) & set(synthetic))
    real, synthetic = np.array(real), np.array(synthetic)
    schedule = rsp(real, synthetic, length, 1.0, seed)
    bare = rsp(real, synthetic, length, 0.0, seed).samples(epoch)
    samples = schedule.samples(epoch)
    labels = np.concatenate([real, synthetic])
    np.testing.assert_array_equal(labels[samples], labels[bare])
    replaceable = np.isin(real[bare], synthetic)
    np.testing.assert_array_equal(samples >= len(real), replaceable)
    assert schedule.without_pool == np.count_nonzero(~np.isin(real, synthetic))


def test_rsp_without_replacement_passes_over_the_real_images():
    schedule = rsp(np.zeros(30, int), np.zeros(5, int), 30, 0.0)
    first, second = schedule.samples(0), schedule.samples(1)
    assert sorted(first) == sorted(second) == list(range(30)) and (first != second).any()


@pytest.mark.parametrize("prob", [0.1, 0.5, 0.8])
def test_rsp_reaches_its_probability(prob):
    n = 200_000
    samples = rsp(np.arange(n) % 7, np.arange(500) % 7, n, prob).samples(3)
    assert abs((samples >= n).mean() - prob) < 4 * np.sqrt(prob * (1 - prob) / n)


def test_rsp_draws_evenly_from_the_pool():
    n = 70_000
    samples = rsp(np.zeros(n, int), np.zeros(70, int), n, 1.0).samples(0)
    counts = np.bincount(samples - n, minlength=70)
    assert ((counts - 1000) ** 2 / 1000).sum() < 111  # chi-squared with 69 degrees of freedom, p = 0.001


def test_rsp_by_condition_takes_what_was_made_from_the_image():
    conditions = np.array([2, 0, 2, -1, 4])
    schedule = rsp(np.arange(5), conditions, 50, 1.0)
    samples = schedule.samples(0)
    assert schedule.without_pool == 2
    allowed = {0: {6}, 1: {1}, 2: {5, 7}, 3: {3}, 4: {9}}
    bare = rsp(np.arange(5), conditions, 50, 0.0).samples(0)
    assert all(sample in allowed[real] for real, sample in zip(bare, samples))
    assert {5, 7} <= set(samples) and 8 not in samples


@given(SEED, st.integers(0, 80), st.integers(0, 100))
def test_share(seed, total, count):
    found = share(seed, total, count)
    assert len(found) == min(total, count) and (np.diff(found) > 0).all()
    assert not len(found) or (found[0] >= 0 and found[-1] < total)


def test_every_image_has_the_same_share():
    counts = Counter(np.concatenate([share(seed, 10, 3) for seed in range(3000)]).tolist())
    assert all(abs(counts[i] - 900) < 4 * np.sqrt(3000 * 0.3 * 0.7) for i in range(10))


def test_seeds_and_passes_differ():
    streams = [Combined(50, 50, 100, seed=seed).samples(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(s) for s in streams}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Combined(5, 5, 0), "at least 1 sample, got 0"),
        (lambda: Combined(0, 5, 5), "needs real images, got 0"),
        (lambda: Combined(5, 0, 5), "needs synthetic images, got 0"),
        (lambda: TwoPhase(5, 5, 5, switch=0), "at least one epoch for phase one"),
        (lambda: rsp([0], [0], 5, 1.5), "from 0 to 1, got 1.5"),
        (lambda: rsp([0], [-1], 5, 0.5), "no synthetic image may take the place"),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(RecipeError, match=message):
        make()


def test_synthetic_needs_no_real_images():
    assert sorted(Synthetic(0, 4, 4).samples(0)) == [0, 1, 2, 3]


def test_fixed_streams():
    """Changing these changes what a resumed run sees after an update of this package."""
    assert Combined(3, 4, 7, seed=5).samples(1).tolist() == [4, 2, 3, 1, 6, 0, 5]
    assert rsp([0, 0, 1], [0, 1, 1], 6, 0.5, 5).samples(1).tolist() == [4, 3, 0, 1, 0, 2]
    assert share(5, 8, 3).tolist() == [0, 2, 5]
