import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvc_hf import mixing
from mvc_hf.errors import DataError, RecipeError
from mvc_hf.mixing import MixPlans, apply, plan, row_map
from mvc_hf.utils.rng import Stream

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def algorithm_1(embeddings, mix):
    """The paper's Algorithm 1, one embedding at a time, every copy made on its own."""
    mixed = embeddings[mix["base"]].clone()
    for copy in mix["coarse"]:
        r, s = copy["r"], copy["s"]
        mixed[r:s] = embeddings[copy["source"]][r:s]
    for copy in mix["fine"]:
        w, u, v = copy["w"], copy["u"], copy["v"]
        mixed[w, u:v] = embeddings[copy["source"]][w, u:v]
    return mixed


def explicit(plans, i):
    """Mix i with all of its copies, also those of a caption onto itself."""
    return {
        "base": plans.base[i],
        "coarse": [dict(zip(["source", "r", "s"], c)) for c in plans.coarse[i]],
        "fine": [dict(zip(["source", "w", "u", "v"], c)) for c in plans.fine[i]],
    }


def random_embeddings(rng, captions, tokens, width, dtype):
    bits = rng.integers(-1000, 1000, (captions, tokens, width))
    return torch.from_numpy(bits).to(dtype)


def random_case(rng):
    """Plans of several classes, the first caption of the array belonging to nobody."""
    sizes = rng.integers(1, 7, 3)
    starts = 1 + np.cumsum(sizes) - sizes
    label = rng.integers(0, 3, rng.integers(0, 30))
    tokens, width, coarse, fine = (int(rng.integers(low, high)) for low, high in [(1, 10), (1, 12), (0, 6), (0, 9)])
    pool = {"pool_start": starts[label], "pool_size": sizes[label]}
    shape = {"tokens": tokens, "width": width, "coarse": coarse, "fine": fine}
    plans = plan(int(rng.integers(1000)), label, np.arange(len(label)), **pool, **shape)
    dtype = DTYPES[rng.integers(len(DTYPES))]
    return random_embeddings(rng, 1 + sizes.sum(), tokens, width, dtype), plans


def chi_squared(counts):
    expected = counts.sum() / counts.size
    return ((counts - expected) ** 2 / expected).sum()


def count_pairs(first, second, pairs):
    found = dict.fromkeys(pairs, 0)
    for pair in zip(first.tolist(), second.tolist()):
        found[pair] += 1  # a KeyError is a pair that must not occur
    return np.array(list(found.values()))


# apply


@pytest.mark.parametrize("path", ["_mix_by_span", "_mix_by_batch"])
def test_apply_is_algorithm_1(path, monkeypatch):
    monkeypatch.setattr(mixing, "_mix_by_span", getattr(mixing, path))
    rng = np.random.default_rng(0)
    cases = 0
    for _ in range(250):
        embeddings, plans = random_case(rng)
        before = embeddings.clone()
        mixed = apply(embeddings, plans)
        assert mixed.shape == (len(plans), *embeddings.shape[1:]) and mixed.dtype == embeddings.dtype
        for i in range(len(plans)):
            assert torch.equal(mixed[i], algorithm_1(embeddings, explicit(plans, i)))
            assert torch.equal(mixed[i], algorithm_1(embeddings, plans.record(i)))
        assert torch.equal(embeddings, before)
        cases += len(plans)
    assert cases > 3000


@pytest.mark.parametrize("path", ["_mix_by_span", "_mix_by_batch"])
def test_later_copies_win(path, monkeypatch):
    """All copies hit the same two rows, fine ones the same row of several mixes at once."""
    monkeypatch.setattr(mixing, "_mix_by_span", getattr(mixing, path))
    rng = np.random.default_rng(1)
    embeddings = random_embeddings(rng, 9, 2, 6, torch.float16)
    plans = plan(0, 0, np.arange(1000), pool_start=0, pool_size=9, tokens=2, width=6, coarse=5, fine=12)
    expected = torch.stack([algorithm_1(embeddings, plans.record(i)) for i in range(len(plans))])
    assert torch.equal(apply(embeddings, plans), expected)
    backwards = MixPlans(plans.base, plans.coarse[:, ::-1], plans.fine[:, ::-1])
    assert not torch.equal(apply(embeddings, backwards), expected)


