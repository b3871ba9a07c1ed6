"""Fine-tuning and generating on a GPU, on Stable Diffusion 1.5's architecture with random weights, in bf16.

    python benchmarks/gpu.py --peer train_instruct_pix2pix.py -o gpu.json [--budget-seconds 120] [--parts ...]

Fine-tuning: our own `Trainer.train`, from banks, with noise, mixing, average and log, against diffusers'
examples/instruct_pix2pix/train_instruct_pix2pix.py, run unchanged on pictures in memory (see peer_trainer.py), with
eight loader processes and with none, its default; and against the bare step: U-Net forward, backward, clipping and
fused AdamW on tensors that lie ready. Generating: our `finished_rows`, to PNG, with Eq. 6 in two passes, against
StableDiffusionInstructPix2PixPipeline, which takes three, to PNG, too. What is not reached within --budget-seconds is
left out, and said. Times are those of several windows, each between two waits for the device.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import models
import numpy as np
import peer_trainer
import sides
import torch
from accelerate.state import AcceleratorState

from mvc_hf.artifacts.schema import png
from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.model import precision
from mvc_hf.diffusion.unet import widen_unet
from mvc_hf.generation.finishing import finished_rows
from mvc_hf.generation.generator import Generator
from mvc_hf.training.lr_schedule import TrainingSchedule
from mvc_hf.training.setup.accelerator import accelerator_of
from mvc_hf.training.trainer import Trainer

PARTS = ["finetune", "generate", "compile-generate", "compile-finetune", "profile"]
BATCHES = 3  # of ours in a row: the PNGs of one are made while the next is sampled


class Enough(Exception):
    """Enough was measured."""


@dataclass
class Bench:
    """What is measured on, by which limits, and what came out."""

    args: argparse.Namespace
    device: torch.device
    started: float = field(default_factory=time.monotonic)
    results: dict[str, Any] = field(default_factory=dict)

    def left(self) -> float:
        return self.args.budget_seconds - (time.monotonic() - self.started)

    def wait(self) -> float:
        """Wait for the device; returns the time."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def measure(self, name: str, seconds: float, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run a part that takes about so many seconds; keep what it found, or why it found nothing."""
        if self.left() < seconds:
            found = {"skipped": f"{self.left():.0f} s of --budget-seconds are left, and it takes about {seconds:.0f}"}
        else:
            began = time.monotonic()
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            try:
                found = work()
            except torch.OutOfMemoryError:
                found = {"skipped": "it does not fit into the memory of the device"}
            except Exception as error:
                import traceback

                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}"[:500]}
            if self.device.type == "cuda":
                found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
            found["took_s"] = round(time.monotonic() - began, 1)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.results[name] = found
        self.args.output.write_text(json.dumps(self.results, indent=1))
        print(f"{name}: {json.dumps(found)}", file=sys.stderr, flush=True)
        return found


class StepClock:
    """Called after each step: waits for the device only at the ends of windows; raises Enough after the last one."""

    def __init__(self, bench: Bench):
        self.bench, self.steps, self.marks = bench, 0, [0.0]
        self.warmup, self.window, self.windows = bench.args.warmup, bench.args.window, bench.args.windows

    def __call__(self) -> None:
        self.steps += 1
        done = self.steps - self.warmup
        if done >= 0 and done % self.window == 0:
            now = self.bench.wait()
            self.marks = [now] if done == 0 else [*self.marks, now]
            if done == self.window * self.windows:
                raise Enough

    def milliseconds(self) -> dict[str, Any]:
        each = [1000 * (b - a) / self.window for a, b in zip(self.marks, self.marks[1:])]
        return {"ms": round(statistics.median(each), 2), "ms_min": round(min(each), 2), "ms_max": round(max(each), 2)}


class Log:
    """In the place of a training log."""

    def __init__(self, clock: StepClock):
        self.clock = clock

    def write(self, row: Any) -> None:
        self.clock()


# Fine-tuning


