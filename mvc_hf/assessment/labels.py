"""Do the pictures show what their labels say? Judged by a classifier of the real images, trained in folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.progress import bar
from ..utils.rng import Stream, words

if TYPE_CHECKING:
    from ..features.classifier import Trainer

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)  # weight of the squared weights, beside the mean loss
TEMPERATURES = np.geomspace(0.25, 8, 41)


@dataclass(frozen=True)
class Judgement:
    """Probabilities of the classes.

    Attributes:
        judge: what gave them, in words.
        real: float64 (R, C), each row by the folds that have not seen it.
        others: float64 (n, C) for each other set, the mean over the folds.
        temperature: by which the logits were divided, so that confidence on unseen real images is calibrated.
    """

    judge: str
    real: np.ndarray
    others: list[np.ndarray]
    temperature: float


def folds_of(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each image, int64 (n,): every class is dealt out to the folds in a random order."""
    keys = words(seed, Stream.FOLD, labels, np.arange(len(labels)), 1)[:, 0]
    order = np.lexsort((keys, labels))
    ordered = labels[order]
    place = np.arange(len(labels)) - np.searchsorted(ordered, ordered)
    found = np.empty(len(labels), np.int64)
    found[order] = (place + ordered) % folds  # classes of a few images do not all begin in the first fold
    return found


def by_features(
    real: np.ndarray, labels: np.ndarray, others: Sequence[np.ndarray], classes: int, folds: np.ndarray, name: str
) -> Judgement:
    """Logistic regression on features; the first fold decides how strongly it is regularised.

    Args:
        real: float32 (R, d), labels (R,) and folds (R,) of the real images.
        others: features of other sets.
        name: of the extractor.
    """
    middle, spread = real.mean(0), real.std(0) + 1e-6
    x, *rest = (((values - middle) / spread).astype(np.float32) for values in (real, *others))
    numbers = range(int(folds.max()) + 1)
    with bar(len(STRENGTHS) + len(numbers) - 1, "judging labels", " fits") as progress:

        def fitted(fold: int, strength: float) -> np.ndarray:
            weights = _regression(x[folds != fold], labels[folds != fold], classes, strength)
            progress.update()
            return weights

        def loss(weights: np.ndarray) -> float:
            return calibrated(_with_bias(x[folds == 0]) @ weights, labels[folds == 0])[1]

        tried = {strength: fitted(0, strength) for strength in STRENGTHS}
        strength = min(tried, key=lambda value: loss(tried[value]))
        weights = [tried[strength], *(fitted(fold, strength) for fold in numbers[1:])]
    unseen = np.zeros((len(x), classes))
    for fold in numbers:
        unseen[folds == fold] = _with_bias(x[folds == fold]) @ weights[fold]
    found = [[_with_bias(values) @ w for w in weights] for values in rest]
    return _judgement(f"logistic regression on features of {name}", unseen, labels, found)


def by_training(
    trainer: Trainer, pictures: np.ndarray, labels: np.ndarray, others: Sequence[np.ndarray], folds: np.ndarray
) -> Judgement:
    """A small network, trained anew for each fold; pictures uint8 (n, 3, size, size)."""
    from ..features.classifier import MODEL

    numbers = range(int(folds.max()) + 1)
    unseen: np.ndarray = np.zeros((len(labels), trainer.classes))
    found: list[list[np.ndarray]] = [[] for _ in others]
    for fold in numbers:
        out = folds == fold
        model = trainer.trained(pictures, labels, np.flatnonzero(~out), f"classifier {fold + 1} of {len(numbers)}")
        unseen[out] = trainer.logits(model, pictures[out])
        for logits, other in zip(found, others):
            logits.append(trainer.logits(model, other))
    size = f"{trainer.size}×{trainer.size}"
    return _judgement(f"a small network trained on the real images ({MODEL}, {size})", unseen, labels, found)


def _judgement(judge: str, unseen: np.ndarray, labels: np.ndarray, found: list[list[np.ndarray]]) -> Judgement:
    temperature, _ = calibrated(unseen, labels)
    others = [np.mean([softmax(logits / temperature) for logits in by_fold], 0) for by_fold in found]
    return Judgement(judge, softmax(unseen / temperature), others, temperature)


def calibrated(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The temperature at which logits tell most of the labels (Guo et al., 2017), and the loss there, in nats."""
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        return float(-np.log(np.maximum(softmax(logits / temperature)[rows, labels], 1e-12)).mean())

    losses = [loss(t) for t in TEMPERATURES]
    at = int(np.argmin(losses))
    return float(TEMPERATURES[at]), losses[at]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def confusion(given: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """int64 (C, C): how many images of each label (rows) are read as each class (columns)."""
    return np.bincount(given * classes + found, minlength=classes * classes).reshape(classes, classes)


def _with_bias(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.ones((len(values), 1), values.dtype)], 1)


def _regression(x: np.ndarray, labels: np.ndarray, classes: int, strength: float) -> np.ndarray:
    """Weights float32 (d + 1, C) of multinomial logistic regression, by L-BFGS."""
    import torch

    inputs, wanted = torch.from_numpy(_with_bias(x)), torch.from_numpy(labels)
    weights = torch.zeros(inputs.shape[1], classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weights, wanted) + strength * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach().numpy()
