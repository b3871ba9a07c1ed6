"""A training script with the contract of timm's train.py and nothing more: what the hook must work with.

It trains nothing worth having. Of each epoch it writes which images and labels its loader gave, and the learning
rates: every image of the tests has one grey value, which says which image it is.
"""

import argparse
import inspect
import json
import os

import torch
import yaml
from timm.data import AugMixDataset, FastCollateMixup, Mixup, create_dataset, create_loader
from timm.scheduler import create_scheduler_v2, scheduler_kwargs

config_parser = argparse.ArgumentParser(add_help=False)
config_parser.add_argument("-c", "--config", default="")

parser = argparse.ArgumentParser(description="a small training script")
parser.add_argument("data_dir")
parser.add_argument("--dataset", default="")
parser.add_argument("--train-split", default="train")
parser.add_argument("--val-split", default="validation")
parser.add_argument("--dataset-download", action="store_true")
parser.add_argument("--class-map", default="")
parser.add_argument("--target-key", default=None)
parser.add_argument("--output", default="out")
parser.add_argument("-b", "--batch-size", type=int, default=4)
parser.add_argument("-j", "--workers", type=int, default=0)
parser.add_argument("--no-prefetcher", action="store_true")
parser.add_argument("--use-multi-epochs-loader", action="store_true")
parser.add_argument("--aug-splits", type=int, default=0)
parser.add_argument("--aug-repeats", type=float, default=0)
parser.add_argument("--mixup", type=float, default=0.0)
parser.add_argument("--train-img-sizes", type=int, nargs="+")
parser.add_argument("--train-batches-per-epoch", type=int)
parser.add_argument("--grad-accum-steps", type=int, default=1)
parser.add_argument("--seed", type=int, default=42)
parser.add_argument("--resume", default="")
parser.add_argument("--stop-after", type=int, help="leave after this epoch, as a killed run does")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--lr", type=float, default=1.0)
parser.add_argument("--min-lr", type=float, default=0.0)
parser.add_argument("--sched", default="cosine")
parser.add_argument("--sched-on-updates", action="store_true")
parser.add_argument("--warmup-epochs", type=int, default=0)
parser.add_argument("--warmup-prefix", action="store_true")
parser.add_argument("--cooldown-epochs", type=int, default=0)
parser.add_argument("--decay-epochs", type=float, default=2)
parser.add_argument("--decay-milestones", type=int, nargs="+", default=[2, 5])
parser.add_argument("--lr-cycle-limit", type=int, default=1)


def _parse_args():
    known, remaining = config_parser.parse_known_args()
    if known.config:
        with open(known.config) as f:
            parser.set_defaults(**yaml.safe_load(f))
    args = parser.parse_args(remaining)
    return args, yaml.safe_dump(args.__dict__)


def _set_loader_epoch(loader, epoch):
    """As timm does it up to 1.0.28: the data set or the sampler, not both."""
    if hasattr(loader.dataset, "set_epoch"):
        loader.dataset.set_epoch(epoch)
    elif hasattr(loader.sampler, "set_epoch"):
        loader.sampler.set_epoch(epoch)


def grey_values(images):
    return (255 * images.mean((1, 2, 3))).round().int().tolist()


def main():
    args, args_text = _parse_args()
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1:
        torch.distributed.init_process_group("gloo")
    os.makedirs(args.output, exist_ok=True)
    with open(os.path.join(args.output, "args.yaml"), "w") as f:
        f.write(args_text)

    common = {"root": args.data_dir, "class_map": args.class_map, "target_key": args.target_key}
    common |= {"download": args.dataset_download, "batch_size": args.batch_size, "seed": args.seed}
    train_set = create_dataset(args.dataset, split=args.train_split, is_training=True, **common)
    val_set = create_dataset(args.dataset, split=args.val_split, is_training=False, **common)
    if args.aug_splits > 1:
        train_set = AugMixDataset(train_set, num_splits=args.aug_splits)

    mixup = {"mixup_alpha": args.mixup, "num_classes": 2}
    collate = FastCollateMixup(**mixup) if args.mixup and not args.no_prefetcher else None
    mixup_fn = Mixup(**mixup) if args.mixup and args.no_prefetcher else None
    loader_args = {
        "input_size": (3, 8, 8), "batch_size": args.batch_size, "mean": (0, 0, 0), "std": (1, 1, 1),
        "num_workers": args.workers, "device": torch.device("cpu"), "use_prefetcher": not args.no_prefetcher,
        "distributed": world > 1,
    }  # fmt: skip
    sized = {"input_size_choices": args.train_img_sizes, "num_batches": args.train_batches_per_epoch}
    sized = {k: v for k, v in sized.items() if k in inspect.signature(create_loader).parameters}
    loader = create_loader(
        train_set, is_training=True, no_aug=args.aug_splits < 2, num_aug_splits=args.aug_splits, collate_fn=collate,
        num_aug_repeats=args.aug_repeats, use_multi_epochs_loader=args.use_multi_epochs_loader,
        **sized, **loader_args,
    )  # fmt: skip
    val_loader = create_loader(val_set, is_training=False, **loader_args)

    weight = torch.nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.SGD([weight], lr=args.lr)
    start = 0
    if args.resume:
        state = torch.load(args.resume, weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        start = state["epoch"] + 1
    updates = (len(loader) + args.grad_accum_steps - 1) // args.grad_accum_steps
    scheduler, epochs = create_scheduler_v2(optimizer, **scheduler_kwargs(args), updates_per_epoch=updates)
    if start:
        if args.sched_on_updates:
            scheduler.step_update(start * updates)
        else:
            scheduler.step(start)

    for epoch in range(start, epochs):
        _set_loader_epoch(loader, epoch)
        seen, labels, rates, sizes = [], [], [], []
        for number, (images, targets) in enumerate(loader):
            if mixup_fn is not None:
                images, targets = mixup_fn(images, targets)
            seen += grey_values(images)
            labels += targets.tolist()
            sizes.append(images.shape[-1])
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step_update(epoch * updates + (number + 1) // args.grad_accum_steps, metric=0.0)
        validated = [value for images, _ in val_loader for value in grey_values(images)]
        line = {"epoch": epoch, "seen": seen, "labels": labels, "rates": rates, "sizes": sizes, "val": validated}
        with open(os.path.join(args.output, f"log-{rank}.jsonl"), "a") as log:
            print(json.dumps(line), file=log)
        torch.save({"epoch": epoch, "optimizer": optimizer.state_dict()}, os.path.join(args.output, "last.pt"))
        if epoch == args.stop_after:
            os._exit(0) if world > 1 else None
            return
        scheduler.step(epoch + 1, 0.0)


if __name__ == "__main__":
    main()
