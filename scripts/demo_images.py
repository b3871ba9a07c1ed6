"""Fashion-MNIST, divided between the demo, its base, and those who choose settings."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from demo_looks import CLASS_NAMES, Describer, caption, measure

RESERVED_PER_CLASS, TEST_IMAGES, BASE_IMAGES, VALIDATION_IMAGES = 100, 2_000, 50_000, 4_000


def read_idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


class Images:
    """Fashion-MNIST, split: the demo's real images, 50,000 others for the base, 2,000 test images.

    For choosing settings there are `validation`, 4,000 training images that nothing else uses. The base never sees the
    100 images of each class from which the real ones are taken, so their number can be changed without a new base. The
    demo has the first draw of these; the next ones, of as many others, say what it owes to the draw. Where the folder
    has no test images, `test` is empty: the base does not need them.
    """

    def __init__(self, folder: Path, seed: int, real_per_class: int = RESERVED_PER_CLASS, draw: int = 0):
        x, y = read_idx(folder / "train-images-idx3-ubyte.gz"), read_idx(folder / "train-labels-idx1-ubyte.gz")
        order = np.random.default_rng(seed).permutation(len(x))
        members = [order[y[order] == c][:RESERVED_PER_CLASS] for c in range(len(CLASS_NAMES))]
        if (draw + 1) * real_per_class > RESERVED_PER_CLASS:
            raise SystemExit(f"{RESERVED_PER_CLASS} images of a class have no draw {draw} of {real_per_class}")
        real = np.concatenate([rows[draw * real_per_class :][:real_per_class] for rows in members])
        rest = order[~np.isin(order, np.concatenate(members))]
        base, validation = rest[:BASE_IMAGES], rest[BASE_IMAGES:][:VALIDATION_IMAGES]
        assert not set(base) & set(real) and not set(validation) & (set(base) | set(real))
        self.real, self.base, self.validation = ((x[rows], y[rows]) for rows in (real, base, validation))
        self.test = self._test(folder, seed + 1)
        self.measured = measure(self.base[0])
        self.describer = Describer.fit(self.measured, self.base[1])

    @staticmethod
    def _test(folder: Path, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if not (folder / "t10k-images-idx3-ubyte.gz").exists():
            return np.empty((0, 28, 28), np.uint8), np.empty(0, np.uint8)
        x, y = read_idx(folder / "t10k-images-idx3-ubyte.gz"), read_idx(folder / "t10k-labels-idx1-ubyte.gz")
        test = np.random.default_rng(seed).permutation(len(x))[:TEST_IMAGES]
        return x[test], y[test]


def export_images(images: Images, folder: Path, test: tuple[np.ndarray, np.ndarray]) -> None:
    """Real and test images as Parquet: 28×28, untouched, with the captions that their measurements give."""
    from datasets import ClassLabel, Dataset, Features, Image, Value
    from PIL import Image as PIL

    features = Features({"image": Image(), "label": ClassLabel(names=list(CLASS_NAMES)), "caption": Value("string")})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in (("real", images.real), ("test", test)):
        rows = {"image": [], "label": y.tolist(), "caption": []}
        for picture, label, value in zip(x, y, measure(x)):
            buffer = io.BytesIO()
            PIL.fromarray(picture).save(buffer, "PNG", optimize=True)
            rows["image"].append({"bytes": buffer.getvalue(), "path": None})
            rows["caption"].append(caption(images.describer.words(value, label), label))
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{name}.parquet")
