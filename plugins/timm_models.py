"""Wide residual networks for small images, as timm models: `wrn_28_2` and `wrn_28_10`, as in MVC's Table 1.

    import mvc_hf.plugins.timm_models  # registers them
    model = timm.create_model("wrn_28_10", num_classes=100, drop_rate=0.3)

Zagoruyko and Komodakis, "Wide Residual Networks" (BMVC 2016, arXiv 1605.07146), after the authors' code,
szagoruyko/wide-residual-networks: `models/wide-resnet.lua`. WRN-d-k has depth d = 6n + 4 and width k: a 3×3 stem of
16 channels, then three groups of n blocks with 16k, 32k and 64k channels, at 1, 1/2 and 1/4 of the resolution. (timm's
`wide_resnet50_2` is another family, with bottlenecks and a stem for images of ImageNet's size.)
"""

# Annotations stay real types here, for torch.fx and TorchScript read those of forward.
from typing import Any

import torch
from timm.layers import create_classifier
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs, register_model
from torch import nn
from torch.nn import functional as F

__all__ = ["WideBasic", "WideResNet", "wrn_28_2", "wrn_28_10"]

STEM_CHANNELS = 16
STRIDES = 1, 2, 2


class WideBasic(nn.Module):
    """The block B(3,3): (B, in_chs, H, W) to (B, out_chs, ⌈H/stride⌉, ⌈W/stride⌉).

    a = relu(norm1(x)), and the result is shortcut(a) + conv2(drop(relu(norm2(conv1(a))))). Where the width stays, the
    shortcut is x itself; where it changes, a 1×1 convolution of the *activated* a, as in the authors' code.
    """

    def __init__(self, in_chs: int, out_chs: int, stride: int, drop_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_chs)
        self.conv1 = nn.Conv2d(in_chs, out_chs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_chs)
        self.drop = nn.Dropout(drop_rate)
        self.conv2 = nn.Conv2d(out_chs, out_chs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(in_chs, out_chs, 1, stride, bias=False) if in_chs != out_chs else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = F.relu(self.norm1(x), inplace=True)
        residual = self.conv2(self.drop(F.relu(self.norm2(self.conv1(a)), inplace=True)))
        return (x if self.shortcut is None else self.shortcut(a)) + residual


class WideResNet(nn.Module):
    """WRN-depth-width. Images (B, in_chans, H, W) of any size; features (B, 64·width, ⌈H/4⌉, ⌈W/4⌉); 8×8 for 32×32.

    Convolutions start normal with std √(2 / (kernel² · out_chs)), kaiming's fan_out: the authors' MSRinit of May 2016,
    when the paper came out (since September 2016 theirs counts the input channels). BatchNorm's weights start at 1,
    its biases and the classifier's at 0; the classifier's weights keep PyTorch's default.

    Args:
        depth: number of convolutions, 6n + 4 for n ≥ 1: two in each of 3n blocks, the stem and three shortcuts.
        width: the widening factor k ≥ 1.
        num_classes: 0 for none: the model then returns pooled features.
        global_pool: a pooling of timm's (avg, max, avgmax, catavgmax), or "" for none.
        drop_rate: dropout inside the blocks, between the two convolutions, in training only; the paper's 0.3 for
            CIFAR. Off by default. Not before the classifier, where most of timm's models have theirs.
        device, dtype: where the parameters go.

    Raises:
        ValueError: depth is not 6n + 4, or width is not a whole number from 1.
    """

    def __init__(
        self,
        depth: int = 28,
        width: int = 2,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        blocks = _blocks_per_group(depth)
        if width < 1 or width != int(width):
            raise ValueError(f"width must be a whole number from 1, got {width}")
        self.in_chans = in_chans
        self.stem = nn.Conv2d(in_chans, STEM_CHANNELS, 3, padding=1, bias=False)
        self.feature_info = [{"num_chs": STEM_CHANNELS, "reduction": 1, "module": "stem"}]
        self.groups = nn.Sequential()
        channels, reduction = STEM_CHANNELS, 1
        for i, stride in enumerate(STRIDES):
            out_chs = STEM_CHANNELS * int(width) * 2**i
            first = WideBasic(channels, out_chs, stride, drop_rate)
            others = (WideBasic(out_chs, out_chs, 1, drop_rate) for _ in range(blocks - 1))
            self.groups.append(nn.Sequential(first, *others))
            channels, reduction = out_chs, reduction * stride
            self.feature_info.append({"num_chs": channels, "reduction": reduction, "module": f"groups.{i}"})
        self.norm = nn.BatchNorm2d(channels)
        self.num_features = channels
        self.grad_checkpointing = False
        for module in self.modules():  # BatchNorm's own defaults are the ones we want
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.global_pool: Any  # is made with the classifier
        self.reset_classifier(num_classes, global_pool)
        self.to(device=device, dtype=dtype)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """For layer-wise learning rates: which parameters lie how deep. The final norm goes with what is before it."""
        groups = r"^groups\.(\d+)" if coarse else r"^groups\.(\d+)\.(\d+)"
        return {"stem": r"^stem", "blocks": [(groups, None), (r"^norm", (99999,))]}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the blocks' inputs alone for the backward pass, and compute each block again there."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.fc

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new classifier, on the device of the rest; `global_pool` None keeps the pooling as it is."""
        self.num_classes = num_classes
        pool_type = self.global_pool.pool_type if global_pool is None else global_pool
        self.global_pool, fc = create_classifier(self.num_features, num_classes, pool_type=pool_type)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        if num_classes > 0:
            nn.init.zeros_(fc.bias)
        self.fc = fc.to(self.stem.weight)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        if self.grad_checkpointing and not torch.jit.is_scripting():
            x = checkpoint_seq(self.groups, x, flatten=True)
        else:
            x = self.groups(x)
        return F.relu(self.norm(x), inplace=True)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.global_pool(x)
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _blocks_per_group(depth: int) -> int:
    """n of depth = 6n + 4."""
    if depth < 10 or (depth - 4) % 6:
        n = max(1, int((depth - 4) // 6))
        raise ValueError(f"depth must be 6n + 4 for a whole n ≥ 1, got {depth}: take {6 * n + 4} or {6 * n + 10}")
    return int(depth - 4) // 6


# What timm's loaders should do: give the whole 32×32 image, with the mean and std of the authors' train.lua. Those are
# CIFAR-10's, and the authors used them for CIFAR-100 as well; timm's --mean and --std replace them for other data.
CIFAR = {
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "crop_pct": 1.0,
    "interpolation": "bicubic",
    "mean": (125.3 / 255, 123.0 / 255, 113.9 / 255),
    "std": (63.0 / 255, 62.1 / 255, 66.7 / 255),
    "num_classes": 10,
    "first_conv": "stem",
    "classifier": "fc",
    "paper_ids": "arXiv:1605.07146",
    "origin_url": "https://github.com/szagoruyko/wide-residual-networks",
}

# register_model looks for this name. There are no published weights to point to.
default_cfgs = generate_default_cfgs({"wrn_28_2": CIFAR, "wrn_28_10": CIFAR})


def _create(variant: str, pretrained: bool, **kwargs: Any) -> WideResNet:
    feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}  # timm's default is five features
    return build_model_with_cfg(WideResNet, variant, pretrained, feature_cfg=feature_cfg, **kwargs)


@register_model
def wrn_28_2(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """WRN-28-2: 1,467,610 parameters with 10 classes. `depth` and `width` may be given, for a relative of it."""
    return _create("wrn_28_2", pretrained, **{"depth": 28, "width": 2, **kwargs})


@register_model
def wrn_28_10(pretrained: bool = False, **kwargs: Any) -> WideResNet:
    """WRN-28-10: 36,479,194 parameters with 10 classes."""
    return _create("wrn_28_10", pretrained, **{"depth": 28, "width": 10, **kwargs})
