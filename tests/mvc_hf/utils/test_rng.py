import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvc_hf.errors import RecipeError
from mvc_hf.utils.rng import Stream, below, normal, words

ADDRESS = st.integers(0, 2**63 - 1)


def numpy_words(seed, stream, label, k, count, first_block=0):
    key = np.array([seed, stream], np.uint64)
    counter = np.array([first_block, k, label, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)


@given(ADDRESS, st.sampled_from(Stream), ADDRESS, ADDRESS, st.integers(0, 30), st.integers(0, 2**40))
def test_words_are_numpys_philox(seed, stream, label, k, count, first_block):
    expected = numpy_words(seed, stream, label, k, count, first_block)
    found = words(seed, stream, label, k, count, first_block=first_block)
    assert found.shape == (1, count) and found.dtype == np.uint64
    np.testing.assert_array_equal(found[0], expected)


def test_words_of_many_addresses():
    rng = np.random.default_rng(0)
    label, k = rng.integers(0, 2**63, (2, 500))
    found = words(3, Stream.NOISE, label, k, 9)
    for i in range(500):
        np.testing.assert_array_equal(found[i], numpy_words(3, Stream.NOISE, label[i], k[i], 9))


def test_words_broadcast_and_empty():
    np.testing.assert_array_equal(words(1, 0, 5, [1, 2], 4), words(1, 0, [5, 5], [1, 2], 4))
    assert words(1, 0, [], [], 4).shape == (0, 4)
    with pytest.raises(ValueError, match="shape"):
        words(1, 0, [[1]], 0, 4)


def test_a_later_block_continues_the_words():
    np.testing.assert_array_equal(words(1, 0, 2, 3, 12)[:, 8:], words(1, 0, 2, 3, 4, first_block=2))


def test_every_part_of_an_address_counts():
    rows = [
        words(*address, 4)[0] for address in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    ]
    assert len(np.unique(rows)) == 20


def test_fixed_words():
    """Changing these changes every data set that was ever made."""
    assert list(Stream) == list(range(20))
    names = "MIX CONDITION NOISE TRAIN TRAIN_NOISE TRAIN_MIX TRAIN_ORDER HOLD_OUT SCHEDULER DECK REPLACE SHARE CAPTION"
    more = "SUBSET CAPTION_LIMIT FOLD WEIGHT VALIDATION ADAPTER EXPORT"
    assert [s.name for s in Stream] == [*names.split(), *more.split()]
    assert words(7, Stream.MIX, 3, 11, 5)[0].tolist() == [
        6589327848421606200,
        15640389165955413796,
        3102415065630409061,
        1707961908576043484,
        1006707907546190528,
    ]


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**63 - 1))
def test_below_is_the_high_half(word, n):
    assert below(np.array([word], np.uint64), n)[0] == word * n >> 64


def test_below_limits():
    word = np.array([0, 2**64 - 1], np.uint64)
    assert below(word, 2**32).tolist() == [0, 2**32 - 1]
    assert below(word, np.array([1, 3])).tolist() == [0, 2]
    assert below(word, 5).dtype == np.int64
    with pytest.raises(ValueError, match="n >= 1"):
        below(word, 0)


def test_normal_is_standard_and_belongs_to_its_address():
    noise = normal(0, Stream.NOISE, 4, np.arange(50), (4, 16, 16))
    assert noise.shape == (50, 4, 16, 16) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert abs(np.corrcoef(noise.reshape(50, -1)) - np.eye(50)).max() < 0.15
    np.testing.assert_array_equal(normal(0, Stream.NOISE, [4, 4], [31, 7], (4, 16, 16)), noise[[31, 7]])
    assert normal(0, Stream.NOISE, [], [], (2,)).shape == (0, 2)


def test_fixed_normals():
    found = normal(7, Stream.NOISE, 3, 11, (4,))[0]
    np.testing.assert_allclose(found, [1.4071642, 0.7476737, 1.6252112, 1.4983243], rtol=1e-6)


@pytest.mark.parametrize("draw", [words, normal])
@pytest.mark.parametrize("wrong", [-1, 2**63, 2**64, 1.5, "1"])
@pytest.mark.parametrize("name", ["seed", "label", "index"])
def test_addresses_out_of_range(draw, wrong, name):
    address = {"seed": 0, "label": 0, "index": 0} | {name: wrong}
    with pytest.raises(RecipeError, match=rf"^{name} must be a whole number from 0 to 2\*\*63 - 1, got {wrong}$"):
        draw(address["seed"], Stream.MIX, address["label"], address["index"], 4 if draw is words else (4,))


def test_one_bad_address_among_good_ones_is_named():
    with pytest.raises(RecipeError, match=r"^index must be .*, got -3$"):
        words(0, Stream.MIX, 0, [1, -3, 2], 4)
