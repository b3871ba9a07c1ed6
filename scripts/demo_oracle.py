"""What can a classifier that knows Fashion-MNIST read in the demo's images?

    python scripts/demo_oracle.py train    --fashion-mnist DIR -o oracle.pt
    python scripts/demo_oracle.py vae      --fashion-mnist DIR --oracle oracle.pt WORK/vae
    python scripts/demo_oracle.py base     --fashion-mnist DIR --oracle oracle.pt mvc_hf/assets/base
    python scripts/demo_oracle.py split    --fashion-mnist DIR --oracle oracle.pt mvc-demo/synthetic

The oracle is a small network trained on all 60,000 training images: most as they are, some in the looks of the demo's
base, turned to grey, so that it reads what the base draws before it is fine-tuned. It measures, and is a part of
nothing: its weights are not shipped. Its features give a Fréchet distance that is no FID.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_images import read_idx
from demo_looks import CLASS_NAMES, NOUNS, draw_look, render
from torch import nn

SHARE_OF_LOOKS = 0.25  # of a batch
SEED = 0


class Oracle(nn.Module):
    """Three stages of two convolutions. Takes grey images in [0, 1], (N, 1, 28, 28); 128 features."""

    def __init__(self):
        super().__init__()
        layers, before = [], 1
        for width in (32, 64, 128):
            for channels in (before, width):
                layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
            layers.append(nn.MaxPool2d(2))
            before = width
        self.body, self.head = nn.Sequential(*layers), nn.Linear(128, len(CLASS_NAMES))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x * 2 - 1).mean((2, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.dropout(self.features(x), 0.2, self.training))


def grey(pixels: torch.Tensor, size: int = 28) -> torch.Tensor:
    """RGB in [-1, 1], (N, 3, H, W), as grey in [0, 1], (N, 1, size, size), rounded to 256 levels."""
    weights = torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]
    return resize(((pixels.float() + 1) / 2 * weights).sum(1, keepdim=True), size)


def resize(x: torch.Tensor, size: int) -> torch.Tensor:
    """Grey images in [0, 1] by Lanczos, as mvc_hf resizes them."""
    from PIL import Image

    def one(picture: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS))

    pictures = (x[:, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    if pictures.shape[-1] != size:
        pictures = np.stack([one(p) for p in pictures])
    return torch.from_numpy(pictures.astype(np.float32) / 255)[:, None]


def load_set(folder: Path, which: str) -> tuple[np.ndarray, torch.Tensor]:
    """`train` or `t10k`: uint8 (N, 28, 28), and labels."""
    labels = read_idx(folder / f"{which}-labels-idx1-ubyte.gz").astype(np.int64)
    return read_idx(folder / f"{which}-images-idx3-ubyte.gz"), torch.from_numpy(labels)


def as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images.astype(np.float32) / 255)[:, None]


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    (x, y), size = load_set(args.fashion_mnist, "train"), 128
    model = Oracle().to(memory_format=torch.channels_last)
    steps = args.epochs * (len(x) // size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps, pct_start=0.2)
    started = time.time()
    for epoch in range(args.epochs):
        model.train()
        for batch in rng.permutation(len(x))[: len(x) // size * size].reshape(-1, size):
            some = int(SHARE_OF_LOOKS * size)
            drawn = render(x[batch[:some]], [draw_look(rng) for _ in range(some)], 28)
            drawn = ((drawn + 1) / 2).mean(1, keepdim=True)
            whole = F.pad(as_tensor(x[batch[some:]]), (2, 2, 2, 2))
            r, c = rng.integers(0, 5, 2)
            whole = whole[..., r : r + 28, c : c + 28]
            inputs = torch.cat([drawn, whole])
            inputs = torch.where(torch.rand(size)[:, None, None, None] < 0.5, inputs.flip(3), inputs)
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(inputs.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), y[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, {time.time() - started:.0f} s", flush=True)
        torch.save(model.state_dict(), args.output)
    report_real(model, args)


@torch.inference_mode()
def read(model: Oracle, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted labels and features."""
    model.eval()
    features = torch.cat([model.features(part) for part in x.split(500)])
    return model.head(features).argmax(1), features


def per_class(found: torch.Tensor, labels: torch.Tensor) -> str:
    return ", ".join(f"{n} {100 * (found[labels == c] == c).float().mean():.0f}" for c, n in enumerate(NOUNS))


def agreement(found: torch.Tensor, labels: torch.Tensor) -> str:
    return f"{100 * (found == labels).float().mean():.1f} %"


def frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    """Fréchet distance of two sets of features, as if they were normal."""
    a, b = a.double().numpy(), b.double().numpy()
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    roots = np.linalg.eigvals(first @ second).real.clip(0)
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first) + np.trace(second) - 2 * np.sqrt(roots).sum()
    return float(distance)


