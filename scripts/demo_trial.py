"""One setting of the demo from end to end, judged by the oracle and by a classifier: for choosing settings.

    python scripts/train_demo_base.py ... --real-per-class 20 --validation SETS/20
    python scripts/demo_trial.py WORK/pipeline SETS/20 -o TRIAL --fashion-mnist DIR --oracle oracle.pt \\
        --finetuning '{"max_train_steps": 150}' --generating '{"images_per_class": 80, "guidance_scale": 1.0}'

The test images in SETS are other ones than the demo's: what is chosen here has not seen what the demo reports.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

import torch

FINETUNING = {
    "captions": "column:caption",
    "train_batch_size": 32,
    "max_train_steps": 150,
    "learning_rate": 1e-3,
    "validation_steps": 50,
    "checkpointing_steps": 1000,
}
GENERATING = {
    "images_per_class": 80,
    "guidance_scale": 1.0,
    "num_inference_steps": 10,
    "batch_size": 100,
    "shard_size": 500,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", help="a base")
    parser.add_argument("sets", type=Path, help="folder with real.parquet and test.parquet")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="folder of the four idx.gz files")
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--finetuning", type=json.loads, default={}, help="settings, as JSON")
    parser.add_argument("--generating", type=json.loads, default={}, help="settings, as JSON")
    parser.add_argument("--arms", nargs="+", default=("real alone", "combined", "two-phase", "RSP"))
    parser.add_argument(
        "--aug", nargs="*", default=(), help="more flags of the hook, for every arm with synthetic images"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    import demo_oracle

    from mvc_hf import Recipe, finetune, generate
    from mvc_hf.plugins import timm_comparison

    out, real = args.output, str(args.sets / "real.parquet")
    started = time.monotonic()
    took = lambda stage: print(f"{stage}: {time.monotonic() - started:.0f} s", flush=True)  # noqa: E731
    finetune(Recipe(dataset=real, base=args.base, **FINETUNING | args.finetuning), out / "checkpoint")
    took("fine-tuned")
    settings = GENERATING | args.generating
    if settings.get("method") == "pretrained":
        settings["base"] = args.base
    generate(Recipe(dataset=real, **settings), out / "checkpoint", out / "synthetic")
    took("generated")
    oracle = demo_oracle.Oracle()
    oracle.load_state_dict(torch.load(args.oracle, weights_only=True))
    judged = argparse.Namespace(path=out / "synthetic", fashion_mnist=args.fashion_mnist, cache=out / "cache")
    demo_oracle.report_split(oracle, judged)
    (out / "real").mkdir(exist_ok=True)
    for name, split in (("real", "train"), ("test", "test")):
        shutil.copyfile(args.sets / f"{name}.parquet", out / "real" / f"{split}.parquet")
    for arm in set(timm_comparison.ARMS) - set(args.arms):
        del timm_comparison.ARMS[arm]
    for arm in set(timm_comparison.ARMS) - {"real alone"}:
        timm_comparison.ARMS[arm] += tuple(args.aug)
    model = ("--model", "resnet10t", "--model-kwargs", json.dumps(timm_comparison.DEMO_MODEL), "--num-classes", "10")
    trial = timm_comparison.Trial(
        dataset=f"hfds/{(out / 'real').resolve()}",
        synthetic=str((out / "synthetic").resolve()),
        flags=(*model, "--epochs", str(args.epochs)),
        seeds=tuple(range(args.seeds)),
    )
    found = trial.run(out / "classifier")
    took("classified")
    print(timm_comparison.table(found))
    (out / "trial.json").write_text(json.dumps({"top1": found, "generating": settings}, indent=2) + "\n")


if __name__ == "__main__":
    main()
