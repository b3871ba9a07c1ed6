"""Weights from a file and from a Hub; what cannot be had is told with what can."""

import judged
import numpy as np
import pytest
import timm
import torch
from hub_server import File, connect

from mvc_hf.errors import ModelError
from mvc_hf.features.extractor import DEFAULT, SECOND, cached_models, could_be_had, open_timm

CPU = torch.device("cpu")


def test_default_models_are_known_to_timm_with_weights_on_the_hub():
    for name in (DEFAULT, SECOND):
        assert timm.is_model(name) and timm.get_pretrained_cfg(name).hf_hub_id == f"timm/{name}"


def test_weights_of_a_file(tmp_path):
    file = judged.weights(tmp_path / "w.safetensors")
    found = open_timm(judged.MODEL, str(file), 32, CPU)
    torch.manual_seed(0)
    model = timm.create_model(judged.MODEL, num_classes=1000).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    cfg = model.pretrained_cfg
    values = (torch.from_numpy(pictures) / 255 - torch.tensor(cfg["mean"])[:, None, None]) / torch.tensor(cfg["std"])[
        :, None, None
    ]
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(values), pre_logits=True)
    assert found(pictures) == pytest.approx(expected.numpy(), abs=1e-5)
    assert found.name.startswith("test_resnet with w.safetensors (") and found.size == 32
    other = judged.weights(tmp_path / "w.safetensors", classes=10)  # a head of another size is no matter
    assert open_timm(judged.MODEL, str(other), 32, CPU).identity != found.identity


def test_a_transformer_takes_another_size(tmp_path):
    from safetensors.torch import save_file

    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "w.safetensors")
    assert open_timm("test_vit", str(tmp_path / "w.safetensors"), None, CPU).size == 160
    found = open_timm("test_vit", str(tmp_path / "w.safetensors"), 64, CPU)
    assert found(np.zeros((2, 3, 64, 64), np.uint8)).shape[0] == 2
    with pytest.raises(ModelError, match=r"does not take pictures of 63×63|not those of"):
        open_timm("test_vit", str(tmp_path / "w.safetensors"), 63, CPU)


def test_weights_of_the_hub_and_then_of_the_cache(tmp_path, local_hub, monkeypatch):
    file = judged.weights(tmp_path / "w.safetensors")
    repo = local_hub.repo("timm/test_resnet.r160_in1k", "models")
    repo.commit("main", "weights", {"model.safetensors": File.of(file.read_bytes(), True),
                                    "pytorch_model.bin": File.of(b"a pickle", True)})  # fmt: skip
    connect(local_hub, tmp_path / "home", monkeypatch)
    found = open_timm("test_resnet.r160_in1k", None, 32, CPU)
    assert found.name == "test_resnet.r160_in1k"
    assert not [r for r in local_hub.requests if "pytorch_model" in r.path]
    assert cached_models() == ["test_resnet.r160_in1k"]
    assert "from the cache: test_resnet.r160_in1k" in could_be_had()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert open_timm("test_resnet.r160_in1k", None, 32, CPU).identity == found.identity


def test_pickles_of_the_hub_are_not_fetched(tmp_path, local_hub, monkeypatch):
    repo = local_hub.repo("timm/test_resnet.r160_in1k", "models")
    repo.commit("main", "weights", {"pytorch_model.bin": File.of(b"a pickle", True)})
    connect(local_hub, tmp_path / "home", monkeypatch)
    with pytest.raises(
        ModelError, match=r"has no model\.safetensors, and other formats are not read.*What can be had"
    ):
        open_timm("test_resnet.r160_in1k", None, None, CPU)


@pytest.mark.parametrize(
    ("name", "match"),
    [("resnet81", "timm has no such model; did you mean 'resnet18'"), ("xyzzy", r"timm\.list_models\(\) says"),
     ("../x", "timm has no such model"),
     ("resnet18.none", "timm knows no such weights of it; there are 'resnet18.a1_in1k'"),
     ("vit_small_patch14_dinov2", "cannot be reached.*What can be had: any timm model with --feature-weights")],
)  # fmt: skip
def test_names_that_lead_nowhere(name, match):
    with pytest.raises(ModelError, match=match) as caught:
        open_timm(name, None, None, CPU)
    assert "\n" not in str(caught.value)