def ours(
    bench: Bench, side: int, batch: int, channels_last: bool = False, compiled: bool = False,
    average: bool = True, one_batch: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A step of `Trainer.train`, with everything but checkpoints and looks at kept-aside images.

    Without the moving average, or with one batch over and over, it says what they cost.
    """
    base = models.random_model(bench.args.shape, bench.device)
    prepared(base.unet, channels_last, compiled)
    recipe = Recipe(
        dataset="none", train_batch_size=batch, mixed_precision=bench.args.mixed_precision, max_train_steps=10**6,
        holdout_fraction=0.0, use_ema=average,
    )  # fmt: skip
    data = models.training_set(recipe, base, side)
    if one_batch:
        made = data.batch(np.arange(batch))
        data.batch = lambda numbers: made  # type: ignore[method-assign]
    base.vae = base.text_encoder = None  # as `finetune` sends them to the CPU
    clock = StepClock(bench)
    with tempfile.TemporaryDirectory() as out:
        schedule = TrainingSchedule.of(recipe, len(data), 1)
        trainer = Trainer(recipe, schedule, data, base, accelerator_of(recipe), Path(out))
        trainer.log = Log(clock)
        began = bench.wait()
        with contextlib.suppress(Enough):
            trainer.train()
    return {**clock.milliseconds(), **({"warmup_s": round(clock.marks[0] - began, 1)} if compiled else {})}


def bare(bench: Bench, side: int, batch: int) -> dict[str, Any]:
    """Forward, backward, clipping and fused AdamW, on tensors that lie ready; no moving average, no log, no wait."""
    base = models.random_model(bench.args.shape, bench.device)
    width, base.vae, base.text_encoder = base.width, None, None
    unet = widen_unet(base.unet).requires_grad_(True).train().to(bench.device)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=5e-5, fused=True)
    latent = side // 8
    z, target = (torch.randn(batch, n, latent, latent, device=bench.device) for n in (8, 4))
    text = torch.randn(batch, 77, width, device=bench.device)
    steps = torch.randint(0, 1000, (batch,), device=bench.device)
    half = bench.args.mixed_precision != "no"
    clock = StepClock(bench)
    with contextlib.suppress(Enough):
        while True:
            with torch.autocast(bench.device.type, precision(bench.args.mixed_precision), enabled=half):
                predicted = unet(z, steps, encoder_hidden_states=text, return_dict=False)[0]
            torch.nn.functional.mse_loss(predicted.float(), target).backward()
            torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            clock()
    return clock.milliseconds()


def theirs(bench: Bench, side: int, batch: int, workers: int) -> dict[str, Any]:
    """A step of diffusers' script: its `main`, on our models and on pictures in memory."""
    AcceleratorState._reset_state()  # forgets the precision of the run before
    base = models.random_model(bench.args.shape, bench.device)
    clock = StepClock(bench)
    steps = clock.warmup + clock.window * clock.windows + 2
    data = peer_trainer.pictures(side, steps * batch, [f"number {i} of a few" for i in range(20)])
    with tempfile.TemporaryDirectory() as out, contextlib.suppress(Enough):
        flags = ["--resolution", side, "--train_batch_size", batch, "--output_dir", out]
        flags += ["--mixed_precision", bench.args.mixed_precision, "--dataloader_num_workers", workers]
        peer_trainer.train(bench.args.peer, base, data, flags, clock)
    return clock.milliseconds()


def prepared(network: Any, channels_last: bool, compiled: bool) -> None:
    if channels_last:
        network.to(memory_format=torch.channels_last)
    if compiled:
        network.compile(dynamic=False)


def fine_tuning(bench: Bench, side: int, batch: int, rate: float, flops: float, more: bool) -> None:
    """All that is measured at a size."""
    name = f"finetune {side} batch {batch}: "

    def part(what: str, seconds: float, work: Callable[[], dict[str, Any]]) -> None:
        found = bench.measure(name + what, seconds, work)
        if "ms" in found:
            found["images_per_s"] = round(1000 * batch / found["ms"], 1)
            found["share_of_matmul_rate"] = round(flops * batch / (found["ms"] / 1000) / rate, 3)

    part("ours", 8, lambda: ours(bench, side, batch))
    if bench.args.peer:
        part("theirs, 8 loaders", 10, lambda: theirs(bench, side, batch, 8))
    part("ours, channels_last", 8, lambda: ours(bench, side, batch, channels_last=True))
    if more:
        part("bare", 6, lambda: bare(bench, side, batch))
        part("ours, no average", 6, lambda: ours(bench, side, batch, average=False))
        part("ours, one batch over and over", 6, lambda: ours(bench, side, batch, one_batch=True))
        if bench.args.peer:
            part("theirs, no loaders", 14, lambda: theirs(bench, side, batch, 0))


def profiled(bench: Bench, side: int, batch: int) -> dict[str, Any]:
    """Where the time of our step goes on the device, and on the host: tables beside the output."""
    from torch.profiler import ProfilerActivity, profile

    base = models.random_model(bench.args.shape, bench.device)
    recipe = Recipe(
        dataset="none", train_batch_size=batch, mixed_precision=bench.args.mixed_precision, max_train_steps=10**6,
        holdout_fraction=0.0,
    )  # fmt: skip
    data = models.training_set(recipe, base, side)
    with tempfile.TemporaryDirectory() as out:
        schedule = TrainingSchedule.of(recipe, len(data), 1)
        updates = Trainer(recipe, schedule, data, base, accelerator_of(recipe), Path(out)).updates()
        for _ in range(3):
            next(updates)
        bench.wait()
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            for _ in range(2):
                next(updates)
            bench.wait()
    tables = [seen.key_averages().table(sort_by=by, row_limit=30, max_name_column_width=80)
              for by in (f"self_{bench.device.type}_time_total", "self_cpu_time_total")]  # fmt: skip
    bench.args.output.with_name("profile.txt").write_text("\n".join(tables))
    return {"of": "2 updates"}


# Generating


def opened(bench: Bench, side: int, batch: int) -> tuple[Generator, Any]:
    """Our generator and diffusers' pipeline, with the same networks in the precision of the run."""
    args = bench.args
    model = models.random_model(args.shape, bench.device, in_channels=8)
    model.to(bench.device, precision(args.mixed_precision))
    recipe = Recipe(
        dataset="none", num_inference_steps=args.inference_steps, batch_size=batch, guidance_scale=7.5,
        mixed_precision=args.mixed_precision, images_per_class=1,
    )  # fmt: skip
    return sides.generator_of(model, recipe, side), sides.pipeline_of(model, recipe)


def generating(bench: Bench, side: int, batch: int, compiled: bool = False) -> Iterator[tuple[str, float]]:
    """(what, seconds of a batch) of both sides, taking turns; all of them twice, after a first time that warms up."""
    generator, pipeline = opened(bench, side, batch)
    labels, index = np.arange(batch) % models.CLASSES, np.arange(batch)
    data = peer_trainer.pictures(side, batch, ["number"])
    texts = [f"This is an image of {models.NAMES[label]}." for label in labels]
    conditions = [image.convert("RGB") for image in data["before"]]

    def pictures_of_theirs() -> Any:
        return pipeline(
            texts, image=conditions, num_inference_steps=bench.args.inference_steps, guidance_scale=7.5,
            image_guidance_scale=7.5,
        ).images  # fmt: skip

    def rows_of_ours() -> Any:
        return list(finished_rows(generator, [(labels, index)] * BATCHES))

    works: dict[str, Callable[[], Any]] = {
        "ours, to PNG": rows_of_ours, "ours": lambda: generator.images(labels, index),
    }  # fmt: skip
    if not compiled:
        works["theirs, to PNG"] = lambda: [png(image) for image in pictures_of_theirs()]
        works["theirs"] = pictures_of_theirs
    forms = [("", False)] if compiled else [("", False), (", channels_last", True)]
    for form, channels_last in forms:
        for network in (generator.model.unet, generator.model.vae):
            prepared(network, channels_last, False)
        if compiled:
            generator.model.unet.compile(dynamic=False)
        for turn in range(3):
            for name, work in works.items():
                if channels_last and name.endswith("PNG"):
                    continue
                if turn == 0 and name.endswith("PNG") and not compiled:
                    continue  # what it runs is warm by the other
                began = bench.wait()
                work()
                took = (bench.wait() - began) / (BATCHES if work is rows_of_ours else 1)
                if turn or compiled:
                    yield name + form + (", first time" if turn == 0 else ""), took


def generation(bench: Bench, side: int, batch: int, compiled: bool = False) -> dict[str, Any]:
    times: dict[str, list[float]] = {}
    for name, seconds in generating(bench, side, batch, compiled):
        times.setdefault(name, []).append(seconds)
    return {
        name: {"images_per_s": round(batch / statistics.median(t), 2), "s": [round(x, 3) for x in t]}
        for name, t in times.items()
    }


# The device, and arithmetic


def matmul_rate(bench: Bench, n: int) -> float:
    """Operations a second of n³ products in bf16, on random numbers."""
    a, b = (torch.randn(n, n, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    began, times = bench.wait(), 10
    for _ in range(times):
        a @ b
    return 2 * n**3 * times / (bench.wait() - began)


def flops_of_a_step(shape: str, side: int) -> float:
    """Operations of the U-Net for one image, forward and backward (a product and a sum count as two)."""
    from torch.utils.flop_counter import FlopCounterMode

    unet = models.unet_of(shape, "meta", in_channels=8)
    width = unet.config.cross_attention_dim
    latents = torch.randn(1, 8, side // 8, side // 8, device="meta")
    with FlopCounterMode(display=False) as counter:
        text = torch.randn(1, 77, width, device="meta")
        unet(latents, torch.zeros(1, device="meta"), encoder_hidden_states=text, return_dict=False)[0].sum().backward()
    return float(counter.get_total_flops())


def table(results: dict[str, Any]) -> Iterator[str]:
    """What one wants to know, a line each."""
    for name, found in results.items():
        if "ms" in found:
            share = f"{100 * found['share_of_matmul_rate']:.0f} % of the matmul rate"
            time_of_it = (
                f"{found['ms']:8.1f} ms ({found['ms_min']}–{found['ms_max']}) {found['images_per_s']:7.1f} im/s"
            )
            yield f"{name:52} {time_of_it} {found.get('peak_gib', 0):6.1f} GiB {share}"
        elif "skipped" in found or "failed" in found:
            yield f"{name:52} {found.get('skipped') or found['failed']}"
        elif name.startswith("generate"):
            yield from (f"{name + ': ' + what:52} {got['images_per_s']:8.2f} im/s {got['s']}"
                        for what, got in found.items() if isinstance(got, dict))  # fmt: skip
    sizes = dict.fromkeys(name.partition(": ")[0] for name in results if name.startswith("finetune"))
    for size in sizes:
        of = {name.partition(": ")[2]: found["ms"] for name, found in results.items()
              if name.startswith(f"{size}: ") and "ms" in found}  # fmt: skip
        if "ours" in of:
            yield f"{size}: " + ", ".join(f"{what} / ours {ms / of['ours']:.2f}" for what, ms in of.items())
    for name, found in results.items():
        if name.startswith("generate") and "ours" in found and "theirs" in found:
            rates = {what: got["images_per_s"] for what, got in found.items() if isinstance(got, dict)}
            yield f"{name}: " + ", ".join(
                f"{what} / theirs {rate / rates['theirs' + ', to PNG' * what.endswith('PNG')]:.2f}"
                for what, rate in rates.items()
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="diffusers' train_instruct_pix2pix.py")
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--shape", choices=models.WIDTHS, default="sd15")
    parser.add_argument("--mixed-precision", choices=("no", "fp16", "bf16"), default="bf16")
    parser.add_argument("--sizes", nargs="+", default=["512x16", "256x16", "256x64"], help="side x batch")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1])
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock runs")
    parser.add_argument("--window", type=int, default=3, help="steps between two looks at the clock")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--inference-steps", type=int, default=25)
    parser.add_argument("--matmul", type=int, default=8192)
    parser.add_argument("--budget-seconds", type=float, default=600)
    args = parser.parse_args()
    bench = Bench(args, torch.device(args.device))
    import diffusers

    bench.results["machine"] = {
        "device": torch.cuda.get_device_name() if bench.device.type == "cuda" else platform.processor(),
        "torch": torch.__version__, "diffusers": diffusers.__version__,
        "settings": {name: str(value) for name, value in vars(args).items()},
    }  # fmt: skip
    rate = matmul_rate(bench, args.matmul)
    bench.results["matmul"] = {"tflops": round(rate / 1e12, 2)}
    sizes = [tuple(map(int, size.split("x"))) for size in args.sizes]
    flops = {side: flops_of_a_step(args.shape, side) for side, _ in sizes}
    bench.results["flops of an image"] = flops
    for number, (side, batch) in enumerate(sizes):
        if "finetune" in args.parts:
            fine_tuning(bench, side, batch, rate, flops[side], more=number == 0)
        if "generate" in args.parts and number < 2:
            bench.measure(f"generate {side} batch {batch}", 25, partial(generation, bench, side, batch))
    side, batch = sizes[0]
    if "compile-generate" in args.parts:
        name = f"generate {side} batch {batch}, U-Net compiled"
        bench.measure(name, 60, lambda: generation(bench, side, batch, compiled=True))
    if "compile-finetune" in args.parts:
        name = f"finetune {side} batch {batch}: ours, compiled"
        found = bench.measure(name, 100, lambda: ours(bench, side, batch, compiled=True))
        if "ms" in found:
            found["images_per_s"] = round(1000 * batch / found["ms"], 1)
            found["share_of_matmul_rate"] = round(flops[side] * batch / (found["ms"] / 1000) / rate, 3)
    if "profile" in args.parts:
        bench.measure(f"profile {side} batch {batch}", 20, lambda: profiled(bench, side, batch))
    args.output.write_text(json.dumps(bench.results, indent=1))
    print(f"{bench.results['machine']['device']}, bf16 matmul {rate / 1e12:.0f} TFLOP/s, torch {torch.__version__}")
    print("\n".join(table(bench.results)))


if __name__ == "__main__":
    main()
