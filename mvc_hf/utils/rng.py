"""Random numbers that belong to an address instead of to a moment.

A sample has an address: (seed, label, index). Whatever is drawn for it is a pure function of that address and of a
`Stream`, the purpose of the draw. No generator is carried along, so a batch size, a process count, a restart or
another machine changes nothing.

The function is Philox4x64-10 of Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011): a keyed
bijection of 256-bit counters. Seed and stream are the key, and block, index and label are words of the counter, so two
addresses can neither collide nor overlap, and nothing needs hashing.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..errors import RecipeError

__all__ = ["WORDS_PER_BLOCK", "Integers", "Stream", "below", "normal", "words"]

Integers = int | np.integer | NDArray[np.integer]  # one, or an array of them

WORDS_PER_BLOCK = 4  # a Philox4x64 counter yields four 64-bit words

_LIMIT = 2**63  # Parquet and numpy store addresses as int64
_LOW32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_ROUNDS = 10


class Stream(IntEnum):
    """What a draw is for. The numbers are part of every published data set's randomness: add to them, never change."""

    MIX = 0
    CONDITION = 1
    NOISE = 2
    TRAIN = 3
    TRAIN_NOISE = 4
    TRAIN_MIX = 5
    TRAIN_ORDER = 6
    HOLD_OUT = 7
    SCHEDULER = 8
    DECK = 9
    REPLACE = 10
    SHARE = 11
    CAPTION = 12
    SUBSET = 13
    CAPTION_LIMIT = 14
    FOLD = 15
    WEIGHT = 16
    VALIDATION = 17
    ADAPTER = 18
    EXPORT = 19


def words(
    seed: int, stream: int, label: Integers, index: Integers, count: int, *, first_block: int = 0
) -> NDArray[np.uint64]:
    """Uniform 64-bit words of many addresses at once.

    Word i of an address is word i % 4 of Philox(key=(seed, stream), counter=(block, index, label, 0)) with block =
    first_block + i // 4 + 1, the least significant counter word first. The + 1 is numpy's: its generator counts up
    before it draws, so a row equals
    `np.random.Philox(key=[seed, stream], counter=[first_block, index, label, 0]).random_raw(count)`.

    Args:
        seed: int in [0, 2**63).
        stream: a `Stream`.
        label: int or int array (B,), each in [0, 2**63).
        index: int or int array (B,), each in [0, 2**63); broadcast against label.
        count: words for each address.
        first_block: block of four words to start at, so that one purpose can hold several independent runs of words.

    Returns:
        uint64 array (B, count); B is 1 where label and index are both scalars.

    Raises:
        RecipeError: seed, label or index is not a whole number in [0, 2**63).
    """
    label, index = _addresses(label, index)
    blocks = -(-count // WORDS_PER_BLOCK)
    block = np.arange(first_block + 1, first_block + 1 + blocks, dtype=np.uint64)
    shape = len(label), blocks
    counter = [np.broadcast_to(c, shape) for c in (block, index[:, None], label[:, None], np.zeros(1, np.uint64))]
    rows = np.stack(_philox(counter, key=(_seed(seed), int(stream))), axis=-1)
    return rows.reshape(len(label), blocks * WORDS_PER_BLOCK)[:, :count]


def below(words: NDArray[np.uint64], n: Integers) -> NDArray[np.int64]:
    """Turn uniform words into uniform integers in [0, n): the high half of words * n.

    Every result has probability floor(2**64 / n) / 2**64 or one 2**64th more, so its relative error is below
    n / 2**64: under 3e-10 for n = 2**32. One word always gives one integer; rejection would shift all later words.

    Args:
        words: uint64 array.
        n: int or int array in [1, 2**63), broadcast against words.

    Returns:
        int64 array of the broadcast shape.
    """
    n = np.asarray(n)
    if (n < 1).any():
        raise ValueError(f"below() needs n >= 1, got {n.min()}")
    return _multiply_high(words, n.astype(np.uint64)).astype(np.int64)


def normal(seed: int, stream: int, label: Integers, index: Integers, shape: Sequence[int]) -> NDArray[np.float32]:
    """Standard normal noise for many addresses.

    Row b comes from numpy's own ziggurat over Philox(key=(seed, stream), counter=(0, index, label, 0)), the words that
    `words` returns for that address: give noise a stream of its own. It takes about one word for two normals and only
    the lowest counter word moves, so rows of another index never overlap. numpy may one day change `standard_normal`
    between its own versions (NEP 19); a test here pins the present values.

    Args:
        seed, stream, label, index: as in `words`.
        shape: shape of one address's noise, e.g. (4, 64, 64) latents.

    Returns:
        float32 array (B, *shape).

    Raises:
        RecipeError: as `words`.
    """
    label, index = _addresses(label, index)
    key = np.array([_seed(seed), int(stream)], np.uint64)
    noise = np.empty((len(label), *shape), np.float32)
    for row, y, i in zip(noise, label, index):
        bits = np.random.Philox(key=key, counter=np.array([0, i, y, 0], np.uint64))
        row[...] = np.random.Generator(bits).standard_normal(shape, dtype=np.float32)
    return noise


def _philox(counter: Sequence[NDArray[np.uint64]], key: tuple[int, int]) -> tuple[NDArray[np.uint64], ...]:
    """Ten rounds of Philox4x64 over four equally shaped uint64 arrays; returns the four output words."""
    c0, c1, c2, c3 = counter
    for i in range(_ROUNDS):
        k0, k1 = (np.uint64((k + i * weyl) % 2**64) for k, weyl in zip(key, _WEYL))
        high0, low0 = _multiply_high(c0, _MULTIPLIERS[0]), c0 * _MULTIPLIERS[0]
        high1, low1 = _multiply_high(c2, _MULTIPLIERS[1]), c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return c0, c1, c2, c3


def _multiply_high(a: NDArray[np.uint64], b: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """Upper 64 bits of the 128-bit product of uint64s, from four 32-bit products; no partial sum can overflow."""
    a_high, a_low = a >> _SHIFT32, a & _LOW32
    b_high, b_low = b >> _SHIFT32, b & _LOW32
    middle = a_high * b_low + (a_low * b_low >> _SHIFT32)
    return a_high * b_high + (middle >> _SHIFT32) + (a_low * b_high + (middle & _LOW32) >> _SHIFT32)


def _seed(seed: int) -> int:
    return int(_whole("seed", seed))


def _addresses(label: Integers, index: Integers) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """label and index as two uint64 arrays of one shape (B,)."""
    labels, indices = np.broadcast_arrays(np.atleast_1d(_whole("label", label)), np.atleast_1d(_whole("index", index)))
    if labels.ndim != 1:
        raise ValueError(f"label and index must be scalars or of shape (B,), got {labels.shape}")
    return labels, indices


def _whole(name: str, value: Integers) -> NDArray[np.uint64]:
    """value as uint64, if it is whole and in [0, 2**63)."""
    array = np.asarray(value)
    if array.size == 0:
        return array.astype(np.uint64)
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() >= _LIMIT:
        wrong = next((v for v in array.flat if not _is_address(v)), value)
        raise RecipeError(f"{name} must be a whole number from 0 to 2**63 - 1, got {wrong!s}")
    return array.astype(np.uint64)


def _is_address(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and bool(0 <= value < _LIMIT)