def test_stable_diffusion_size():
    rng = np.random.default_rng(2)
    embeddings = random_embeddings(rng, 20, 77, 768, torch.float16)
    plans = plan(5, 1, np.arange(40), pool_start=4, pool_size=16, tokens=77, width=768, coarse=2, fine=8)
    out = torch.empty(40, 77, 768, dtype=torch.float16)
    assert apply(embeddings, plans, out=out) is out
    for i in range(40):
        assert torch.equal(out[i], algorithm_1(embeddings, plans.record(i)))


def test_no_copies_return_the_base():
    embeddings = torch.randn(5, 3, 4)
    plans = plan(0, 0, np.arange(20), pool_start=0, pool_size=5, tokens=3, width=4, coarse=0, fine=0)
    assert plans.coarse.shape == (20, 0, 3) and plans.fine.shape == (20, 0, 4)
    assert torch.equal(apply(embeddings, plans), embeddings[plans.base])
    assert plans.record(3) == {"base": plans.base[3], "coarse": [], "fine": []}
    assert not plans.mixed().any()


def test_row_map_collapses_coarse_copies():
    plans = MixPlans(np.array([9, 5]), np.array([[[1, 0, 3], [2, 2, 4]], [[6, 1, 5], [7, 2, 3]]]), np.empty((2, 0, 4)))
    assert row_map(plans, 5).tolist() == [[1, 1, 2, 2, 9], [5, 6, 7, 6, 6]]


@pytest.mark.parametrize("tokens, coarse", [(127, 2), (128, 2), (129, 2), (300, 3), (4, 127), (4, 128), (4, 300)])
def test_row_map_at_the_edges_of_small_integers(tokens, coarse):
    plans = plan(0, 0, np.arange(30), pool_start=0, pool_size=9, tokens=tokens, width=1, coarse=coarse, fine=0)
    embeddings = torch.arange(9)[:, None, None].repeat(1, tokens, 1)
    expected = torch.stack([algorithm_1(embeddings, plans.record(i)) for i in range(30)])
    assert torch.equal(torch.from_numpy(row_map(plans, tokens)), expected[..., 0])


def test_apply_keeps_every_bit():
    embeddings = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45]).view(1, 2, 2)
    plans = plan(0, 0, 0, pool_start=0, pool_size=1, tokens=2, width=2, coarse=1, fine=1)
    assert torch.equal(apply(embeddings, plans).view(torch.int32), embeddings.view(torch.int32))


def test_apply_gives_no_gradient():
    embeddings = torch.randn(4, 3, 2, requires_grad=True)
    plans = plan(0, 0, [0, 1], pool_start=0, pool_size=4, tokens=3, width=2, coarse=1, fine=1)
    assert not apply(embeddings, plans).requires_grad


@pytest.mark.parametrize("shape", [(4, 5, 6), (5, 4, 6), (5, 5, 5)])
def test_plans_for_other_embeddings_are_refused(shape):
    plans = plan(0, 0, np.arange(500), pool_start=0, pool_size=5, tokens=5, width=6, coarse=2, fine=2)
    apply(torch.zeros(5, 5, 6), plans)
    with pytest.raises(DataError, match=f"outside of the {shape[0]} caption embeddings of {shape[1]}×{shape[2]}"):
        apply(torch.zeros(shape), plans)


