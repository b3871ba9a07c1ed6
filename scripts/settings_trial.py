"""Settings of the demo, varied one at a time, by what a classifier gains of the images: for choosing defaults.

    python scripts/train_demo_base.py --fashion-mnist DIR --real-per-class 20 --validation SETS/20
    python scripts/settings_trial.py SETS/20 -o TRIAL
    python scripts/settings_trial.py SETS/20 -o TRIAL --only unchanged "6 steps" --schedules combined,rsp

The test images in SETS are other ones than the demo's: what is chosen here has not seen what the demo reports. Given
again it goes on, and with more --seeds, --schedules or variations it makes what is missing. For the table of a real
set of your own, `mvc-hf sweep` and `mvc-hf compare` do the same.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvc_hf.config.recipe import Recipe
from mvc_hf.config.sections import load_section
from mvc_hf.config.stages.comparing import CompareSettings
from mvc_hf.diffusion.sampling import Guidance
from mvc_hf.generation.generate import generate
from mvc_hf.plugins.classifiers.compare import compare
from mvc_hf.plugins.timm_comparison import DEMO_EPOCHS, DEMO_LR, DEMO_MODEL
from mvc_hf.training.finetune import finetune
from mvc_hf.workflows.demo import FINETUNING, GENERATING, assets

# What is varied. The demo's settings were these, before they followed from it.
CENTRE = GENERATING | {"coarse": 4, "fine": 16, "num_inference_steps": 10}
TUNED = FINETUNING | {"max_train_steps": 250}


@dataclass(frozen=True)
class Variation:
    """What differs from the centre."""

    generating: dict[str, Any] = field(default_factory=dict)
    finetuning: dict[str, Any] = field(default_factory=dict)

    @property
    def passes(self) -> int:
        """Of the U-Net for an image; a step with guidance has two."""
        settings = CENTRE | self.generating
        guidance = Guidance(
            settings["guidance_scale"],
            start=settings.get("guidance_start", 0.0),
            stop=settings.get("guidance_stop", 1.0),
        )
        return guidance.passes_in(0, settings["num_inference_steps"])


VARIATIONS = {
    "unchanged": Variation(),
    "the demo": Variation(GENERATING, FINETUNING),
    "LoRA of rank 4": Variation(finetuning={"lora_rank": 4, "learning_rate": 1e-3}),
    "LoRA of rank 16": Variation(finetuning={"lora_rank": 16, "learning_rate": 1e-3}),
    "LoRA of rank 16 at 3e-4": Variation(finetuning={"lora_rank": 16}),
    "P 0 Q 0": Variation({"coarse": 0, "fine": 0}),
    "P 2 Q 8": Variation({"coarse": 2, "fine": 8}),
    "P 8 Q 32": Variation({"coarse": 8, "fine": 32}),
    "self": Variation(finetuning={"pairing": "self"}),
    "pretrained": Variation({"method": "pretrained"}),
    "guidance 1": Variation({"guidance_scale": 1.0}),
    "guidance 2": Variation({"guidance_scale": 2.0}),
    "guidance 6": Variation({"guidance_scale": 6.0}),
    "guidance to 0.5": Variation({"guidance_stop": 0.5}),
    "guidance from 0.2 to 0.8": Variation({"guidance_start": 0.2, "guidance_stop": 0.8}),
    "6 steps": Variation({"num_inference_steps": 6}),
    "8 steps": Variation({"num_inference_steps": 8}),
    "15 steps": Variation({"num_inference_steps": 15}),
    "25 steps": Variation({"num_inference_steps": 25}),
    "half the images": Variation({"images_per_class": CENTRE["images_per_class"] // 2}),
    "twice the images": Variation({"images_per_class": 2 * CENTRE["images_per_class"]}),
}


def made(variation: Variation, name: str, sets: Path, base: str, out: Path) -> Path:
    """The synthetic images, and the checkpoint that they need, where they are not there."""
    real = str(sets / "real.parquet")
    checkpoint = out / (f"checkpoint-{name}" if variation.finetuning else "checkpoint")
    finetune(Recipe(dataset=real, base=base, **TUNED | variation.finetuning), checkpoint)
    settings = CENTRE | variation.generating
    if settings.get("method") == "pretrained":
        settings["base"] = base
    generate(Recipe(dataset=real, **settings), checkpoint, out / name)
    return out / name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="folder with real.parquet and test.parquet")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--base", default=str(assets() / "base"))
    parser.add_argument("--only", nargs="+", choices=VARIATIONS, default=list(VARIATIONS), metavar="NAME")
    parser.add_argument("--schedules", default="combined")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=DEMO_EPOCHS)
    args = parser.parse_args()

    places = {
        name: str(made(VARIATIONS[name], name.replace(" ", "-"), args.sets, args.base, args.output).resolve())
        for name in args.only
    }
    classifier = {
        "test_dataset": str((args.sets / "test.parquet").resolve()),
        "test_split": "train",  # one Parquet file has no other
        "classifier": "resnet10t",
        "classifier_kwargs": " ".join(f"{k}={json.dumps(v, separators=(',', ':'))}" for k, v in DEMO_MODEL.items()),
        "lr": DEMO_LR,
        "augmentations": "none",
        "validation_fraction": 0,
        "synthetic": places,
    }
    recipe = args.output / "compare.json"
    run = {"dataset": str((args.sets / "real.parquet").resolve()), "output": str(args.output.resolve() / "compared")}
    recipe.write_text(json.dumps(run | {"compare": classifier}, indent=2) + "\n")
    given = {"schedules": args.schedules, "seeds": args.seeds, "epochs": args.epochs}
    print(compare(load_section(recipe, "compare", CompareSettings, given=given)))
    for name in args.only:
        print(f"{name}: {VARIATIONS[name].passes} passes of the U-Net an image")


if __name__ == "__main__":
    main()
