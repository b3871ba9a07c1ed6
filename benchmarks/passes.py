"""What fewer passes of the U-Net cost in accuracy: steps, guidance, and the interval in which guidance acts.

    python benchmarks/passes.py [-o passes.json] [--seeds 8] [--images-per-class 150] [--budget-seconds 600]

The embedded base is fine-tuned on the embedded images once, as the demo does. Then each setting makes as many images,
and a small convolutional network learns from them: alone, and together with the real ones. All settings get equal
steps of the classifier, and as many networks as there are seeds, which are trained at once as groups of one network.
Accuracy is on the demo's test images, mean and standard deviation over the seeds. Fine-tuning has one seed, so
differences of the size of the standard deviation mean nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.sampling import Guidance
from mvc_hf.generation.generate import generate
from mvc_hf.training.finetune import finetune
from mvc_hf.workflows.demo import FINETUNING, PER_CLASS, assets

SETTINGS: tuple[dict[str, Any], ...] = (
    {"num_inference_steps": 10, "guidance_scale": 6.0},  # the demo's
    {"num_inference_steps": 10, "guidance_scale": 6.0, "guidance_stop": 0.5},
    {"num_inference_steps": 10, "guidance_scale": 6.0, "guidance_start": 0.5},
    {"num_inference_steps": 10, "guidance_scale": 6.0, "guidance_start": 0.2, "guidance_stop": 0.8},
    {"num_inference_steps": 25, "guidance_scale": 6.0},
    {"num_inference_steps": 15, "guidance_scale": 6.0},
    {"num_inference_steps": 6, "guidance_scale": 6.0},
    {"num_inference_steps": 25, "guidance_scale": 6.0, "guidance_start": 0.2, "guidance_stop": 0.8},
    {"num_inference_steps": 10, "guidance_scale": 2.0},
    {"num_inference_steps": 10, "guidance_scale": 1.0},
)
SIDE, BATCH = 28, 64


def pictures(files: list[Path]) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey images (N, 1, 28, 28) in [0, 1], and labels, of Parquet files."""
    import pyarrow.parquet as pq

    rows = [row for file in files for row in pq.read_table(file, columns=["image", "label"]).to_pylist()]
    images = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("L").resize((SIDE, SIDE)) for row in rows]
    stacked = np.stack([np.asarray(image, np.float32) for image in images])[:, None] / 255
    return torch.from_numpy(stacked), torch.tensor([row["label"] for row in rows])


