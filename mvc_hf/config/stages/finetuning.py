"""How the base model is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ...errors import RecipeError
from ..fields import BOTH, FINETUNE, MOST_AT_A_TIME, UNLESS_DEFAULT, Settings, setting

_setting = partial(setting, on=(FINETUNE,))


@dataclass(frozen=True)
class FinetuneSettings(Settings):
    """The base model and its training."""

    base: str = _setting(
        "",
        "base model: a Stable Diffusion or InstructPix2Pix folder or Hub id[@revision]",
        alias="--pretrained-model-name-or-path",
    )
    variant: str | None = _setting(
        None,
        "which weights of the base, fp16 for those that end in .fp16.safetensors (default: those without a variant, "
        "else the one that is there)",
        on=BOTH,
    )
    train_batch_size: int = _setting(16, "images of a step on each process", minimum=1, maximum=MOST_AT_A_TIME)
    gradient_accumulation_steps: int = _setting(
        1, "batches that are summed into one update", minimum=1, maximum=1_000_000
    )
    num_train_epochs: float = _setting(
        24.0, "passes over the images, where --max-train-steps is not given", above=0, maximum=1e6
    )
    max_train_steps: int | None = _setting(None, "updates (default: follows the size of the data)", minimum=1)
    lora_rank: int | None = _setting(
        None,
        "train adapters of this rank beside the attention's weights, and conv_in, in place of the whole U-Net: less "
        "memory; they are merged into what is published (extra: lora; default: the whole U-Net)",
        minimum=1,
        maximum=4096,
        identity=UNLESS_DEFAULT,
    )
    lora_keep_adapter: bool = _setting(
        False, "leave the adapter of --lora-rank by itself, too, in adapter/, as peft has them", identity=False
    )
    optimizer: str = _setting(
        "adamw",
        "adamw8bit: that of bitsandbytes, whose moments take a quarter of the memory",
        choices=("adamw", "adamw8bit"),
        identity=UNLESS_DEFAULT,
    )
    learning_rate: float = _setting(5e-5, "peak learning rate of AdamW", above=0, maximum=1)
    lr_scheduler: str = _setting(
        "cosine",
        "rate after the warm-up",
        choices=("constant", "constant_with_warmup", "cosine", "linear"),
    )
    lr_warmup_steps: int | None = _setting(None, "updates of linear warm-up (default: 5 % of all)", minimum=0)
    adam_beta1: float = _setting(0.9, "AdamW's beta1", minimum=0, maximum=0.9999)
    adam_beta2: float = _setting(0.999, "AdamW's beta2", minimum=0, maximum=0.99999)
    adam_weight_decay: float = _setting(1e-2, "AdamW's weight decay", minimum=0, maximum=100)
    adam_epsilon: float = _setting(1e-8, "AdamW's epsilon", above=0, maximum=1)
    max_grad_norm: float = _setting(1.0, "clip the gradient's norm here", above=0, maximum=1e9)
    snr_gamma: float | None = _setting(
        None,
        "weigh samples by min(SNR, gamma) / SNR (Min-SNR; 5 is usual); the loss on kept-aside images is not weighted "
        "(default: equal weights)",
        above=0,
        maximum=1e6,
        identity=UNLESS_DEFAULT,
    )
    conditioning_dropout_prob: float = _setting(
        0.05, "drop text, image, or both, each this often", minimum=0, maximum=1 / 3
    )
    use_ema: bool = _setting(True, "publish the exponential moving average of the weights")
    ema_decay: float = _setting(0.999, "decay of the moving average", minimum=0, maximum=0.999999)
    gradient_checkpointing: bool = _setting(False, "less memory for about a third more time", identity=False)
    holdout_fraction: float = _setting(
        0.05, "share of the images kept aside to see whether training copies", minimum=0, maximum=0.5
    )
    validation_steps: int | None = _setting(
        None, "updates between two looks at the kept-aside images (default: 20 looks a run)", minimum=1
    )
    validation_images: int = _setting(
        0,
        "draw so many images, always of the same addresses, at each look, into checkpoints/images (0: none)",
        minimum=0,
        maximum=64,
        identity=False,
    )
    report_to: str = _setting(
        "none",
        "also show losses, rate and the images of --validation-images in a tracker, if it is installed; TensorBoard's "
        "files go to checkpoints/logs",
        choices=("tensorboard", "wandb", "trackio", "all", "none"),
        identity=False,
    )
    early_stopping: int | None = _setting(
        None,
        "stop after this many looks without a better kept-aside loss, and publish the weights of the best one "
        "(default: never)",
        minimum=1,
    )
    checkpointing_steps: int = _setting(500, "updates between two checkpoints", minimum=1, identity=False)
    checkpoints_total_limit: int = _setting(
        2, "checkpoints kept for resuming (0: one, until the run is finished)", minimum=0, identity=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lora_keep_adapter and self.lora_rank is None:
            raise RecipeError("--lora-keep-adapter goes with --lora-rank: without it there is no adapter")
