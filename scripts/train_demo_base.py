"""Make the embedded demo: a small Stable Diffusion base that has never seen the demo's images, and those images.

    python scripts/train_demo_base.py --fashion-mnist DIR --clip-merges bpe_simple_vocab_16e6.txt.gz -o WORK
    python scripts/train_demo_base.py ... --export mvc_hf/assets

DIR holds Fashion-MNIST's four idx.gz files (MIT; Debian's `dataset-fashion-mnist` or its GitHub repository).
`bpe_simple_vocab_16e6.txt.gz` is CLIP's merge list (MIT; in OpenAI's CLIP repository). Every stage leaves its result
in WORK and is skipped when it is there; the U-Net's stage resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from demo_looks import CLASS_NAMES, Describer, caption, draw_look, measure, render

SIZE = 32
REAL_PER_CLASS, TEST_IMAGES, BASE_IMAGES = 100, 2_000, 50_000
VOCABULARY_MERGES = 8_000  # CLIP's merges come in order of frequency: the first ones make a valid, smaller tokenizer
PREFIX = "This is an image of {}. "


def read_idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


class Images:
    """Fashion-MNIST, split: the demo's 1,000 real images, 50,000 others for the base, 2,000 test images."""

    def __init__(self, folder: Path, seed: int):
        x, y = read_idx(folder / "train-images-idx3-ubyte.gz"), read_idx(folder / "train-labels-idx1-ubyte.gz")
        order = np.random.default_rng(seed).permutation(len(x))
        real = np.concatenate([order[y[order] == c][:REAL_PER_CLASS] for c in range(len(CLASS_NAMES))])
        rest = order[~np.isin(order, real)][:BASE_IMAGES]
        assert not set(rest) & set(real)
        self.real, self.base = (x[real], y[real]), (x[rest], y[rest])
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


def make_vae():
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=SIZE, block_out_channels=(16, 32, 64), layers_per_block=1, latent_channels=4, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    )  # fmt: skip


def make_unet():
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE // 4, in_channels=4, out_channels=4, block_out_channels=(64, 160), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=64, attention_head_dim=4, norm_num_groups=16,
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
    return min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * step / steps)))


