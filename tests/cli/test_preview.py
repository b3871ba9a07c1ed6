"""mvc-hf preview: the picture, the terminal, one line for whatever goes wrong."""

import shutil

import pytest
from PIL import Image

from mvc_hf import cli
from mvc_hf.config.recipe import Recipe
from mvc_hf.inspection import preview as library
from mvc_hf.inspection.mix_summary import Mixture
from mvc_hf.inspection.preview import Preview, Row


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = cli.run(["preview", *map(str, arguments)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def asked(monkeypatch):
    """Instead of the models: notes what was asked for, and gives a preview of one row."""
    calls = []

    def preview(recipe, model, **options):
        calls.append((recipe, model, options))
        picture = Image.new("RGB", (8, 8), "red")
        row = Row("apple", 0, 0, "a caption", picture, (Mixture(0.0, ()),), (picture,), None)
        return Preview((row,), ((0, 0),), recipe, "model", "data", 77, 768)

    monkeypatch.setattr(library, "preview", preview)
    return calls


def in_terminal(monkeypatch, **environment):
    for name in ("TMUX", "KITTY_WINDOW_ID", "LC_TERMINAL", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)


def be_a_terminal(monkeypatch):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)


def test_a_sheet_of_a_real_checkpoint(run, checkpoint, photos, tiny_base, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "checkpoint")
    arguments = ("checkpoint", "--dataset", photos, "--num-inference-steps", 2, "--classes", "pear", "--rows", 1)
    code, out, err = run(*arguments)
    assert code == 0, err
    assert out == "preview.png: 1 rows of 1 classes at P,Q = 0,0 2,8 8,8 2,32\n"
    assert "the column of the pretrained base is left out: give --base" in err
    with Image.open(tmp_path / "preview.png") as sheet:
        narrow = sheet.width
        assert sheet.format == "PNG" and sheet.mode == "RGB" and sheet.width > 4 * 160
    assert run(*arguments, "--base", tiny_base)[0] == 0
    with Image.open(tmp_path / "preview.png") as sheet:
        assert sheet.width > narrow + 160
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "preview.png"]


def test_options_reach_the_recipe(run, asked):
    code, _, err = run(
        "org/model", "--dataset", "org/data", "--coarse", 3, "--guidance-scale", 2, "--seed", 9, "--classes", "a",
        "--classes", "b,c", "--rows", 4, "--settings", "1,1", "--no-pretrained", "--base", "org/base",
    )  # fmt: skip
    assert code == 0, err
    ((recipe, model, options),) = asked
    assert model == "org/model"
    assert options == {"classes": ("a", "b,c"), "rows": 4, "settings": "1,1", "pretrained": False}
    wanted = Recipe(dataset="org/data", base="org/base", coarse=3, guidance_scale=2.0, seed=9)
    assert recipe == wanted


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP")])
def test_formats(run, asked, tmp_path, name, kind):
    assert run("model", "-o", name)[0] == 0
    with Image.open(tmp_path / name) as sheet:
        assert sheet.format == kind


@pytest.mark.parametrize("arguments", [(), ("--inline",), ("--no-inline",)])
@pytest.mark.parametrize("environment", [{"TERM": "xterm-kitty"}, {"TERM_PROGRAM": "iTerm.app"}])
def test_no_escape_codes_go_into_a_pipe(run, asked, monkeypatch, arguments, environment):
    in_terminal(monkeypatch, **environment)
    code, out, err = run("model", *arguments)
    assert code == 0 and "\033" not in out + err
    assert ("not shown inline: the output is no terminal" in err) == ("--inline" in arguments)


@pytest.mark.parametrize(
    ("environment", "arguments", "begins", "said"),
    [
        ({"TERM": "xterm-kitty"}, (), "\033_Ga=T", False),
        ({"TERM_PROGRAM": "WezTerm"}, ("--inline",), "\033]1337;File=", False),
        ({"TERM_PROGRAM": "WezTerm"}, ("--no-inline",), "preview.png: ", False),
        ({"TERM": "xterm"}, (), "preview.png: ", False),
        ({"TERM": "xterm"}, ("--inline",), "preview.png: ", True),
    ],
)
def test_in_a_terminal_the_picture_is_shown_where_it_can_be(
    run, asked, monkeypatch, environment, arguments, begins, said
):
    in_terminal(monkeypatch, **environment)
    be_a_terminal(monkeypatch)
    code, out, err = run("model", *arguments)
    assert code == 0 and out.startswith(begins) and "preview.png: 1 rows" in out
    assert ("this terminal is not known for it" in err) == said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "Missing argument 'MODEL'"),
        (("model", "--rows", "0"), 2, "0 is not in the range"),
        (("model", "--images-per-class", "3"), 2, "No such option"),
        (("model", "--method", "mvc"), 2, "No such option"),
        (("model", "-o", "."), 1, ". is a folder: give the name of a picture"),
        (("model", "-o", "none/a.png"), 1, "none/a.png lies in no folder that is there"),
        (("model", "-o", "data.parquet"), 1, "data.parquet names no picture: let it end in .png"),
        (("model", "--coarse", "-1"), 1, "--coarse is -1; it must be at least 0"),
    ],
)
def test_bad_input_is_one_line_before_any_work(run, asked, tmp_path, arguments, code, says):
    found, _, err = run(*arguments)
    assert found == code and says in " ".join(err.split())
    assert code == 2 or len(err.strip().splitlines()) == 1
    assert not asked and list(tmp_path.iterdir()) == []


def test_no_such_model(run):
    code, _, err = run("./none", "--dataset", "x")
    assert code == 1 and "mvc.json" in err and "Traceback" not in err
