"""What timm's train.py does before it trains, flag by flag and in its order, and nothing after that."""

import argparse

import torch
import yaml
from timm.data import create_dataset, create_loader
from timm.models import create_model
from timm.scheduler import create_scheduler_v2

config_parser = argparse.ArgumentParser(add_help=False)
config_parser.add_argument("-c", "--config", default="")

parser = argparse.ArgumentParser(description="the beginning of a training script")
parser.add_argument("data", nargs="?")
parser.add_argument("--data-dir")
parser.add_argument("--dataset", default="")
parser.add_argument("--train-split", default="train")
parser.add_argument("--val-split", default="validation")
parser.add_argument("--class-map", default="")
parser.add_argument("--model", default="resnet10t")
parser.add_argument("--model-kwargs", nargs="*", default={})
parser.add_argument("--num-classes", type=int)
parser.add_argument("--initial-checkpoint", default="")
parser.add_argument("--resume", default="")
parser.add_argument("-b", "--batch-size", type=int, default=4)
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--seed", type=int, default=42)
parser.add_argument("--opt", default="sgd")


def main():
    chosen, rest = config_parser.parse_known_args()
    if chosen.config:
        with open(chosen.config) as file:
            parser.set_defaults(**yaml.safe_load(file))
    args = parser.parse_args(rest)
    model = create_model(args.model, num_classes=args.num_classes, checkpoint_path=args.initial_checkpoint)
    if args.num_classes is None:
        args.num_classes = model.num_classes
    optimizer = {"sgd": torch.optim.SGD}[args.opt](model.parameters(), lr=0.1)
    root = args.data_dir or args.data
    common = {"root": root, "class_map": args.class_map, "batch_size": args.batch_size}
    train = create_dataset(args.dataset, split=args.train_split, is_training=True, seed=args.seed, **common)
    create_dataset(args.dataset, split=args.val_split, is_training=False, **common)
    loader = create_loader(train, (3, 8, 8), args.batch_size, is_training=True, num_workers=0, use_prefetcher=False)
    create_scheduler_v2(optimizer, sched="cosine", num_epochs=args.epochs, updates_per_epoch=len(loader))
    print("training begins")