def edges(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return pictures[..., 1:] - pictures[..., :-1], pictures[..., 1:, :] - pictures[..., :-1, :]


def train_vae(images: Images, work: Path, log: Log, name: str, steps: int, seed: int, edge_weight: float) -> None:
    """One round of training into WORK/name, from the round before where there is one.

    The first round learns shapes and tones. The second one also weighs the differences of neighbouring pixels: without
    that, texture, which is little of the error and much of the picture, is smoothed away.
    """
    if (work / name).exists():
        return
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = images.base[0]
    train, held = x[:-512], x[-512:]
    held = render(held, [draw_look(rng) for _ in held])
    vae = AutoencoderKL.from_pretrained(work / "vae-1") if (work / "vae-1").exists() else make_vae()
    optimiser = torch.optim.AdamW(vae.parameters(), lr=2e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    running = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * cosine(step, steps, 100)
        batch = rng.integers(len(train), size=64)
        target = render(train[batch], [draw_look(rng) for _ in batch])
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(target).latent_dist
            output = vae.decode(posterior.sample()).sample
        output = output.float()
        loss = (output - target).abs().mean() + 0.5 * F.mse_loss(output, target)
        sharp = sum((a - b).abs().mean() for a, b in zip(edges(output), edges(target)))
        total = loss + edge_weight * sharp + 1e-6 * posterior.kl().float().mean()
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        running += loss.item()
        if (step + 1) % 250 == 0:
            with torch.no_grad():
                output = vae.decode(vae.encode(held).latent_dist.mode()).sample
            log(name, step + 1, loss=running / 250, held_out_loss=(output - held).abs().mean().item())
            running = 0.0
    with torch.no_grad():  # Stable Diffusion's convention: latents times the scaling factor have unit variance
        vae.register_to_config(scaling_factor=round(1 / vae.encode(held).latent_dist.sample().std().item(), 5))
    vae.save_pretrained(work / name)


@torch.no_grad()
def encode_looks(images: Images, work: Path, tokenizer, looks: int, seed: int) -> None:
    """Latent moments and token ids of every base image in several looks, once."""
    if (work / "tokens.npy").exists():
        return
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(work / "vae")
    rng = np.random.default_rng(seed + 10)
    (x, y), latents, texts = images.base, [], []
    started = time.time()
    for _ in range(looks):
        for at in range(0, len(x), 250):
            drawn = [draw_look(rng) for _ in range(250)]
            with torch.autocast("cpu", torch.bfloat16):
                moments = vae.encode(render(x[at : at + 250], drawn)).latent_dist
            latents.append(torch.cat([moments.mean, moments.std], 1).half().numpy())
            for i, look in enumerate(drawn, at):
                words = images.describer.words(images.measured[i], y[i])
                words = {k: w if rng.random() < 0.75 else "" for k, w in words.items()}
                seen = look.words if rng.random() < 0.8 else ""
                text = caption(
                    words, y[i], colour=look.colour if rng.random() < 0.8 else "", look=seen, size=look.size
                )
                texts.append((PREFIX.format(CLASS_NAMES[y[i]]) if rng.random() < 0.6 else "") + text)
        print(f"encoded {len(texts)} looks in {time.time() - started:.0f} s", flush=True)
    tokens = tokenizer(texts, padding="max_length", truncation=True, max_length=77, return_tensors="np").input_ids
    np.save(work / "latents.npy", np.concatenate(latents))
    np.save(work / "tokens.npy", tokens.astype(np.int16))


def train_unet(work: Path, tokenizer, log: Log, steps: int, seed: int, peak: float = 8e-4) -> None:
    if (work / "unet").exists():
        return
    from diffusers import AutoencoderKL
    from diffusers.training_utils import EMAModel

    torch.manual_seed(seed)
    factor = AutoencoderKL.load_config(work / "vae")["scaling_factor"]
    latents, tokens = (
        np.load(work / "latents.npy", mmap_mode="r"),
        torch.from_numpy(np.load(work / "tokens.npy")).long(),
    )
    empty = tokenizer("", padding="max_length", max_length=77, return_tensors="pt").input_ids
    unet, text, scheduler = make_unet(), make_text_encoder(tokenizer), make_scheduler()
    parameters = [*unet.parameters(), *text.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.99), weight_decay=1e-3)
    ema = EMAModel(parameters, decay=0.999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    first = 0
    state = work / "unet.pt"
    if state.exists():
        saved = torch.load(state, weights_only=True)
        unet.load_state_dict(saved["unet"])
        text.load_state_dict(saved["text"])
        optimiser.load_state_dict(saved["optimiser"])
        ema.load_state_dict(saved["ema"])
        first = saved["step"]
    held = len(latents) - 1024  # the last images in their last look

    def loss_of(batch: np.ndarray, generator: torch.Generator, dropout: float) -> torch.Tensor:
        moments = torch.from_numpy(latents[batch].astype(np.float32))
        noise = torch.randn(len(batch), 4, 8, 8, generator=generator)
        z0 = (moments[:, :4] + moments[:, 4:] * torch.randn(noise.shape, generator=generator)) * factor
        t = torch.randint(0, 1000, (len(batch),), generator=generator)
        ids = tokens[batch]
        drop = torch.rand(len(batch), generator=generator) < dropout
        ids = torch.where(drop[:, None], empty, ids)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = unet(scheduler.add_noise(z0, noise, t), t, text(ids).last_hidden_state).sample
        return F.mse_loss(predicted.float(), noise)

    running = 0.0
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = peak * cosine(step, steps, 200)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        batch = np.sort(np.random.default_rng((seed, step)).integers(held, size=64))
        loss = loss_of(batch, generator, 0.1)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        ema.step(parameters)
        running += loss.item()
        if (step + 1) % 100 == 0:
            with torch.no_grad():
                generator = torch.Generator().manual_seed(seed)
                unseen = np.mean([loss_of(np.arange(i, i + 128), generator, 0.0).item() for i in (held, held + 512)])
            log("unet", step + 1, loss=running / 100, held_out_loss=unseen)
            running = 0.0
        if (step + 1) % 500 == 0:
            torch.save(
                {"unet": unet.state_dict(), "text": text.state_dict(), "optimiser": optimiser.state_dict(),
                 "ema": ema.state_dict(), "step": step + 1}, state,
            )  # fmt: skip
            ema.store(parameters)
            ema.copy_to(parameters)
            save_pipeline(work / "pipeline", work / "vae", unet, text, tokenizer)
            ema.restore(parameters)
    ema.copy_to(parameters)
    save_pipeline(work / "pipeline", work / "vae", unet, text, tokenizer)
    unet.save_pretrained(work / "unet")


def save_pipeline(folder: Path, vae_folder: Path, unet, text, tokenizer) -> None:
    import copy

    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline

    StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(vae_folder).half(), text_encoder=copy.deepcopy(text).half(),
        tokenizer=tokenizer, unet=copy.deepcopy(unet).half(),
        scheduler=PNDMScheduler.from_config(make_scheduler().config, skip_prk_steps=True, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)  # fmt: skip


def export_images(images: Images, folder: Path) -> None:
    """The demo's own images as Parquet: 28×28, untouched, with the captions that their measurements give."""
    import io

    from datasets import ClassLabel, Dataset, Features, Image, Value
    from PIL import Image as PIL

    features = Features({"image": Image(), "label": ClassLabel(names=list(CLASS_NAMES)), "caption": Value("string")})
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, y) in (("real", images.real), ("test", images.test)):
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
    parser.add_argument("--vae-steps", type=int, nargs=2, default=(2_500, 3_000), help="of the two rounds")
    parser.add_argument("--unet-steps", type=int, default=6_000)
    parser.add_argument("--looks", type=int, default=3, help="renderings of each base image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", type=Path, help="write the images and the finished base here (mvc_hf/assets)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    work = args.output
    work.mkdir(parents=True, exist_ok=True)
    log = Log(work / "losses.csv")
    images = Images(args.fashion_mnist, args.seed)
    if args.export:
        export_images(images, args.export)
    tokenizer = make_tokenizer(args.clip_merges, work / "tokenizer")
    first, second = args.vae_steps
    train_vae(images, work, log, "vae-1", first, args.seed, edge_weight=0.0)
    train_vae(images, work, log, "vae", second, args.seed + 1, edge_weight=1.0)
    encode_looks(images, work, tokenizer, args.looks, args.seed)
    train_unet(work, tokenizer, log, args.unet_steps, args.seed)
    if args.export:
        export_base(work, args.export)


if __name__ == "__main__":
    main()
