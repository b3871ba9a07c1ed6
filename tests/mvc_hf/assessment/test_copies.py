"""The test of copies keeps its level, finds what it says that it finds, and picks out single copies."""

import math

import numpy as np
import pytest
import torch

from mvc_hf.assessment import copies
from mvc_hf.assessment.copies import Nearest, compare, duplicates, suspects
from mvc_hf.assessment.neighbours import Space

SPACE = Space(64, torch.device("cpu"))


def nearest(distance, ratio=None):
    distance = np.asarray(distance, np.float32)
    return Nearest(
        distance, np.full(len(distance), 0.9) if ratio is None else np.asarray(ratio), np.zeros(len(distance), int)
    )


def drawn(rng, n, shift=0.0):
    return nearest(rng.normal(1 - shift, 0.2, n).clip(0.01), rng.normal(0.8, 0.1, n))


def test_alike_sets_are_called_unlike_as_often_as_said():
    rng = np.random.default_rng(0)
    labels, held = np.repeat([0, 1], 30), np.repeat([0, 1], 20)
    found = [compare(drawn(rng, 60), labels, drawn(rng, 40), held) for _ in range(400)]
    assert np.mean([f.p < 0.05 for f in found]) == pytest.approx(0.05, abs=0.03)
    assert np.mean([f.closer for f in found]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([f.p_below < 0.05 for f in found]) < 0.07


def test_the_shift_that_is_called_detectable_is_found_in_four_of_five_cases():
    rng = np.random.default_rng(1)
    labels = np.zeros(200, int)
    detectable = compare(drawn(rng, 200), labels, drawn(rng, 200), labels).detectable
    from statistics import NormalDist

    shift = 0.2 * math.sqrt(2) * NormalDist().inv_cdf(detectable)  # P(closer) of two normals of the same width
    found = [compare(drawn(rng, 200, shift), labels, drawn(rng, 200), labels).p < 0.05 for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


def test_classes_in_other_shares_are_no_shift():
    """One class lies closer together: more images of it among the synthetic ones must not look like copying."""
    rng = np.random.default_rng(2)
    scale = np.array([0.2, 1.0])
    labels, held = np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [20, 180])
    made, real = (nearest(rng.uniform(0.5, 1, 200) * scale[part]) for part in (labels, held))
    assert compare(made, labels, real, held).p > 0.01
    assert compare(made, 0 * labels, real, 0 * held).p < 1e-6  # without strata it would


def test_the_closest_of_all():
    made, held = nearest([0.1, 0.2, 0.3, 0.9, 0.9]), nearest([0.5, 0.6, 0.7])
    found = compare(made, np.zeros(5, int), held, np.zeros(3, int))
    assert found.below == 3
    assert found.p_below == pytest.approx(math.comb(5, 3) / math.comb(8, 3))
    assert math.comb(5, found.below_detectable) / math.comb(8, found.below_detectable) <= 0.05
    assert math.comb(5, found.below_detectable - 1) / math.comb(8, found.below_detectable - 1) > 0.05


def test_nothing_in_common():
    found = compare(nearest([1.0]), np.array([0]), nearest([1.0]), np.array([1]))
    assert math.isnan(found.p) and found.n == 0


def test_single_copies_are_picked_out_and_identical_real_images_set_no_floor():
    held = nearest([0.0, 0.5, 0.6, 0.7], [0.0, 0.5, 0.9, 0.9])
    made = nearest([0.4, 0.4, 0.0, 0.55], [0.001, 0.9, 0.95, 0.0])
    assert copies.lowest(held) == pytest.approx(0.5)
    assert suspects(made, held).tolist() == [2, 0]  # the one that is close but does not stand out is none
    assert suspects(made, nearest([0.0, 0.0], [0.0, 0.0])).tolist() == [2]


def test_distance_and_ratio_of_a_copy():
    rng = np.random.default_rng(3)
    real = rng.normal(size=(50, 16)).astype(np.float32)
    made = np.concatenate([rng.normal(size=(20, 16)), real[7:8] + 0.001]).astype(np.float32)
    found = Nearest.of(made, real, 5, SPACE, itself=False, what="")
    assert found.row[20] == 7 and found.distance[20] < 0.01 and found.ratio[20] < 0.01
    assert (found.ratio[:20] > 0.5).all() and (found.ratio <= 1).all()
    alone = Nearest.of(made[:1], made[:1], 5, SPACE, itself=True, what="")
    assert alone.distance[0] == np.inf and alone.row[0] == -1


def test_near_duplicates():
    real = nearest(np.linspace(0.5, 1, 101))
    assert duplicates(nearest([0.1, 0.505, 0.51]), real).tolist() == [True, True, False]


def test_few_suspects_are_there_by_chance():
    """90 images against 90, of one kind: the closest of all is a synthetic one in half of the cases, and no copy."""
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(30):
        real, held, made = (rng.normal(size=(90, 6)).astype(np.float32) for _ in range(3))
        near = [Nearest.of(part, real, 5, SPACE, itself=False, what="") for part in (made, held)]
        found += len(suspects(*near))
    assert found <= 30 * 90 / 91


def test_pictures_themselves_show_what_was_made_brighter_or_resampled():
    from PIL import Image, ImageFilter

    rng = np.random.default_rng(6)
    images = [
        Image.fromarray(rng.integers(0, 200, (28, 28), dtype=np.uint8)).filter(ImageFilter.GaussianBlur(2))
        for _ in range(60)
    ]
    real, held = images[:30], images[30:]
    ways = [
        lambda i: i.point(lambda v: min(255, int(1.2 * v))),
        lambda i: i.resize((32, 32)).resize((28, 28)),
        lambda i: i.filter(ImageFilter.GaussianBlur(0.5)),
    ]
    made = [way(real[k]) for k, way in enumerate(ways)] + held[:10]

    def small(pictures):
        found = [
            np.asarray(p.convert("RGB").resize((12, 12), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
            for p in pictures
        ]
        return copies.outlines(np.stack(found))

    near = [Nearest.of(small(part), small(real), 5, SPACE, itself=False, what="") for part in (made, held[10:])]
    assert sorted(suspects(*near).tolist()) == [0, 1, 2] and near[0].row[:3].tolist() == [0, 1, 2]
