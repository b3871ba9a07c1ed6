"""A small training script of timm's factories, with the contract of timm's train.py: what the demo trains with.

It is run through the hook as train.py is, so it knows nothing of synthetic images. It has no more than a small
classifier on the CPU needs; for anything else, take timm's own.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from timm import utils
from timm.data import create_dataset, create_loader
from timm.loss import LabelSmoothingCrossEntropy
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from torch.utils.data import Dataset

from mvc_hf.augment.picture_memory import PictureMemory
from mvc_hf.plugins.classifiers.last_epoch import marks  # by its full name: the hook loads this file as a script
from mvc_hf.storage.notes import write_json

parser = argparse.ArgumentParser(description="Train a small classifier, and write its accuracy")
parser.add_argument("data_dir", help="cache folder of the data set")
parser.add_argument("--dataset", required=True, help="as in timm's train.py, with the splits train and test")
parser.add_argument("--output", required=True, help="JSON file of the result")
parser.add_argument("--model", default="wrn_28_2")
parser.add_argument("--model-kwargs", type=json.loads, default={}, help="as JSON")
parser.add_argument("--train-split", default="train")
parser.add_argument("--val-split", default="test", help="read once, after the last epoch")
parser.add_argument("--device", default="cpu")
parser.add_argument("--aa", default=None, help="an augmentation, as in timm's train.py")
parser.add_argument("--num-classes", type=int, required=True)
parser.add_argument("--input-size", type=int, default=28)
parser.add_argument("-b", "--batch-size", type=int, default=32)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--warmup-epochs", type=int, default=2)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--weight-decay", type=float, default=0.05)
parser.add_argument("--smoothing", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=42)


def main() -> None:
    args = parser.parse_args()
    device = torch.device(args.device)
    torch.set_num_threads(1)  # several of these run side by side
    utils.random_seed(args.seed)
    model = create_model(args.model, num_classes=args.num_classes, **args.model_kwargs)
    model = model.to(device, memory_format=torch.channels_last)  # a fifth faster on a CPU

    common = {"name": args.dataset, "root": args.data_dir, "batch_size": args.batch_size, "seed": args.seed}
    train_set = create_dataset(split=args.train_split, is_training=True, **common)
    test_set = create_dataset(split=args.val_split, is_training=False, **common)
    if hasattr(train_set, "real"):  # with synthetic images, which are remembered anyway
        train_set.real = Remembered(train_set.real)
    else:
        train_set = Remembered(train_set)
    size = {"input_size": (3, args.input_size, args.input_size), "device": device}
    size |= {"num_workers": 0, "persistent_workers": False}
    loader = create_loader(
        train_set,
        batch_size=args.batch_size,
        is_training=True,
        scale=(0.7, 1.0),
        color_jitter=None,
        auto_augment=args.aa,
        **size,
    )
    test_loader = create_loader(test_set, batch_size=250, crop_pct=1.0, **size)

    optimizer = create_optimizer_v2(model, opt="adamw", lr=args.lr, weight_decay=args.weight_decay, fused=True)
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=args.epochs,
        warmup_epochs=args.warmup_epochs,
        warmup_lr=args.lr / 100,
        step_on_epochs=False,
        updates_per_epoch=len(loader),
    )
    loss_of = LabelSmoothingCrossEntropy(args.smoothing)
    updates = 0
    for epoch in range(epochs):
        if hasattr(loader.dataset, "set_epoch"):
            loader.dataset.set_epoch(epoch)
        model.train()
        for images, labels in loader:
            optimizer.zero_grad()
            loss_of(model(images), labels).backward()
            optimizer.step()
            updates += 1
            scheduler.step_update(updates)
    right = _right(model, test_loader)
    result = {"top1": 100 * right.float().mean().item(), "updates": updates, "seed": args.seed, "right": marks(right)}
    write_json(Path(args.output), result)


class Remembered(Dataset):
    """Real images that are decoded once: a small set is read in every one of hundreds of epochs."""

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.transform = dataset, None
        self._memory = PictureMemory()
        self._labels: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        image = self._memory.get(row, self._read)
        return (image if self.transform is None else self.transform(image)), self._labels[row]

    def _read(self, row: int) -> Any:
        image, self._labels[row] = self.dataset[row]
        return image


@torch.inference_mode()
def _right(model: torch.nn.Module, loader: Any) -> torch.Tensor:
    """Whether each image was read right, bool (images,)."""
    model.eval()
    return torch.cat([(model(images).argmax(1) == labels).cpu() for images, labels in loader])


if __name__ == "__main__":
    main()
