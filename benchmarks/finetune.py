"""What a fine-tuning step costs, against diffusers' own example trainer on the same model, images and batch size.

    python benchmarks/finetune.py --peer train_instruct_pix2pix.py [--steps 20 60] [--batch 16] [--repeats 3]

`train_instruct_pix2pix.py` is in huggingface/diffusers, examples/instruct_pix2pix, at the tag of your version. Both
fine-tune the embedded base on the embedded images, in float32, with the moving average, in processes of their own
that take turns. The peer knows latents of 4 channels alone, so for both the base has 4 in place of 12, and random
weights in autoencoder and U-Net. Each is run for two numbers of steps: the difference of the times is what the steps
cost, without start-up. The peer encodes text and both images in every step; ours were encoded once, which is part of
start-up: a cold cache for each run, and its time is printed, too.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mvc_hf.workflows.demo import CAPTION_COLUMN, assets


def peer_data(folder):
    """The same images as the peer wants them: pairs of images, and the text."""
    import datasets

    found = datasets.load_dataset("parquet", data_files=str(assets() / "real.parquet"), split="train")
    found = found.cast_column("image", datasets.Image(decode=False))
    columns = {"edited_image": found["image"], "input_image": found["image"], CAPTION_COLUMN: found[CAPTION_COLUMN]}
    kinds = datasets.Features(
        edited_image=datasets.Image(), input_image=datasets.Image(), **{CAPTION_COLUMN: datasets.Value("string")}
    )
    datasets.Dataset.from_dict(columns, features=kinds).to_parquet(folder / "train.parquet")


def base_of_four_channels(folder):
    """The embedded base, as far as the peer can take it."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

    found = StableDiffusionPipeline.from_pretrained(assets() / "base", torch_dtype=torch.float32)
    found.vae = AutoencoderKL.from_config(found.vae.config, latent_channels=4)
    found.unet = UNet2DConditionModel.from_config(found.unet.config, in_channels=4, out_channels=4)
    found.save_pretrained(folder)
    return folder


def ours(args, steps, work):
    return [
        sys.executable, "-m", "mvc_hf.cli", "finetune", assets() / "real.parquet", "-o", work / "ours",
        "--base", args.base, "--captions", f"column:{CAPTION_COLUMN}", "--holdout-fraction", 0,
        "--train-batch-size", args.batch, "--max-train-steps", steps, "--checkpointing-steps", 10**6,
    ]  # fmt: skip


def theirs(args, steps, work):
    return [
        sys.executable, args.peer.resolve(), "--pretrained_model_name_or_path", args.base,
        "--dataset_name", args.data, "--original_image_column", "input_image", "--edited_image_column", "edited_image",
        "--edit_prompt_column", CAPTION_COLUMN, "--resolution", 32, "--train_batch_size", args.batch,
        "--max_train_steps", steps, "--checkpointing_steps", 10**6, "--use_ema", "--conditioning_dropout_prob", 0.05,
        "--output_dir", work / "theirs", "--mixed_precision", "no", "--seed", 0,
    ]  # fmt: skip


def seconds(command, work):
    environment = os.environ | {"MVC_HF_CACHE": str(work / "cache"), "HF_HUB_OFFLINE": "1"}
    start = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=work, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs=2, default=(20, 60))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    few, many = args.steps
    with tempfile.TemporaryDirectory() as folder:
        args.data = Path(folder) / "pairs"
        args.data.mkdir()
        peer_data(args.data)
        args.base = base_of_four_channels(Path(folder) / "base")
        per_step, whole = {"ours": [], "theirs": []}, {"ours": [], "theirs": []}
        for turn in range(args.repeats):
            for name, command in (("ours", ours), ("theirs", theirs)):
                times = []
                for steps in (few, many):
                    work = Path(folder) / f"{name}-{turn}-{steps}"
                    work.mkdir()
                    times.append(seconds(command(args, steps, work), work))
                per_step[name].append((times[1] - times[0]) / (many - few))
                whole[name].append(times[1])
    print(f"{'':8}{'ms a step':>12}{f'{many} steps with start-up, s':>32}")
    for name in per_step:
        print(f"{name:8}{1000 * statistics.median(per_step[name]):12.0f}{statistics.median(whole[name]):32.1f}")
    for title, times in (("a step", per_step), ("a whole run", whole)):
        ratios = [b / a for a, b in zip(times["ours"], times["theirs"])]
        print(f"theirs / ours, {title}: {statistics.median(ratios):.2f} (of {len(ratios)} turns)")


if __name__ == "__main__":
    main()
