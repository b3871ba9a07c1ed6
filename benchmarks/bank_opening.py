"""How long a text bank takes to open that has been encoded already.

    python benchmarks/bank_opening.py [--captions 1000000] [--repeats 3]

Captions are sentences of ten words; the fingerprints of tokenizer and encoder are the embedded base's. The embeddings
are zeros of 1×32: a file that was found sound is not read again on opening, so what it holds does not count.
"""

import argparse
import os
import statistics
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import torch

WORDS = ("red", "small", "photo", "bird", "house", "tree", "cat", "above", "dark", "bright", "long", "short", "roof")


def captions(count):
    rng = np.random.default_rng(0)
    chosen = rng.integers(0, len(WORDS), (count, 9))
    return [f"{i} " + " ".join(WORDS[w] for w in row) for i, row in enumerate(chosen.tolist())]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from mvc_hf.diffusion.banks.text import TextBank
    from mvc_hf.diffusion.model import load_base
    from mvc_hf.workflows.demo import assets

    base = load_base(str(assets() / "base"))
    small = SimpleNamespace(
        tokens=1, width=32, tokenizer_fingerprint=base.tokenizer_fingerprint,
        encoder_fingerprint=base.encoder_fingerprint, encode_text=lambda texts: torch.zeros(len(texts), 1, 32),
    )  # fmt: skip
    table = SimpleNamespace(captions=captions(args.captions))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MVC_HF_CACHE"] = folder
        start = time.perf_counter()
        TextBank.build(table, small)
        print(f"{args.captions:,} captions: made in {time.perf_counter() - start:.1f} s", flush=True)
        times = []
        for _ in range(args.repeats):
            start = time.perf_counter()
            TextBank.build(table, small)
            times.append(time.perf_counter() - start)
    print(f"opened in {statistics.median(times):.2f} s (of {', '.join(f'{t:.2f}' for t in times)})")


if __name__ == "__main__":
    main()