@pytest.mark.parametrize(
    "base, coarse, fine",
    [
        (-1, (0, 0, 1), (0, 0, 0, 1)),
        (0, (-1, 0, 1), (0, 0, 0, 1)),
        (0, (0, -1, 1), (0, 0, 0, 1)),
        (0, (0, 1, 1), (0, 0, 0, 1)),
        (0, (0, 0, 1), (-1, 0, 0, 1)),
        (0, (0, 0, 1), (0, -1, 0, 1)),
        (0, (0, 0, 1), (0, 0, -1, 1)),
        (0, (0, 0, 1), (0, 0, 1, 1)),
    ],
)
def test_impossible_copies_are_refused(base, coarse, fine):
    plans = MixPlans(np.array([base]), np.array([[coarse]]), np.array([[fine]]))
    with pytest.raises(DataError, match="outside"):
        apply(torch.zeros(2, 2, 2), plans)


@pytest.mark.parametrize("out", [torch.zeros(2, 3, 2), torch.zeros(1, 3, 2, dtype=torch.float16)])
def test_wrong_out(out):
    plans = plan(0, 0, 0, pool_start=0, pool_size=4, tokens=3, width=2, coarse=1, fine=1)
    with pytest.raises(ValueError, match="out must be"):
        apply(torch.zeros(4, 3, 2), plans, out=out)


def test_memory_mapped_pool_larger_than_what_is_read(tmp_path):
    captions, tokens, width = 18_000, 77, 768  # 2.1 GB, a sparse file
    file = tmp_path / "embeddings.bin"
    file.touch()
    os.truncate(file, captions * tokens * width * 2)
    pool = np.memmap(file, np.float16, "r+", shape=(captions, tokens, width))
    plans = plan(0, 0, np.arange(6), pool_start=0, pool_size=captions, tokens=tokens, width=width, coarse=2, fine=8)
    named = np.unique(np.concatenate([plans.base, plans.coarse[..., 0].ravel(), plans.fine[..., 0].ravel()]))
    pool[named] = np.random.default_rng(0).standard_normal((len(named), tokens, width), dtype=np.float32)

    pool = np.memmap(file, np.float16, "r+", shape=(captions, tokens, width))
    before = resident_bytes()
    mixed = apply(torch.from_numpy(pool), plans)
    grown = resident_bytes() - before
    assert grown < 100e6
    embeddings = torch.from_numpy(pool)
    for i in range(6):
        assert torch.equal(mixed[i], algorithm_1(embeddings, plans.record(i)))


def resident_bytes():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        pytest.skip("needs /proc to measure memory")


# plan


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_plan_depends_on_nothing_but_its_address(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    label, k = rng.integers(0, 4, 40), rng.integers(0, 2**40, 40)
    size = np.array([1, 2, 5, 300])
    start = np.array([0, 1, 3, 8])

    def draw(rows):
        pool = {"pool_start": start[label[rows]], "pool_size": size[label[rows]]}
        return plan(3, label[rows], k[rows], **pool, tokens=7, width=9, coarse=2, fine=3)

    rows = np.array(data.draw(st.lists(st.integers(0, 39), max_size=60)), int)
    cut = data.draw(st.integers(0, len(rows)))
    whole = draw(np.arange(40))[rows]
    parts = [draw(rows[:cut]), draw(rows[cut:])]
    assert whole == MixPlans(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("base", "coarse", "fine")))


def test_more_copies_leave_the_first_ones_alone():
    def draw(coarse, fine):
        return plan(0, 0, np.arange(50), pool_start=0, pool_size=9, tokens=7, width=9, coarse=coarse, fine=fine)

    small, large = draw(2, 3), draw(5, 11)
    assert large == draw(5, 11)
    assert small == MixPlans(large.base, large.coarse[:, :2], large.fine[:, :3])


def test_addresses_and_streams_differ():
    def draw(seed=0, label=0, index=0, stream=Stream.MIX):
        shape = {"tokens": 77, "width": 768, "coarse": 2, "fine": 8}
        return plan(seed, label, index, pool_start=0, pool_size=1000, stream=stream, **shape)

    assert draw() == draw()
    for other in (draw(seed=1), draw(label=1), draw(index=1), draw(stream=Stream.TRAIN)):
        assert not np.isin(other.fine[..., 2:], draw().fine[..., 2:]).all()
        assert other != draw()


