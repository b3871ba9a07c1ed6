"""A small network of timm's, trained here on the real images: a judge of labels, and a last resort for features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.files import fingerprint
from ..storage.files import cache_root
from ..storage.integrity import is_as_recorded, record
from ..storage.notes import atomic_write
from ..utils.progress import bar
from .extractor import CLASSIFIER, Extractor

if TYPE_CHECKING:
    import torch

MODEL = "resnet10t"
SHAPE = {"channels": [32, 64, 128, 128], "stem_width": 16}
BATCH, RATE, DECAY, SMOOTHING, SHIFT = 64, 3e-3, 0.05, 0.1, 0.125
PASSES, FEWEST, MOST = 30, 300, 3000
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True)
class Trainer:
    """Trains the same small network on different images.

    Attributes:
        content: fingerprint of the real images, for the cache.
        steps: updates; None for a number that follows that of the images.
    """

    content: str
    classes: int
    size: int
    steps: int | None
    seed: int
    device: torch.device

    def trained(self, pictures: np.ndarray, labels: np.ndarray, rows: np.ndarray, what: str) -> Any:
        """A network that has seen some rows; from the cache where it has been trained before.

        Args:
            pictures: uint8 (n, 3, size, size), labels int64 (n,), of all real images.
        """
        from safetensors.torch import load_file, save_file

        identity = {
            "content": self.content, "rows": fingerprint({"rows": rows.tolist()}), "model": [MODEL, SHAPE],
            "training": [BATCH, RATE, DECAY, SMOOTHING, SHIFT, self._steps(len(rows))], "size": self.size,
            "classes": self.classes, "seed": self.seed,
        }  # fmt: skip
        path = cache_root() / "classifiers" / f"{fingerprint(identity)}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        model = self._model()
        if is_as_recorded(path):
            model.load_state_dict(load_file(path))
            return model.eval().to(self.device)
        self._train(model.to(self.device), pictures, labels, rows, what)
        state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
        with atomic_write(path, shared=True) as temporary:
            save_file(state, temporary)
            record(path, temporary)
        return model.eval()

    def extractor(self, model: Any) -> Extractor:
        """The network without its head, as what images are seen through."""
        import torch

        class Headless(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = model

            def forward(self, values: Any) -> Any:
                return self.inner.forward_head(self.inner.forward_features(values), pre_logits=True)

        digest = fingerprint({k: float(v.double().sum()) for k, v in model.state_dict().items()})
        identity = {"model": CLASSIFIER, "weights": digest, "size": self.size}
        name = f"a small classifier trained on the real images ({MODEL}, {self.size}×{self.size})"
        return Extractor(name, identity, self.size, self.device, Headless().eval(), MEAN, STD)

    def logits(self, model: Any, pictures: np.ndarray) -> np.ndarray:
        """float32 (n, classes)."""
        import torch

        with torch.inference_mode():
            parts = [model(self._values(pictures[i : i + 256])).float().cpu() for i in range(0, len(pictures), 256)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.classes), np.float32)

    def _steps(self, images: int) -> int:
        return self.steps or int(min(MOST, max(FEWEST, PASSES * images / BATCH)))

    def _model(self) -> Any:
        import timm
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return timm.create_model(MODEL, num_classes=self.classes, **SHAPE)

    def _values(self, pictures: np.ndarray) -> Any:
        import torch

        values = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device).float() / 255
        return (values - MEAN[0]) / STD[0]

    def _train(self, model: Any, pictures: np.ndarray, labels: np.ndarray, rows: np.ndarray, what: str) -> None:
        """AdamW, one cycle of the rate, pictures shifted by up to an eighth."""
        import torch

        steps = self._steps(len(rows))
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.2)
        rng = np.random.default_rng([self.seed, len(rows)])
        order = _endless(rows, rng)
        reach = int(self.size * SHIFT)
        model.train()
        with bar(steps, what, " steps") as progress:
            for _ in range(steps):
                chosen = next(order)
                values = self._values(pictures[chosen])
                values = torch.nn.functional.pad(values, (reach,) * 4, mode="replicate")
                y, x = rng.integers(0, 2 * reach + 1, 2)
                values = values[..., y : y + self.size, x : x + self.size]
                wanted = torch.from_numpy(labels[chosen]).to(self.device)
                loss = torch.nn.functional.cross_entropy(model(values), wanted, label_smoothing=SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update()


def _endless(rows: np.ndarray, rng: np.random.Generator) -> Any:
    """Batches of rows, all of them once in each pass; never of one image, which batch norm cannot take."""
    size = max(2, min(BATCH, len(rows)))
    while True:
        mixed = rng.permutation(np.resize(rows, max(len(rows), size)))
        for start in range(0, len(mixed) - size + 1, size):
            yield mixed[start : start + size]


def size_for(side: int) -> int:
    """The side at which the small network sees pictures of a side: 32 or 64."""
    return 32 if side <= 40 else 64
