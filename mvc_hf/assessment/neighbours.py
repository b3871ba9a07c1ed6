"""Nearest neighbours in features, block by block: memory does not grow with the product of two sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.progress import bar

if TYPE_CHECKING:
    import torch


class Space:
    """Euclidean distances between rows of features, on one device.

    Args:
        block_size: rows that are compared with as many others at a time.
    """

    def __init__(self, block_size: int, device: torch.device) -> None:
        self.block_size, self.device = block_size, device

    def nearest(
        self, queries: np.ndarray, base: np.ndarray, k: int, *, itself: bool = False, what: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of `base` to each query, the nearest first.

        Args:
            queries, base: float32 (n, d) and (m, d); the same where `itself`, and no row is its own neighbour then.
            what: for the bar that says how far it is; none without it.

        Returns:
            Distances float32 (n, k) and rows int64 (n, k) of `base`; k is at most their number.
        """
        import torch

        k = min(k, len(base) - itself)
        distances, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        progress = bar(len(queries), what, " images") if what else None
        for at, query in self._blocks(queries):
            best: Any = None
            for start, other in self._blocks(base):
                found = _squared(query, other)
                if itself and start == at:
                    found.fill_diagonal_(torch.inf)
                values, index = found.topk(min(k, len(other)), largest=False)
                index += start
                if best is not None:
                    values, index = torch.cat([best[0], values], 1), torch.cat([best[1], index], 1)
                    values, order = values.topk(min(k, values.shape[1]), largest=False)
                    index = index.gather(1, order)
                best = values, index
            # Squared distances by products lose what two rows nearly have in common: those few are taken again.
            close = torch.from_numpy(base[best[1].cpu().numpy()]).to(self.device)
            exact, order = (close - query[:, None]).square().sum(2).sort(dim=1, stable=True)
            part = slice(at, at + len(query))
            distances[part] = exact.sqrt().cpu().numpy()
            rows[part] = best[1].gather(1, order).cpu().numpy()
            if progress is not None:
                progress.update(len(query))
        if progress is not None:
            progress.close()
        return distances, rows

    def balls(self, queries: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """In how many balls (centre, radius) each query lies: int64 (n,)."""
        import torch

        found = np.zeros(len(queries), np.int64)
        limits = torch.from_numpy(radii.astype(np.float32)).square().to(self.device)
        for at, query in self._blocks(queries):
            inside = torch.zeros(len(query), dtype=torch.int64, device=self.device)
            for start, centre in self._blocks(centres):
                inside += (_squared(query, centre) <= limits[start : start + len(centre)]).sum(1)
            found[at : at + len(query)] = inside.cpu().numpy()
        return found

    def _blocks(self, values: np.ndarray) -> Iterator[tuple[int, Any]]:
        import torch

        for start in range(0, len(values), self.block_size):
            yield start, torch.from_numpy(values[start : start + self.block_size]).to(self.device)


def _squared(a: Any, b: Any) -> Any:
    """Squared distances of all pairs: (n, m)."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * (a @ b.T)).clamp_(min=0)


def normalised(values: np.ndarray) -> np.ndarray:
    """Rows of length one: distances between them count directions alone, as cosines do."""
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
