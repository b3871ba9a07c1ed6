"""Do the pictures show what their labels say? Judged by a classifier of the real images, trained in folds."""

from __future__ import annotations

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
        synthetic: float64 (S, C), the mean over the folds.
        temperature: by which the logits were divided, so that confidence on unseen real images is calibrated.
    """

    judge: str
    real: np.ndarray
    synthetic: np.ndarray
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
    real: np.ndarray, labels: np.ndarray, synthetic: np.ndarray, classes: int, folds: np.ndarray, name: str
) -> Judgement:
    """Logistic regression on features; how strongly it is regularised is chosen by the images left out."""
    middle, spread = real.mean(0), real.std(0) + 1e-6
    x, made = (((values - middle) / spread).astype(np.float32) for values in (real, synthetic))
    numbers = range(int(folds.max()) + 1)
    best: tuple[float, Any] | None = None
    with bar(len(STRENGTHS) * len(numbers), "judging labels", " folds") as progress:
        for strength in STRENGTHS:
            seen, unseen = np.zeros((len(made), classes)), np.zeros((len(x), classes))
            found = []
            for fold in numbers:
                out = folds == fold
                weights = _regression(x[~out], labels[~out], classes, strength)
                unseen[out] = _with_bias(x[out]) @ weights
                found.append(_with_bias(made) @ weights)
                progress.update()
            temperature, loss = calibrated(unseen, labels)
            if best is None or loss < best[0]:
                seen = np.mean([softmax(logits / temperature) for logits in found], 0)
                best = (
                    loss,
                    Judgement(
                        f"logistic regression on features of {name}", softmax(unseen / temperature), seen, temperature
                    ),
                )
    assert best is not None
    return best[1]


def by_training(
    trainer: Trainer, pictures: np.ndarray, labels: np.ndarray, synthetic: np.ndarray, folds: np.ndarray
) -> Judgement:
    """A small network, trained anew for each fold."""
    from ..features.classifier import MODEL

    numbers = range(int(folds.max()) + 1)
    unseen, found = np.zeros((len(labels), trainer.classes)), []
    for fold in numbers:
        out = folds == fold
        model = trainer.trained(pictures, labels, np.flatnonzero(~out), f"classifier {fold + 1} of {len(numbers)}")
        unseen[out] = trainer.logits(model, pictures[out])
        found.append(trainer.logits(model, synthetic))
    temperature, _ = calibrated(unseen, labels)
    seen = np.mean([softmax(logits / temperature) for logits in found], 0)
    judge = f"a small network trained on the real images ({MODEL}, {trainer.size}×{trainer.size})"
    return Judgement(judge, softmax(unseen / temperature), seen, temperature)


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
