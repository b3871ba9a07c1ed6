"""Peak memory of encoding a data set, against the number of its images: it should not grow with it. And its speed.

    python benchmarks/bank_memory.py [--images 1000 10000]

Each size runs in a process of its own, on images of Parquet repeated from the embedded ones, with the embedded base.
Its speed is held against that of the autoencoder alone, on pixels that lie ready, in the same batches.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def encode(parquet):
    import torch

    from mvc_hf.data.loading import open_dataset
    from mvc_hf.diffusion.banks.latents import IMAGE_BATCH, LatentBank
    from mvc_hf.diffusion.model import load_base
    from mvc_hf.workflows.demo import assets

    base = load_base(str(assets() / "base"))
    source = open_dataset(str(parquet))
    pixels = torch.rand(IMAGE_BATCH, 3, 32, 32) * 2 - 1
    base.encode_images(pixels)  # warms up
    began = time.perf_counter()
    bank = LatentBank.build(source, base, resolution=32, max_broken=0)
    built = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, batches = time.perf_counter(), max(1, len(source) // IMAGE_BATCH)
    for _ in range(batches):
        base.encode_images(pixels)
    alone = (time.perf_counter() - began) / (batches * IMAGE_BATCH)
    rate = len(source) / built
    print(len(source), f"{bank.moments.nbytes / 2**20:.0f}", f"{peak:.0f}", f"{rate:.0f}", f"{alone * rate:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=(1_000, 10_000))
    parser.add_argument("--encode", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.encode:
        return encode(args.encode)
    import datasets

    from mvc_hf.workflows.demo import assets

    real = datasets.load_dataset("parquet", data_files=str(assets() / "real.parquet"), split="train")
    print(f"{'images':>8}{'latents, MiB':>14}{'peak memory, MiB':>18}{'images/s':>10}{'of the VAE alone':>18}")
    for count in args.images:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.parquet"
            real.select([i % len(real) for i in range(count)]).to_parquet(path)
            environment = os.environ | {"MVC_HF_CACHE": folder, "HF_DATASETS_CACHE": folder, "TQDM_DISABLE": "1"}
            command = [sys.executable, __file__, "--encode", str(path)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            rows, latents, peak, rate, share = done.stdout.split()
            print(f"{rows:>8}{latents:>14}{peak:>18}{rate:>10}{share:>18}")


if __name__ == "__main__":
    main()
