"""Wide residual networks, against the authors' own definition and against what timm asks of a model."""

import copy

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import group_parameters
from torch.nn import functional as F

from mvc_hf.plugins.timm_models import WideBasic, WideResNet


def small(**kwargs):
    """WRN-16-2: a changing and a plain block in every group."""
    return WideResNet(depth=16, width=2, **kwargs)


def shaken(model, seed=0):
    """Every parameter and statistic away from its neutral value, so that leaving out or swapping a layer shows."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            low, high = (0.5, 1.5) if name.endswith(("weight", "var")) else (-0.5, 0.5)
            tensor.uniform_(low, high, generator=generator)
    return model


def images(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seen(module, run):
    """(input, output) of a module while `run()` runs; copies, for activations are made in place."""
    kept = []
    handle = module.register_forward_hook(lambda _, args, output: kept.append((args[0].clone(), output.clone())))
    run()
    handle.remove()
    return kept[0]


def authors_forward(model, x):
    """The function f of the authors' pytorch/resnet.py, on our parameters, in evaluation mode."""
    p = model.state_dict()

    def activated(x, name):
        mean, var, weight, bias = (p[f"{name}.{s}"] for s in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, mean, var, weight, bias))

    def block(x, base, stride):
        o1 = activated(x, f"{base}.norm1")
        y = F.conv2d(o1, p[f"{base}.conv1.weight"], stride=stride, padding=1)
        o2 = activated(y, f"{base}.norm2")
        z = F.conv2d(o2, p[f"{base}.conv2.weight"], stride=1, padding=1)
        if f"{base}.shortcut.weight" in p:
            return z + F.conv2d(o1, p[f"{base}.shortcut.weight"], stride=stride)
        return z + x

    o = F.conv2d(x, p["stem.weight"], padding=1)
    for group, stride in enumerate((1, 2, 2)):
        for i in range(len(model.groups[group])):
            o = block(o, f"groups.{group}.{i}", stride if i == 0 else 1)
    o = F.avg_pool2d(activated(o, "norm"), 8, 1, 0)
    return F.linear(o.view(o.size(0), -1), p["fc.weight"], p["fc.bias"])


def test_registered():
    assert timm.list_models("wrn_*") == ["wrn_28_2", "wrn_28_10"]
    assert timm.list_models("wrn_*", pretrained=True) == []


@pytest.mark.parametrize(("name", "parameters"), [("wrn_28_2", 1_467_610), ("wrn_28_10", 36_479_194)])
def test_parameter_count(name, parameters):
    model = timm.create_model(name, num_classes=10, device="meta")
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len([m for m in model.modules() if isinstance(m, torch.nn.Conv2d)]) == 28


def test_equals_the_authors_definition():
    model, x = shaken(small()).eval(), images(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), authors_forward(model, x))


def test_width_1_keeps_the_first_shortcut_plain():
    first, second, third = (group[0] for group in WideResNet(depth=10, width=1).groups)
    assert first.shortcut is None
    assert second.shortcut.weight.shape == (32, 16, 1, 1)
    assert third.shortcut.weight.shape == (64, 32, 1, 1)


def test_shortcut_sees_the_activated_input():
    block = shaken(WideBasic(4, 8, 2, 0.0)).eval()
    x = images(2, 4, 6, 6)
    before = x.clone()
    shortcut, _ = seen(block.shortcut, lambda: block(x))
    assert torch.equal(shortcut, F.relu(block.norm1(x)))
    assert torch.equal(x, before)  # a plain block still needs it


@pytest.mark.parametrize("p", [0.0, 0.25])
def test_dropout_lies_between_the_convolutions(p):
    model = small(drop_rate=p).train()
    x = images(8, 3, 16, 16)

    def step():
        torch.manual_seed(0)
        model(x)

    for block in (model.groups[0][0], model.groups[2][1]):
        _, normed = seen(block.norm2, step)
        second, _ = seen(block.conv2, step)
        whole = F.relu(normed)
        kept = second != 0
        torch.testing.assert_close(second[kept], whole[kept] / (1 - p))
        assert 1 - kept[whole > 0].float().mean() == pytest.approx(p, abs=0.03)
        _, normed = seen(block.norm1, step)
        first, _ = seen(block.conv1, step)
        assert torch.equal(first, F.relu(normed))
    _, pooled = seen(model.global_pool, step)
    last, _ = seen(model.fc, step)
    assert torch.equal(last, pooled)  # none before the classifier


def test_dropout_is_for_training_alone():
    model, x = small(drop_rate=0.5), images(2, 3, 16, 16)
    assert not torch.equal(model(x), model(x))
    plain = small()
    plain.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(x), plain.eval()(x))


