"""Recipe files that somebody got wrong, or made to do harm: one line each, at once."""

import os

import pytest

from mvc_hf.config.files import LARGEST, differing, fingerprint, parse_settings, read_settings
from mvc_hf.config.recipe import Recipe
from mvc_hf.config.run_recipe import RunRecipe
from mvc_hf.errors import RecipeError

LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "\n".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefghi", "bcdefghij")
)


def refused(text, name="r.yaml"):
    with pytest.raises(RecipeError) as caught:
        RunRecipe.from_dict(parse_settings(text, name))
    said = str(caught.value)
    assert "\n" not in said and len(said) < 1200 and said.isprintable()
    return said


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("coarse: 1\nfine: 2\ncoarse: 3\n", "r.yaml", "r.yaml gives 'coarse' twice, in line 1 and in line 3"),
        ("batch-size: 1\n# no\nbatch_size: 2\n", "r.yaml", "gives 'batch_size' twice, in line 1 and in line 3"),
        ("{coarse: 1, fine: 2, coarse: 1}", "r.yaml", "gives 'coarse' twice, in line 1 and in line 1"),
        (
            "captions: a.parquet\ncaptioner: blip2\n",
            "r.yaml",
            "captions is given twice, the second time as 'captioner'",
        ),
        (
            '{"coarse": 1,\n "fine": 2,\n "coarse": 3}',
            "r.json",
            "r.json gives 'coarse' twice, in line 1 and in line 3",
        ),
        ('{"batch-size": 1, "batch_size": 3}', "r.json", "gives 'batch_size' twice, in line 1 and in line 1"),
        ('{"co\\u0061rse": 1, "coarse": 3}', "r.json", "gives 'coarse' twice: keep one"),
        ('{"x": [{"y": 1, "y": 2}]}', "r.json", "gives 'y' twice"),
    ],
)
def test_a_setting_that_is_given_twice_is_named_with_its_lines(text, name, says):
    assert says in refused(text, name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "r.yaml, line 2: an alias can stand for one value only"),
        ("a: &a\n  b: *a\n", "r.yaml, line 2"),
        ("x: &x {coarse: 1}\n<<: *x\n", "an alias can stand for one value only"),
        ("[" * 100_000, "nested too deep"),
        ("dataset: " + "{a: " * 20 + "1" + "}" * 20, "r.yaml, line 1: values are nested too deep"),
        ("- " * 50_000, "nested too deep"),
        ("learning-rate: 1" + "0" * 400, "--learning-rate is a number of about 401 digits"),
        ("seed: 1" + "0" * 400, "--seed is a number of about 40"),
        ("seed: 0x1" + "0" * 9000, "--seed is a number of about 10,8"),
        ("seed: 1" + "0" * 9000, "not valid YAML"),
        ("dataset: " + "x" * 100_000 + "\nseed: a", "--seed takes a value of type int, not 'a'"),
        ("seed: " + "x" * 100_000, "--seed takes a value of type int"),
        ("? " + "x" * 100_000 + "\n: 1", "unknown setting 'xxx"),
        ("seed: !!timestamp x", "not valid YAML"),
        ("seed: !!int ''", "not valid YAML"),
        ("seed: !!bool x", "not valid YAML"),
        ("seed: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("seed: 2024-13-45", "not valid YAML"),
        ('dataset: "a\\0b"', "--dataset is 'a\\x00b': it holds a null character"),
        ('output: "\\ud800"', "--output is '\\ud800': it is not valid UTF-8"),
        ("dataset: [a, b]", "--dataset takes a value of type str"),
        ("dataset: {a: b}", "--dataset takes a value of type str"),
        ("? [a]\n: 1", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("5: 1", "unknown setting '5'"),
        ("null: 1", "unknown setting 'None'"),
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("\u202e: 1", "unknown setting '\\u202e'"),
    ],
)  # fmt: skip
def test_yaml_that_is_no_recipe(text, says):
    assert says in refused(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' * 100_000, "nested too deep"),
        ('{"seed": ' + "1" * 9000 + "}", "not valid JSON"),
        ('{"learning-rate": 1' + "0" * 400 + "}", "--learning-rate is a number of about 401 digits"),
        ('{"learning-rate": NaN}', "r.json holds NaN, which is no number in JSON"),
        ('{"learning-rate": -Infinity}', "holds -Infinity"),
        ('{"dataset": "\\u0000"}', "--dataset is '\\x00': it holds a null character"),
        ('{"dataset": "\\ud800"}', "--dataset is '\\ud800': it is not valid UTF-8"),
        ('{"output": "\\udfff"}', "--output is '\\udfff': it is not valid UTF-8"),
        ("{", "not valid JSON"),
        ("null", "holds no settings"),
    ],
)
def test_json_that_is_no_recipe(text, says):
    assert says in refused(text, "r.json")


def test_an_alias_of_one_value_is_fine():
    assert parse_settings("output: &name flowers\nhub-model-id: *name\n", "r.yaml")["hub-model-id"] == "flowers"


def test_what_has_no_end_or_never_begins_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (LARGEST + 1))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    for name, says in {
        "pipe.yaml": "it is no regular file",
        "large.yaml": "it has 1,048,577 bytes, a recipe at most 1,048,576",
        "binary.yaml": "it is not text in UTF-8",
        "loop.yaml": "cannot read the recipe",
        ".": "it is a folder",
        "none.yaml": "No such file",
        "x" * 5000: "File name too long",
        "a\0b": "null character",
        "a\udcff": "not valid UTF-8",
        "/dev/zero": "it is no regular file",
    }.items():
        for load in (Recipe.load, RunRecipe.load, read_settings):
            with pytest.raises(RecipeError) as caught:
                load(tmp_path / name)
            assert says in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(("text", "says"), [("a: [", "not valid YAML"), ("- a", "no settings"), ("", "no settings")])
def test_files_that_are_no_recipes(tmp_path, text, says):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(RecipeError, match=says):
        Recipe.load(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="cannot read"):
        Recipe.load(tmp_path / "none.yaml")


def test_yaml_cannot_build_objects(tmp_path):
    (tmp_path / "r.yaml").write_text("seed: !!python/object/apply:os.getpid []")
    with pytest.raises(RecipeError, match="not valid YAML"):
        Recipe.load(tmp_path / "r.yaml")


def test_fingerprint_does_not_depend_on_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})


def test_differing_names_the_fields():
    assert differing({"seed": 1, "fine": 8}, {"seed": 0, "fine": 8}) == "seed (0 → 1)"
    assert differing({"a": 1}, {}) == "a (None → 1)"


def test_a_recipe_of_the_package_stands_in_for_a_file_that_is_not_there(tmp_path, monkeypatch):
    """The docs name recipes/cifar10.yaml, which a wheel has inside. One's own comes first."""
    monkeypatch.chdir(tmp_path)
    assert "dataset" in read_settings("recipes/cifar10.yaml")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "cifar10.yaml").write_text("dataset: mine")
    assert read_settings("recipes/cifar10.yaml") == {"dataset": "mine"}
    for name in ("recipes/none.yaml", "recipes/../recipes/cifar100.yaml", "other/cifar10.yaml", "cifar100.yaml"):
        with pytest.raises(RecipeError, match="cannot read the recipe"):
            read_settings(name)