def test_base_and_sources_are_uniform():
    plans = plan(0, 0, np.arange(30_000), pool_start=10, pool_size=6, tokens=7, width=6, coarse=2, fine=2)
    assert chi_squared(np.bincount(plans.base - 10, minlength=6)) < 20.52  # df 5, p = 0.001
    pairs = [(a, b) for a in range(10, 16) for b in range(10, 16) if a != b]
    for source in (*plans.coarse[..., 0].T, *plans.fine[..., 0].T):
        assert chi_squared(count_pairs(plans.base, source, pairs)) < 58.30  # df 29


def test_spans_are_uniform():
    plans = plan(0, 0, np.arange(30_000), pool_start=0, pool_size=6, tokens=7, width=6, coarse=2, fine=2)
    rows = [(r, s) for r in range(7) for s in range(r + 1, 8)]
    columns = [(u, v) for u in range(6) for v in range(u + 1, 7)]
    assert len(rows) == 28 and len(columns) == 21
    for i in range(2):
        assert chi_squared(count_pairs(*plans.coarse[:, i, 1:].T, rows)) < 55.48  # df 27, p = 0.001
        assert chi_squared(np.bincount(plans.fine[:, i, 1], minlength=7)) < 22.46  # df 6
        assert chi_squared(count_pairs(*plans.fine[:, i, 2:].T, columns)) < 45.31  # df 20


def test_copies_are_independent_of_each_other():
    plans = plan(0, 0, np.arange(30_000), pool_start=0, pool_size=6, tokens=5, width=6, coarse=2, fine=2)
    pairs = [(a, b) for a in range(5) for b in range(5)]
    assert chi_squared(count_pairs(*plans.fine[:, :, 1].T, pairs)) < 51.18  # df 24, p = 0.001
    spans = plans.coarse[..., 1] + plans.coarse[..., 2] * (plans.coarse[..., 2] - 1) // 2
    pairs = [(a, b) for a in range(15) for b in range(15)]
    assert chi_squared(count_pairs(*spans.T, pairs)) < 294.0  # df 224


def test_the_statistic_sees_a_wrong_rule():
    """First r, then s after it, is the obvious mistake: short spans at the end come too often."""
    rng = np.random.default_rng(0)
    r = rng.integers(0, 7, 30_000)
    s = rng.integers(r + 1, 8)
    assert chi_squared(count_pairs(r, s, [(r, s) for r in range(7) for s in range(r + 1, 8)])) > 1000