def test_initial_weights():
    torch.manual_seed(0)
    model = WideResNet(depth=16, width=4)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            formula = (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
            error = 5 * formula / (2 * module.weight.numel()) ** 0.5  # five standard errors of a standard deviation
            assert module.weight.std().item() == pytest.approx(formula, abs=error), name
            assert module.bias is None
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
    assert (model.fc.bias == 0).all()
    model.reset_classifier(7)
    assert (model.fc.bias == 0).all()


@pytest.mark.parametrize("depth", [4, 9, 29, 0, -2])
def test_depth_is_6n_plus_4(depth):
    with pytest.raises(ValueError, match=rf"6n \+ 4.*got {depth}: take \d+ or \d+"):
        WideResNet(depth=depth)


@pytest.mark.parametrize("width", [0, -1, 1.5])
def test_width_is_a_whole_number(width):
    with pytest.raises(ValueError, match=f"whole number from 1, got {width}"):
        WideResNet(width=width)


def test_created_through_timm():
    model = timm.create_model("wrn_28_2", num_classes=5, in_chans=1, drop_rate=0.1, global_pool="max").eval()
    assert model(images(2, 1, 32, 32)).shape == (2, 5)
    assert model(images(2, 1, 28, 28)).shape == model(images(2, 1, 45, 20)).shape == (2, 5)
    assert model.groups[0][0].drop.p == 0.1
    relative = timm.create_model("wrn_28_2", depth=10, width=1)
    assert relative.num_features == 64 and len(relative.groups[0]) == 1


def test_data_config():
    config = timm.data.resolve_data_config({}, model=timm.create_model("wrn_28_10", device="meta"))
    assert config["input_size"] == (3, 32, 32)
    assert config["crop_pct"] == 1.0
    assert config["mean"] == pytest.approx((0.4914, 0.4824, 0.4467), abs=1e-4)
    assert config["std"] == pytest.approx((0.2471, 0.2435, 0.2616), abs=1e-4)


def test_features_and_head():
    model, x = small(num_classes=7).eval(), images(2, 3, 32, 32)
    features = model.forward_features(x)
    assert features.shape == (2, model.num_features, 8, 8)  # pool_size
    assert features.min() == 0  # activated
    pooled = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    assert torch.equal(model.forward_head(features), model.get_classifier()(pooled))
    assert torch.equal(model.forward_head(features), model(x))


def test_reset_classifier():
    model, x = small().double().eval(), images(2, 3, 32, 32).double()
    model.reset_classifier(3)
    assert model(x).shape == (2, 3) and model.num_classes == 3
    model.reset_classifier(4, "catavgmax")
    assert model(x).shape == (2, 4) and model.head_hidden_size == 2 * model.num_features == 256
    model.reset_classifier(0)
    assert model(x).shape == (2, 256)
    model.reset_classifier(0, "")
    assert model(x).shape == (2, 128, 8, 8)


def test_gradient_checkpointing_changes_no_gradient():
    plain, x = small(drop_rate=0.3), images(2, 3, 16, 16)
    spared = copy.deepcopy(plain)
    spared.set_grad_checkpointing()
    computed = []
    spared.groups[1][0].conv1.register_forward_hook(lambda *_: computed.append(1))
    for model in (plain, spared):
        torch.manual_seed(0)
        model(x).square().sum().backward()
    assert len(computed) == 2  # it was on
    for (name, p), q in zip(plain.named_parameters(), spared.parameters()):
        torch.testing.assert_close(p.grad, q.grad, msg=name)


def test_feature_extraction():
    x = images(2, 3, 32, 32)
    model = timm.create_model("wrn_28_2", depth=16, features_only=True).eval()
    assert model.feature_info.channels() == [16, 32, 64, 128]
    assert model.feature_info.reduction() == [1, 1, 2, 4]
    assert [tuple(f.shape[1:]) for f in model(x)] == [(16, 32, 32), (32, 32, 32), (64, 16, 16), (128, 8, 8)]
    last = timm.create_model("wrn_28_2", depth=16, features_only=True, out_indices=(-1,)).eval()
    assert [tuple(f.shape[1:]) for f in last(x)] == [(128, 8, 8)]


def test_parameter_groups_follow_the_depth():
    model = small()
    fine = group_parameters(model, model.group_matcher(), reverse=True)
    assert [fine[f"groups.{g}.{b}.conv1.weight"] for g in range(3) for b in range(2)] == [1, 2, 3, 4, 5, 6]
    assert fine["stem.weight"] == 0 and fine["norm.weight"] == 6 and fine["fc.weight"] == 7
    coarse = group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    assert [coarse[f"groups.{g}.1.conv1.weight"] for g in range(3)] == [1, 2, 3]
    assert coarse["stem.weight"] == 0 and coarse["norm.weight"] == 3 and coarse["fc.weight"] == 4


def test_weights_of_a_file_fit_other_channels_and_classes(tmp_path):
    """What `--pretrained-path` does: the stem's channels are summed, the classifier starts anew."""
    source = shaken(small())
    save_file(source.state_dict(), tmp_path / "wrn.safetensors")
    overlay = {"file": str(tmp_path / "wrn.safetensors")}
    arguments = {"pretrained": True, "pretrained_cfg_overlay": overlay, "depth": 16}
    same = timm.create_model("wrn_28_2", **arguments)
    x = images(2, 3, 16, 16)
    assert torch.equal(same.eval()(x), source.eval()(x))
    other = timm.create_model("wrn_28_2", in_chans=1, num_classes=4, **arguments)
    torch.testing.assert_close(other.stem.weight, source.stem.weight.sum(1, keepdim=True))
    assert torch.equal(other.groups[2][1].conv2.weight, source.groups[2][1].conv2.weight)
    assert other.fc.weight.shape == (4, 128)