def report_real(model: Oracle, args: argparse.Namespace) -> None:
    x, y = load_set(args.fashion_mnist, "t10k")
    whole = as_tensor(x)
    print(f"test images, untouched:            {agreement(read(model, whole)[0], y)}")
    found, features = read(model, resize(resize(whole, 32), 28))
    print(f"28 to 32 to 28 pixels:             {agreement(found, y)}   ({per_class(found, y)})")
    rng = np.random.default_rng(SEED)
    drawn = grey(render(x, [draw_look(rng) for _ in x]))
    print(f"in the base's looks, turned grey:  {agreement(read(model, drawn)[0], y)}")
    half = torch.randperm(len(features), generator=torch.Generator().manual_seed(SEED))
    distance = frechet(features[half[:5000]], features[half[5000:]])
    print(f"Fréchet distance of one half of the test images to the other, in the oracle's features: {distance:.3f}")


@torch.inference_mode()
def report_vae(model: Oracle, args: argparse.Namespace) -> None:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(args.path).eval()
    x, y = (part[: args.limit] for part in load_set(args.fashion_mnist, args.judged_on))
    whole = resize(as_tensor(x), 32)
    found, before = read(model, resize(whole, 28))
    print(f"28 to 32 to 28 pixels:  {agreement(found, y)}")
    torch.manual_seed(SEED)
    for kind in ("mode", "sample"):
        out = []
        for part in whole.split(500):
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                posterior = vae.encode(part.expand(-1, 3, -1, -1) * 2 - 1).latent_dist
                decoded = vae.decode(getattr(posterior, kind)()).sample
            out.append(grey(decoded, 32))
        out = torch.cat(out)
        found, after = read(model, resize(out, 28))
        print(
            f"through the VAE ({kind}): {agreement(found, y)}   error {255 * (out - whole).abs().mean():.1f} of 255, "
            f"Fréchet distance {frechet(before, after):.3f}   ({per_class(found, y)})"
        )


@torch.inference_mode()
def report_base(model: Oracle, args: argparse.Namespace) -> None:
    """The base alone, prompted with captions in looks that it has seen, turned to grey."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from PIL import Image

    pipe = StableDiffusionPipeline.from_pretrained(args.path, torch_dtype=torch.float32, safety_checker=None)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    rng = np.random.default_rng(SEED)
    for scale in args.guidance:
        pictures = []
        for c, noun in enumerate(NOUNS):
            looks = [draw_look(rng) for _ in range(args.images)]
            texts = [
                f"This is an image of {CLASS_NAMES[c]}. a photo of a {look.colour} {noun}, {look.words}"
                for look in looks
            ]
            generator = torch.Generator().manual_seed(SEED + c)
            pictures.append(
                pipe(
                    texts, guidance_scale=scale, num_inference_steps=args.steps, generator=generator, output_type="np"
                ).images
            )
        labels = torch.arange(len(NOUNS)).repeat_interleave(args.images)
        pixels = torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2) * 2 - 1
        found, _ = read(model, grey(pixels))
        print(f"base alone, guidance {scale:g}: {agreement(found, labels)}   ({per_class(found, labels)})")
        if args.sheet:
            shown = np.concatenate([np.concatenate(list(p[:16]), 1) for p in pictures])
            sheet = Image.fromarray((shown * 255).round().astype(np.uint8))
            sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(args.sheet)


def report_split(model: Oracle, args: argparse.Namespace) -> None:
    """Agreement with the labels of a synthetic split, and its distance to the test images."""
    from datasets import load_dataset
    from PIL import Image

    files = [str(args.path)] if args.path.is_file() else [str(f) for f in sorted(args.path.glob("data/*.parquet"))]
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(args.cache) if args.cache else None)
    rows = rows.with_format("arrow")[:]
    pictures = [Image.open(io.BytesIO(v["bytes"])).convert("L") for v in rows["image"].to_pylist()]
    x = as_tensor(np.stack([np.asarray(p.resize((28, 28), Image.Resampling.LANCZOS)) for p in pictures]))
    labels = torch.tensor(rows["label"].to_pylist())
    found, features = read(model, x)
    real = read(model, as_tensor(load_set(args.fashion_mnist, "t10k")[0]))[1]
    print(f"label agreement of {len(x)} images: {agreement(found, labels)}   ({per_class(found, labels)})")
    print(f"Fréchet distance to the test images, in the oracle's features: {frechet(features, real):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("train", "real", "vae", "base", "split"))
    parser.add_argument("path", type=Path, nargs="?", help="what is measured")
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="folder of the four idx.gz files")
    parser.add_argument("--oracle", type=Path, help="its weights, as `train` leaves them")
    parser.add_argument("-o", "--output", type=Path, help="of train")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=50, help="of each class that the base draws")
    parser.add_argument("--guidance", type=float, nargs="+", default=(2.0,))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--judged-on", choices=("t10k", "train"), default="t10k", help="what goes through the VAE")
    parser.add_argument("--limit", type=int, default=10_000, help="the first N of them")
    parser.add_argument("--sheet", type=Path, help="PNG of what the base draws")
    parser.add_argument("--cache", type=Path, help="cache folder of datasets")
    parser.add_argument("--bf16", action="store_true", help="the VAE in bfloat16: faster where the processor has it")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_intermixed_args()
    torch.set_num_threads(args.threads)
    if args.task == "train":
        return train(args)
    model = Oracle()
    model.load_state_dict(torch.load(args.oracle, weights_only=True))
    report = {"real": report_real, "vae": report_vae, "base": report_base, "split": report_split}[args.task]
    return report(model, args)


if __name__ == "__main__":
    main()
