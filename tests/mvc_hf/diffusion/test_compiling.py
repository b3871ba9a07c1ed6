"""What is compiled, and when; with a compiler that only counts what it is given."""

import contextlib

import pytest
import torch

from mvc_hf.config.recipe import Recipe
from mvc_hf.diffusion.compiling import CompiledUNet
from mvc_hf.errors import RecipeError
from mvc_hf.generation import generator as generating
from mvc_hf.generation.generate import generate
from mvc_hf.training import trainer as training
from mvc_hf.training.finetune import finetune


class Net(torch.nn.Module):
    """A U-Net as far as a compiler sees it; counts the graphs that were made of it."""

    def __init__(self, fails=False):
        super().__init__()
        self.layer, self.graphs, self.fails = torch.nn.Linear(3, 3), 0, fails

    def forward(self, x):
        return self.layer(x).relu()

    def compile(self, **options):
        def counting(graph, inputs):
            self.graphs += 1
            if self.fails:
                raise ValueError("no compiler here")
            return graph.forward

        assert options == {"dynamic": False}
        super().compile(backend=counting, **options)


@pytest.fixture(autouse=True)
def anew():
    torch._dynamo.reset()


def test_the_common_shape_is_compiled_once_and_others_never(capsys):
    net = Net()
    compiled, plain = CompiledUNet(net, True), net.layer
    for size in (4, 4, 2, 4):
        x = torch.randn(size, 3)
        with compiled.common() if size == 4 else compiled.seldom():
            assert torch.equal(net(x), plain(x).relu())
    assert net.graphs == 1
    assert capsys.readouterr().err.count("compiling the U-Net") == 1


def test_nothing_is_compiled_unless_asked_for(capsys):
    net = Net()
    compiled = CompiledUNet(net, False)
    for mode in (compiled.common, compiled.seldom):
        with mode():
            net(torch.randn(2, 3))
    assert net.graphs == 0 and capsys.readouterr().err == ""


def test_where_it_cannot_be_compiled_a_line_says_so():
    net = Net(fails=True)
    says = r"--compile does not work here .*no compiler here.*: leave it out"
    with pytest.raises(RecipeError, match=says) as error, CompiledUNet(net, True).common():
        net(torch.randn(2, 3))
    assert "\n" not in str(error.value)


def test_other_errors_are_passed_on():
    with pytest.raises(ZeroDivisionError), CompiledUNet(Net(), True).common():
        raise ZeroDivisionError


class Recorder:
    """In the place of `CompiledUNet`: which of its two modes the U-Net is asked in, for batches of which size."""

    def __init__(self, unet, enabled):
        assert enabled
        unet.register_forward_pre_hook(lambda _, inputs: self.seen.append((self.mode, len(inputs[0]))))
        self.mode = "none"

    @contextlib.contextmanager
    def _as(self, mode):
        self.mode = mode
        yield
        self.mode = "none"

    def common(self):
        return self._as("common")

    def seldom(self):
        return self._as("seldom")


def test_steps_and_whole_batches_are_the_common_shape(photos, tiny_base, tmp_path, monkeypatch):
    for module in (training, generating):
        monkeypatch.setattr(module, "CompiledUNet", Recorder)
    recipe = Recipe(
        dataset=str(photos), base=str(tiny_base), train_batch_size=4, max_train_steps=2, compile=True,
        images_per_class=2, num_inference_steps=1, batch_size=4,
    )  # fmt: skip
    monkeypatch.setattr(Recorder, "seen", [], raising=False)
    finetune(recipe, tmp_path / "checkpoint")
    assert [size for mode, size in Recorder.seen if mode == "common"] == [4, 4]
    assert {mode for mode, _ in Recorder.seen} == {"common", "seldom"}  # looks at kept-aside images, and at the end
    Recorder.seen.clear()
    generate(recipe, tmp_path / "checkpoint", tmp_path / "out")
    assert Recorder.seen == [("common", 8), ("seldom", 4)]  # two passes each; the last batch has two rows


def test_it_does_not_count_for_what_comes_out():
    assert Recipe(compile=True).identity() == Recipe().identity()
