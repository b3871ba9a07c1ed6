"""What Algorithm 1 costs: planning, and applying against a plain copy of the same bytes.

    python benchmarks/mixing.py [--mixes 10000] [--captions 1000] [--batch 256] [--repeats 5] [--threads 1]

Embeddings have the size of Stable Diffusion 1.x, 77×768 in fp16, 118 kB each. All mixes are made batch by batch in one
buffer; then as many embeddings are copied from the pool into the same buffer with `out.copy_`. The two take turns
within one run, so that a busy machine slows both. Reported are medians, and the median of the ratios of the turns.
"""

import argparse
import time

import numpy as np
import torch

from mvc_hf import mixing

TOKENS, WIDTH = 77, 768
SETTINGS = [(0, 8), (2, 8), (8, 8), (32, 8), (2, 0), (2, 32)]


def make_plans(mixes, captions, coarse, fine):
    pool = {"pool_start": 0, "pool_size": captions, "tokens": TOKENS, "width": WIDTH}
    return mixing.plan(0, 0, np.arange(mixes), coarse=coarse, fine=fine, **pool)


def timed(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def mix_all(pool, plans, out):
    for i in range(0, len(plans), len(out)):
        part = plans[i : i + len(out)]
        mixing.apply(pool, part, out=out[: len(part)])


def copy_all(pool, plans, out):
    for i in range(0, len(plans), len(out)):
        count = min(len(out), len(plans) - i)
        start = i % (len(pool) - count + 1)
        out[:count].copy_(pool[start : start + count])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mixes", type=int, default=10_000)
    parser.add_argument("--captions", type=int, default=1_000, help="size of the pool; at least --batch")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    pool = torch.randn(args.captions, TOKENS, WIDTH).half()
    out = torch.zeros(args.batch, TOKENS, WIDTH, dtype=pool.dtype)

    print(f"{args.mixes} mixes of {TOKENS}×{WIDTH} fp16, {args.captions} captions, batches of {args.batch}")
    print(f"{'P':>3} {'Q':>3} {'plan s':>8} {'apply s':>8} {'copy s':>8} {'apply/copy':>11}")
    for coarse, fine in SETTINGS:
        planning = [timed(make_plans, args.mixes, args.captions, coarse, fine) for _ in range(3)]
        plans = make_plans(args.mixes, args.captions, coarse, fine)
        runs = [(timed(mix_all, pool, plans, out), timed(copy_all, pool, plans, out)) for _ in range(args.repeats + 1)]
        mix, copy = np.array(runs[1:]).T  # the first run touches the pages
        figures = np.median(planning), np.median(mix), np.median(copy), np.median(mix / copy)
        print("{:3} {:3} {:8.3f} {:8.3f} {:8.3f} {:11.2f}".format(coarse, fine, *figures), flush=True)


if __name__ == "__main__":
    main()
