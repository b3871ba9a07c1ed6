"""Peak memory of encoding a data set, against the number of its images: it should not grow with it.

    python benchmarks/bank_memory.py [--images 1000 10000]

Each size runs in a process of its own, on images of Parquet repeated from the embedded ones, with the embedded base.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def encode(parquet):
    from mvc_hf.data.loading import open_dataset
    from mvc_hf.diffusion.banks.latents import LatentBank
    from mvc_hf.diffusion.model import load_base
    from mvc_hf.workflows.demo import assets

    base = load_base(str(assets() / "base"))
    source = open_dataset(str(parquet))
    bank = LatentBank.build(source, base, resolution=32, max_broken=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(len(source), f"{bank.moments.nbytes / 2**20:.0f}", f"{peak:.0f}")


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
    print(f"{'images':>8}{'latents, MiB':>14}{'peak memory, MiB':>18}")
    for count in args.images:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.parquet"
            real.select([i % len(real) for i in range(count)]).to_parquet(path)
            environment = os.environ | {"MVC_HF_CACHE": folder, "HF_DATASETS_CACHE": folder, "TQDM_DISABLE": "1"}
            command = [sys.executable, __file__, "--encode", str(path)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            rows, latents, peak = done.stdout.split()
            print(f"{rows:>8}{latents:>14}{peak:>18}")


if __name__ == "__main__":
    main()
