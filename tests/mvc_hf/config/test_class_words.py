"""What classes are called in captions."""

import pytest

from mvc_hf.config.class_words import read_words, with_article, words_of
from mvc_hf.errors import DataError, RecipeError


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["01_tabby", "02_golden_retriever"], ("tabby", "golden retriever")),
        (["001.Black_footed_Albatross", "002.Laysan_Albatross"], ("Black footed Albatross", "Laysan Albatross")),
        (["1 - cat", "2 - dog"], ("cat", "dog")),
        (["T-shirt/top", "Ankle boot"], ("T-shirt/top", "Ankle boot")),
        (["3_series", "5_series"], ("3 series", "5 series")),  # the rest would be one and the same
        (["01_cat", "dog"], ("01 cat", "dog")),  # nothing is in order there
        (["0", "1", "2"], ("0", "1", "2")),
        (["01_only"], ("01 only",)),
        (["_", "a__b"], ("_", "a b")),
    ],
)
def test_words_of(names, words):
    assert words_of(names) == words


@pytest.mark.parametrize(
    ("template", "words", "says"),
    [
        ("a photo of a {}.", "airplane", "a photo of an airplane."),
        ("a photo of a {}.", "cat", "a photo of a cat."),
        ("a photo of an {}.", "cat", "a photo of a cat."),
        ("A {} here", "apple", "An apple here"),
        ("a {}", "hourglass", "an hourglass"),
        ("a {}", "unicycle", "a unicycle"),
        ("a {}", "umbrella", "an umbrella"),
        ("a {}", "user", "a user"),
        ("a {}", "MRI scan", "an MRI scan"),
        ("a {}", "one-way street", "a one-way street"),
        ("a {}", "Ente", "an Ente"),
        ("a photo of a large {}.", "airplane", "a photo of a large airplane."),
        ("the {}", "apple", "the apple"),
        ("{}", "apple", "apple"),
        ("pizza {}", "apple", "pizza apple"),
        ("a {}", "{}", "a {}"),
    ],
)
def test_with_article(template, words, says):
    assert with_article(template, words) == says


def test_a_file_says_it_better(tmp_path):
    path = tmp_path / "words.yaml"
    path.write_text("01_tabby: 'tabby cat'\n")
    assert read_words(str(path), ["01_tabby", "02_lion"]) == ("tabby cat", "lion")
    (tmp_path / "words.json").write_text('{"02_lion": "lion,  from Africa"}')
    assert read_words(str(tmp_path / "words.json"), ["01_tabby", "02_lion"]) == ("tabby", "lion, from Africa")


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("01_taby: cat", DataError, "names '01_taby', which is no class: did you mean '01_tabby'"),
        ("01_tabby: ''", DataError, "write words, in quotes"),
        ("01_tabby: 5", DataError, "write words, in quotes"),
        ("- 1", RecipeError, "holds no settings"),
    ],
)
def test_files_that_are_refused(tmp_path, text, error, match):
    (tmp_path / "words.yaml").write_text(text)
    with pytest.raises(error, match=match):
        read_words(str(tmp_path / "words.yaml"), ["01_tabby", "02_lion"])
    with pytest.raises(RecipeError, match="cannot read"):
        read_words(str(tmp_path / "none.yaml"), ["a"])
