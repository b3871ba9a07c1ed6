"""Algorithm 1 of "Dataset Augmentation by Mixing Visual Concepts" (Al Rahat and Venkateswara), in two halves.

`plan` draws which spans come from whose caption; it needs no embeddings, only addresses and the sizes of the pools.
`apply` carries plans out. The split is what lets a data set store how each of its rows was mixed, and make one again.

Notation of the paper: E = {e_1..e_K}, each m×d (m tokens of width d), are the caption embeddings of one class. All
classes' captions lie in one array, each class's pool in a range of its own; every index here is a row of that array.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import DataError, RecipeError
from .utils.rng import WORDS_PER_BLOCK, Integers, Stream, below, words

__all__ = ["MixPlans", "apply", "plan", "row_map"]

# Every copy owns one block of four words, and coarse and fine copies count theirs from places that never meet. So P
# leaves base and fine copies alone, Q leaves base and coarse copies alone, and more copies only follow the first ones.
_BASE_BLOCK, _COARSE_BLOCK, _FINE_BLOCK = 0, 1, 2**32

_COARSE = ("source", "r", "s")
_FINE = ("source", "w", "u", "v")
_Mix = tuple[int, Sequence[tuple[int, ...]], Sequence[tuple[int, ...]]]  # base, coarse, fine


@dataclass(frozen=True, eq=False)
class MixPlans:
    """B mixes with P coarse and Q fine copies each, in the order in which they are made.

    A class with one caption has nobody to copy from. Its mixes copy the first row and element of their own base onto
    themselves, which changes nothing and keeps the arrays rectangular; `record` shows them as mixes without copies.

    Attributes:
        base: int64 (B,), the caption that a mix starts from.
        coarse: int64 (B, P, 3) of (source, r, s): rows [r, s) come from caption source.
        fine: int64 (B, Q, 4) of (source, w, u, v): columns [u, v) of row w come from caption source.
    """

    base: NDArray[np.int64]
    coarse: NDArray[np.int64]
    fine: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, rows: Any) -> MixPlans:
        """The mixes at a slice, an index or mask array, or one integer, again as MixPlans."""
        if isinstance(rows, (int, np.integer)):
            rows = [range(len(self))[rows]]
        return MixPlans(self.base[rows], self.coarse[rows], self.fine[rows])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MixPlans):
            return NotImplemented
        pairs = (self.base, other.base), (self.coarse, other.coarse), (self.fine, other.fine)
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def mixed(self) -> NDArray[np.bool_]:
        """bool (B,): whether a mix takes anything from a caption other than its base."""
        sources = np.concatenate([self.coarse[..., 0], self.fine[..., 0]], axis=1)
        return (sources != self.base[:, None]).any(axis=1)

    def record(self, i: int) -> dict[str, Any]:
        """Mix i as the plain dictionary that the `mix` column of a synthetic data set holds."""
        mix = self[i]
        coarse, fine = (mix.coarse[0], mix.fine[0]) if mix.mixed()[0] else ((), ())
        return {
            "base": int(mix.base[0]),
            "coarse": [dict(zip(_COARSE, map(int, copy))) for copy in coarse],
            "fine": [dict(zip(_FINE, map(int, copy))) for copy in fine],
        }

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> MixPlans:
        """The inverse of `record`: dictionaries that all have the same P and Q, or no copies at all.

        Raises:
            DataError: a field is missing or not a whole number, or numbers of copies differ.
        """
        mixes: list[_Mix] = [_parse(i, record) for i, record in enumerate(records)]
        p = max((len(coarse) for _, coarse, _ in mixes), default=0)
        q = max((len(fine) for _, _, fine in mixes), default=0)
        for i, (base, coarse, fine) in enumerate(mixes):
            if not coarse and not fine:
                mixes[i] = base, p * [(base, 0, 1)], q * [(base, 0, 0, 1)]
            elif (len(coarse), len(fine)) != (p, q):
                raise DataError(
                    f"mix record {i} has {len(coarse)} coarse and {len(fine)} fine copies where others have {p} and "
                    f"{q}; read records of different recipes apart"
                )
        shapes = (len(mixes),), (len(mixes), p, len(_COARSE)), (len(mixes), q, len(_FINE))
        return cls(*(np.array([m[j] for m in mixes], np.int64).reshape(shape) for j, shape in enumerate(shapes)))


def plan(
    seed: int,
    label: Integers,
    index: Integers,
    *,
    pool_start: Integers,
    pool_size: Integers,
    tokens: int,
    width: int,
    coarse: int,
    fine: int,
    stream: Stream = Stream.MIX,
) -> MixPlans:
    """Draw the base caption and all spans of B mixes (every random choice of Algorithm 1).

    A plan depends on its own address, pool and (tokens, width) alone: not on the batch it is drawn in, and each of its
    copies not on how many others there are.

    Args:
        seed: int in [0, 2**63).
        label: int or int array (B,), class of each mix, part of its address.
        index: int or int array (B,), number of the mix within its class, part of its address.
        pool_start: int or int array (B,), first caption of the class.
        pool_size: int or int array (B,), K, how many captions the class has.
        tokens: m, rows of an embedding.
        width: d, columns of an embedding.
        coarse: P, copies of row spans.
        fine: Q, copies of column spans of one row.
        stream: purpose of the draw, so that mixes for training are not those for generating.

    Returns:
        MixPlans of length B.

    Raises:
        RecipeError: an address outside [0, 2**63), coarse or fine below 0, tokens or width below 1.
        DataError: a class without captions.
    """
    for name, value, least in (("tokens", tokens, 1), ("width", width, 1), ("coarse", coarse, 0), ("fine", fine, 0)):
        if value < least:
            raise RecipeError(f"{name} must be at least {least}, got {value}")
    label, index, pool_start, pool_size = np.broadcast_arrays(
        *map(np.atleast_1d, (label, index, pool_start, pool_size))
    )
    if (pool_size < 1).any():
        raise DataError(f"class {label[pool_size < 1][0]} has no captions to mix; caption it or leave the class out")

    def draw(first_block: int, copies: int) -> NDArray[np.uint64]:
        drawn = words(seed, stream, label, index, WORDS_PER_BLOCK * copies, first_block=first_block)
        return np.moveaxis(drawn.reshape(len(label), copies, WORDS_PER_BLOCK), -1, 0)

    base = below(draw(_BASE_BLOCK, 1)[0], pool_size[:, None])
    start, size = pool_start[:, None], pool_size[:, None]

    which, rows, _, _ = draw(_COARSE_BLOCK, coarse)
    coarse_copies = np.stack([start + _other(which, base, size), *_span(rows, tokens)], axis=-1)

    which, row, columns, _ = draw(_FINE_BLOCK, fine)
    fine_copies = np.stack([start + _other(which, base, size), below(row, tokens), *_span(columns, width)], axis=-1)

    base = (start + base)[:, 0]
    alone = pool_size == 1
    coarse_copies[alone] = _self_copy(base[alone], 0, 1)
    fine_copies[alone] = _self_copy(base[alone], 0, 0, 1)
    return MixPlans(base, coarse_copies, fine_copies)


def row_map(plans: MixPlans, tokens: int) -> NDArray[np.int64]:
    """All P coarse copies as one map: token row t of mix b is row t of caption row_map[b, t]. int64 (B, tokens).

    A row belongs to the last copy that covers it. Any span is the union of two of length 2^j (the sparse table of
    range maxima, filled backwards): each copy is noted twice, whatever its length, and notes of length 2^j are then
    handed down to their halves. So time hardly grows with P.
    """
    mixes, p = plans.coarse.shape[:2]
    first, end = plans.coarse[..., 1], plans.coarse[..., 2]
    level = np.frexp(end - first)[1] - 1  # 2^level is the largest power of two in the span
    latest = np.zeros((tokens.bit_length(), mixes, tokens), np.min_scalar_type(p))  # 0 is the base, 1..P the copies
    rows = tokens * (mixes * level + np.arange(mixes)[:, None])
    noted = np.stack([rows + first, rows + end - (1 << level)], axis=-1)
    latest.reshape(-1)[noted] = np.arange(1, p + 1, dtype=latest.dtype)[:, None]  # later copies over earlier ones
    for upper, lower, half in reversed(list(zip(latest[1:], latest, 1 << np.arange(len(latest) - 1)))):
        np.maximum(lower, upper, out=lower)
        np.maximum(lower[:, half:], upper[:, :-half], out=lower[:, half:])
    sources = np.concatenate([plans.base[:, None], plans.coarse[..., 0]], axis=1)
    return np.take_along_axis(sources, latest[0].astype(np.int64), axis=1)


def apply(embeddings: torch.Tensor, plans: MixPlans, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """Mix embeddings as planned: the prompt embeddings ẽ of Algorithm 1.

    Base and coarse copies collapse into one map of rows, so each row is written once whatever P is; fine copies follow
    in their order. Only rows that a plan names are read, so embeddings may be a mapped file larger than the memory.

    Args:
        embeddings: contiguous tensor (K, m, d) of any dtype, on any device.
        plans: B mixes of these captions.
        out: contiguous tensor (B, m, d) to write to, of the same dtype and device. In a loop, reuse one: a new one
            of 30 MB can cost more in page faults than the mixing.

    Returns:
        Tensor (B, m, d) like embeddings, without gradient.

    Raises:
        DataError: a plan names a caption, row or column that the embeddings do not have.
    """
    captions, tokens, width = embeddings.shape
    _check(plans, captions, tokens, width)
    embeddings = embeddings.detach()
    if out is None:
        out = embeddings.new_empty(len(plans), tokens, width)
    elif (out.shape, out.dtype) != ((len(plans), tokens, width), embeddings.dtype):
        raise ValueError(f"out must be {len(plans)}×{tokens}×{width} {embeddings.dtype}, got {out.shape} {out.dtype}")
    mix = _mix_by_span if embeddings.device.type == "cpu" else _mix_by_batch
    mix(out, embeddings, plans)
    return out


def _other(words: NDArray[np.uint64], own: NDArray[np.int64], n: NDArray[np.integer]) -> NDArray[np.int64]:
    """Uniform over [0, n) without own. Where n is 1 there is no such number; the caller replaces what comes out."""
    other = below(words, np.maximum(n - 1, 1))
    return other + (other >= own)


def _span(words: NDArray[np.uint64], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Uniform over the n(n+1)/2 non-empty half-open spans in [0, n): int64 arrays (first, end).

    Spans are numbered by their end: number j = end(end-1)/2 + first, so end is the largest with end(end-1)/2 <= j.
    """
    j = below(words, n * (n + 1) // 2)
    end = ((1 + np.sqrt(1 + 8.0 * j)) / 2).astype(np.int64)
    end -= end * (end - 1) // 2 > j  # float64 may round across a whole number; integers decide
    end += end * (end + 1) // 2 <= j
    return j - end * (end - 1) // 2, end


def _self_copy(base: NDArray[np.int64], *span: int) -> NDArray[np.int64]:
    """A copy of every base onto itself, (len(base), 1, 1 + len(span)), to be repeated for all P or Q."""
    return np.stack(np.broadcast_arrays(base, *span), axis=-1)[:, None]


def _mix_by_batch(out: torch.Tensor, embeddings: torch.Tensor, plans: MixPlans) -> None:
    """One gather, then each fine copy for all mixes at once: on an accelerator, few launches are what counts."""
    _, tokens, width = embeddings.shape
    source, target = embeddings.view(-1, width), out.view(-1, width)
    rows, fine = (torch.tensor(x, device=source.device) for x in (_source_rows(plans, tokens), plans.fine.copy()))
    torch.index_select(source, 0, rows, out=target)
    first_row = tokens * torch.arange(len(plans), device=source.device)
    column = torch.arange(width, device=source.device)
    for caption, w, u, v in fine.permute(1, 2, 0):
        inside = (u[:, None] <= column) & (column < v[:, None])
        chosen = torch.where(inside, source[caption * tokens + w], target[first_row + w])
        target.index_copy_(0, first_row + w, chosen)


def _mix_by_span(out: torch.Tensor, embeddings: torch.Tensor, plans: MixPlans) -> None:
    """The same as contiguous copies: on a CPU they outrun a gather, which pays for each row, and masks of whole rows.

    Rows that lie together in both tensors move together, four stretches a mix for P = 2 and no more than nine for
    P = 32, so the time levels off as P grows.
    """
    _, tokens, width = embeddings.shape
    rows = _source_rows(plans, tokens)
    stretch = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    coarse = stretch, rows[stretch], 0, width * np.diff(stretch, append=len(rows))

    caption, w, u, v = np.moveaxis(plans.fine, -1, 0)
    first_row = tokens * np.arange(len(plans))[:, None]
    fine = first_row + w, caption * tokens + w, u, v

    copies = np.concatenate([np.broadcast_arrays(*map(np.ravel, part)) for part in (coarse, fine)], axis=1)
    mix_by_mix = np.argsort(copies[0] // tokens, kind="stable")  # fine copies while their rows are still in the cache
    to_row, of_row, u, v = copies[:, mix_by_mix]
    to, of = to_row * width, of_row * width
    _copy(out, embeddings, to + u, to + v, of + u, of + v)


def _source_rows(plans: MixPlans, tokens: int) -> NDArray[np.int64]:
    """Base and coarse copies as the source row of every target row, captions end to end. int64 (B·m,)"""
    return (row_map(plans, tokens) * tokens + np.arange(tokens)).ravel()


def _copy(target: torch.Tensor, source: torch.Tensor, *edges: NDArray[np.int64]) -> None:
    """target[a:b] = source[c:d] for every (a, b, c, d) of four arrays in turn, counted in elements of flat tensors."""
    size = target.element_size()
    to, of = (memoryview(x.view(-1).view(torch.uint8).numpy()) for x in (target, source))  # any dtype as bytes
    for a, b, c, d in zip(*((edge * size).tolist() for edge in edges)):
        to[a:b] = of[c:d]


def _check(plans: MixPlans, captions: int, tokens: int, width: int) -> None:
    """Out-of-range indices would read foreign memory on some devices and wrap around silently on others."""
    c, f = plans.coarse, plans.fine
    spans = (c[..., 1], c[..., 2], tokens), (f[..., 1], f[..., 1] + 1, tokens), (f[..., 2], f[..., 3], width)
    sources = ((s, s + 1, captions) for s in (plans.base, c[..., 0], f[..., 0]))
    if not all(((first >= 0) & (first < end) & (end <= n)).all() for first, end, n in (*sources, *spans)):
        raise DataError(
            f"a mix reaches outside of the {captions} caption embeddings of {tokens}×{width}; "
            "use the captions and the text encoder that it was planned for"
        )


def _parse(i: int, record: Mapping[str, Any]) -> _Mix:
    """One record as (base, coarse tuples, fine tuples)."""
    try:
        coarse = [tuple(index(copy[name]) for name in _COARSE) for copy in record["coarse"]]
        fine = [tuple(index(copy[name]) for name in _FINE) for copy in record["fine"]]
        return index(record["base"]), coarse, fine
    except (KeyError, TypeError) as error:
        raise DataError(
            f"mix record {i} must hold base, coarse {_COARSE} and fine {_FINE} as whole numbers: {error!r}"
        ) from None