@pytest.mark.parametrize("n", [1, 2, 77, 768, 2**16, 2**26, 2**31])
def test_span_numbers_are_decoded_exactly(n):
    total = n * (n + 1) // 2
    edges = [k * (k + 1) // 2 + step for k in (n - 1, n // 2, n // 3, 1) for step in (-1, 0, 1)]
    numbers = np.array([j for j in (0, total - 1, *edges) if 0 <= j < total])
    word = [-(-(int(j) << 64) // total) for j in numbers]  # the smallest word that below() turns into j
    first, end = mixing._span(np.array(word, np.uint64), n)
    np.testing.assert_array_equal(end * (end - 1) // 2 + first, numbers)
    assert ((first >= 0) & (first < end) & (end <= n)).all()
    if n < 1000:
        word = [-(-(j << 64) // total) for j in range(total)]
        assert len(set(zip(*(x.tolist() for x in mixing._span(np.array(word, np.uint64), n))))) == total


def test_fixed_plan():
    """Changing this changes every data set that was ever made."""
    drawn = plan(7, 3, 11, pool_start=100, pool_size=50, tokens=77, width=768, coarse=2, fine=3)
    assert drawn.record(0) == {
        "base": 117,
        "coarse": [{"source": 102, "r": 14, "s": 23}, {"source": 104, "r": 32, "s": 52}],
        "fine": [
            {"source": 133, "w": 1, "u": 126, "v": 626},
            {"source": 148, "w": 16, "u": 594, "v": 703},
            {"source": 125, "w": 48, "u": 295, "v": 557},
        ],
    }


@pytest.mark.parametrize(
    "wrong, error, message",
    [
        ({"index": -1}, RecipeError, "^index must be a whole number .* got -1$"),
        ({"coarse": -1}, RecipeError, "^coarse must be at least 0, got -1$"),
        ({"fine": -2}, RecipeError, "^fine must be at least 0, got -2$"),
        ({"tokens": 0}, RecipeError, "^tokens must be at least 1, got 0$"),
        ({"width": 0}, RecipeError, "^width must be at least 1, got 0$"),
        ({"pool_size": [3, 0]}, DataError, "^class 8 has no captions"),
    ],
)
def test_wrong_arguments(wrong, error, message):
    right = {"index": 0, "pool_start": 0, "pool_size": 3, "tokens": 4, "width": 5, "coarse": 1, "fine": 1}
    with pytest.raises(error, match=message):
        plan(0, [7, 8], **(right | wrong))


# MixPlans


def test_a_class_with_one_caption_is_its_base():
    pool = {"pool_start": [0, 4], "pool_size": [4, 1]}
    plans = plan(0, [0, 1], 0, **pool, tokens=3, width=4, coarse=2, fine=3)
    assert plans.mixed().tolist() == [True, False]
    assert plans.record(1) == {"base": 4, "coarse": [], "fine": []}
    embeddings = torch.randn(5, 3, 4)
    assert torch.equal(apply(embeddings, plans)[1], embeddings[4])


def test_records_round_trip():
    rng = np.random.default_rng(3)
    for _ in range(100):
        embeddings, plans = random_case(rng)
        records = [plans.record(i) for i in range(len(plans))]
        back = MixPlans.from_records(records)
        assert [back.record(i) for i in range(len(back))] == records
        assert torch.equal(apply(embeddings, back), apply(embeddings, plans))
        if plans.mixed().any():
            assert back == plans


def test_records_are_plain_and_follow_the_column():
    plans = plan(0, 0, 0, pool_start=0, pool_size=4, tokens=3, width=2, coarse=1, fine=1)
    record = plans.record(-1)
    assert list(record) == ["base", "coarse", "fine"]
    assert list(record["coarse"][0]) == ["source", "r", "s"] and list(record["fine"][0]) == ["source", "w", "u", "v"]
    values = [record["base"], *record["coarse"][0].values(), *record["fine"][0].values()]
    assert {type(value) for value in values} == {int}


GOOD = {"base": 1, "coarse": [{"source": 0, "r": 0, "s": 1}], "fine": []}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"base": 1, "coarse": []}, "mix record 1 must hold .*'fine'"),
        ({"base": 1.5, "coarse": [], "fine": []}, "mix record 1 must hold"),
        ({"base": 1, "coarse": [{"source": 0, "r": 0}], "fine": []}, "mix record 1 must hold .*'s'"),
        (None, "mix record 1 must hold"),
        (
            GOOD | {"coarse": 2 * GOOD["coarse"]},
            "mix record 0 has 1 coarse and 0 fine copies where others have 2 and 0",
        ),
    ],
)
def test_wrong_records(wrong, message):
    with pytest.raises(DataError, match=message):
        MixPlans.from_records([GOOD, wrong])


def test_indexing():
    plans = plan(0, 0, np.arange(10), pool_start=0, pool_size=4, tokens=3, width=2, coarse=1, fine=1)
    assert len(plans) == 10 and len(plans[2:5]) == 3
    assert plans[2:5] == plans[[2, 3, 4]] == plans[np.isin(np.arange(10), [2, 3, 4])]
    assert plans[-1] == plans[9:] and len(plans[3]) == 1
    assert [p.record(0) for p in plans] == [plans.record(i) for i in range(10)]
    assert plans != plans[1:] and plans != "plans"