class Networks(torch.nn.Module):
    """So many equal networks side by side, each with weights of its own: convolutions in groups."""

    def __init__(self, count: int, classes: int = 10, width: int = 32):
        super().__init__()
        self.count, layers, channels = count, [], 1
        for out, pooled in ((width, False), (width, True), (2 * width, False), (2 * width, True), (4 * width, False)):
            layers += [
                torch.nn.Conv2d(count * channels, count * out, 3, padding=1, groups=count, bias=False),
                torch.nn.BatchNorm2d(count * out), torch.nn.ReLU(), *[torch.nn.MaxPool2d(2)] * pooled,
            ]  # fmt: skip
            channels = out
        self.body = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1))
        self.head = torch.nn.Conv2d(count * channels, count * classes, 1, groups=count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Images (B, count, H, W), one for each network → (B, count, classes)."""
        return self.head(self.body(x)).flatten(1).unflatten(1, (self.count, -1))


def accuracies(
    images: torch.Tensor, labels: torch.Tensor, test: tuple[torch.Tensor, torch.Tensor], seeds: int, steps: int
) -> np.ndarray:
    """Of each network, in per cent, after so many steps on random batches, with flips and shifts."""
    torch.manual_seed(0)
    device = images.device
    networks = Networks(seeds).to(device)
    optimizer = torch.optim.SGD(networks.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    padded = F.pad(images, (2, 2, 2, 2))
    for _ in range(steps):
        chosen = torch.randint(0, len(images), (BATCH, seeds), device=device)
        top, left = torch.randint(0, 5, (2,)).tolist()
        x = padded[chosen, 0, top : top + SIDE, left : left + SIDE]
        x = torch.where(torch.rand(BATCH, seeds, 1, 1, device=device) < 0.5, x.flip(-1), x)
        loss = F.cross_entropy(networks(x).transpose(1, 2), labels[chosen], reduction="sum") / BATCH
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        rate.step()
    networks.eval()
    with torch.inference_mode():
        right = [
            (networks(x.expand(-1, seeds, -1, -1)).argmax(-1) == y[:, None]).sum(0)
            for x, y in zip(test[0].split(1000), test[1].split(1000))
        ]
    return (100 * torch.stack(right).sum(0) / len(test[1])).cpu().numpy()


def described(setting: dict[str, Any]) -> str:
    text = f"{setting['num_inference_steps']} steps, guidance {setting['guidance_scale']:g}"
    interval = setting.get("guidance_start", 0.0), setting.get("guidance_stop", 1.0)
    return text + (f" from {interval[0]:g} to {interval[1]:g}" if interval != (0.0, 1.0) else "")


def passes_of(setting: dict[str, Any]) -> int:
    options = {name: setting[f"guidance_{name}"] for name in ("start", "stop") if f"guidance_{name}" in setting}
    return Guidance(setting["guidance_scale"], **options).passes_in(0, setting["num_inference_steps"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("passes.json"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1500, help="of the classifier")
    parser.add_argument("--images-per-class", type=int, default=PER_CLASS)
    parser.add_argument("--batch-size", type=int, default=500)
    parser.add_argument("--max-train-steps", type=int, default=FINETUNING["max_train_steps"])
    parser.add_argument("--budget-seconds", type=float, default=3600)
    args = parser.parse_args()
    started = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    real = tuple(part.to(device) for part in pictures([assets() / "real.parquet"]))
    test = tuple(part.to(device) for part in pictures([assets() / "test.parquet"]))

    def line(what: str, passes: int, seconds: float, **arms: np.ndarray) -> dict[str, Any]:
        shown = ", ".join(f"{arm} {a.mean():.2f} ± {a.std(ddof=1):.2f}" for arm, a in arms.items())
        print(f"{what:42} {passes:3} passes, {seconds:6.1f} s: {shown}", flush=True)
        return {"what": what, "passes": passes, "seconds": seconds} | {arm: a.tolist() for arm, a in arms.items()}

    found = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("MVC_HF_CACHE", f"{folder}/cache")
        data = str(assets() / "real.parquet")
        settings = FINETUNING | {"max_train_steps": args.max_train_steps, "dataset": data}
        finetune(Recipe(base=str(assets() / "base"), **settings), f"{folder}/checkpoint")
        print(f"fine-tuned after {time.monotonic() - started:.0f} s", flush=True)
        found.append(line("real images alone", 0, 0.0, real=accuracies(*real, test, args.seeds, args.steps)))
        took = 0.0
        for number, setting in enumerate(SETTINGS):
            began = time.monotonic()
            if args.budget_seconds - (began - started) < 1.5 * took:
                print(f"left out, --budget-seconds are spent: {described(setting)}")
                continue
            recipe = Recipe(
                dataset=data, images_per_class=args.images_per_class, batch_size=args.batch_size, **setting
            )
            generate(recipe, f"{folder}/checkpoint", f"{folder}/{number}")
            seconds = time.monotonic() - began
            made = tuple(
                part.to(device) for part in pictures(sorted(Path(f"{folder}/{number}/data").glob("*.parquet")))
            )
            both = tuple(torch.cat(parts) for parts in zip(real, made))
            alone, combined = (accuracies(*of, test, args.seeds, args.steps) for of in (made, both))
            found.append(line(described(setting), passes_of(setting), seconds, synthetic=alone, combined=combined))
            args.output.write_text(json.dumps({"arguments": sys.argv[1:], "device": str(device), "found": found}))
            took = time.monotonic() - began


if __name__ == "__main__":
    main()
