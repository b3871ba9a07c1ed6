"""What batching and decoding ahead are worth: `mvc-hf caption` against calling the same model one image at a time.

    python benchmarks/captioning.py [--images 512] [--batch 16] [--size 256] [--repeats 5] [--threads 1]

The model is a tiny BLIP-2 of random weights (tests/helpers/tiny_blip.py), so that what is measured is everything
around the arithmetic; a real one gains less from batches on a CPU, and more on a GPU. Both sides read the same JPEGs,
use the same processor and make as many tokens. They take turns within one run, so that a busy machine slows both.
Reported are medians, and the median of the ratios of the turns.

    python benchmarks/captioning.py --memory 1000 10000 50000

prints the peak memory of captioning so many images, each in a process of its own: it should not grow with them.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
TOKENS = 20


def photos(folder, count, size, distinct=256):
    """JPEGs of smooth noise; of many, most are links to others."""
    (folder / "a").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / "a" / f"{i:06d}.jpg"
        if i < distinct:
            small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            os.link(folder / "a" / f"{i % distinct:06d}.jpg", path)
    return folder


def ours(data, model, batch, cache):
    """The whole of it: loading the model, captioning, and the table."""
    from mvc_hf.captions.loading import caption_source
    from mvc_hf.config.recipe import Recipe
    from mvc_hf.data.loading import open_dataset

    os.environ["MVC_HF_CACHE"] = str(cache)
    recipe = Recipe(caption_model=str(model), caption_batch_size=batch, caption_max_new_tokens=TOKENS)
    return caption_source("blip2", keep_duplicates=True, recipe=recipe).table(open_dataset(str(data))).captions


def one_at_a_time(data, model):
    import torch
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    network = AutoModelForImageTextToText.from_pretrained(model).eval()
    processor = AutoImageProcessor.from_pretrained(model, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(model)
    captions = []
    with torch.inference_mode():
        for path in sorted(data.glob("a/*")):
            inputs = processor(Image.open(path).convert("RGB"), return_tensors="pt")
            ids = network.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
            captions.append(tokenizer.decode(ids[0], skip_special_tokens=True))
    return captions


def timed(function, *args):
    start = time.perf_counter()
    captions = function(*args)
    return time.perf_counter() - start, captions


def speed(args, folder, model):
    data = photos(folder / "photos", args.images, args.size)
    runs = []
    for turn in range(args.repeats + 1):
        mine, captions = timed(ours, data, model, args.batch, folder / f"cache-{turn}")
        theirs, expected = timed(one_at_a_time, data, model)
        same = sum(c.removeprefix("This is an image of a.").strip() == e for c, e in zip(captions, expected))
        runs.append((args.images / mine, args.images / theirs))
    mine, theirs = np.array(runs[1:]).T  # the first run imports
    print(f"{args.images} JPEGs of {args.size}×{args.size}, batches of {args.batch}, {TOKENS} tokens, ", end="")
    print(f"{args.threads} threads; {same} captions are equal")
    print(f"{'ours, images/s':>16}{'one at a time':>16}{'ratio':>8}")
    print(f"{np.median(mine):16.1f}{np.median(theirs):16.1f}{np.median(mine / theirs):8.2f}")


def memory(args, folder, model):
    print(f"{'images':>8}{'peak memory, MiB':>18}")
    for count in args.memory:
        data = photos(folder / f"photos-{count}", count, args.size)
        command = [sys.executable, __file__, "--peak", data, "--model", model, "--batch", args.batch]
        environment = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(args.threads)}
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=True)
        print(f"{count:>8}{done.stdout.split()[-1]:>18}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, nargs="+")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    if args.peak:
        ours(args.peak, args.model, args.batch, args.peak.parent / "cache")
        return print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)

    import torch
    from tiny_blip import tiny_captioner

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_captioner(Path(folder) / "blip2")
        (memory if args.memory else speed)(args, Path(folder), model)


if __name__ == "__main__":
    main()
