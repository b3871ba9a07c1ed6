"""Expressions say what they say in Python, and nothing of them is ever run."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from mvc_hf.augment.expression import Expression
from mvc_hf.errors import RecipeError

COLUMNS = {
    "a": np.array([0.0, 0.5, 1.0, np.nan]),
    "b": np.array([1.0, 1.0, 2.0, 2.0]),
    "flag": np.array([True, False, True, False]),
    "name": np.array(["cat", "dog", "cat", "two words"]),
}


def holds(text):
    return Expression(text, "--aug-filter").condition(COLUMNS, 4).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 0.2", [0, 1, 1, 0]),
        ("a > 0.2 and b < 2", [0, 1, 0, 0]),
        ("a > 0.2 or flag", [1, 1, 1, 0]),
        ("not flag", [0, 1, 0, 1]),
        ("0.2 < a <= b / 2", [0, 1, 1, 0]),
        ("name == 'cat'", [1, 0, 1, 0]),
        ('name in ("cat", "two words")', [1, 0, 1, 1]),
        ("name not in ['dog']", [1, 0, 1, 1]),
        ("flag", [1, 0, 1, 0]),
        ("-a + 1 >= b - 0.5 * 2", [1, 1, 0, 0]),
        ("a != a", [0, 0, 0, 1]),
        ("b == 1 and not (a == 0)", [0, 1, 0, 0]),
        ("  a > 0.2\\n", [0, 1, 1, 0]),
        ("1 > 0", [1, 1, 1, 1]),
        ("flag == False", [0, 1, 0, 1]),
        ("a / 0 > 5", [0, 1, 1, 0]),
    ],
)
def test_what_holds(text, expected):
    assert holds(text.replace("\\n", "\n")) == list(map(bool, expected))


def test_weights():
    def value(text):
        return Expression(text, "--aug-weights").weights({**COLUMNS, "a": COLUMNS["b"]}, 4).tolist()

    assert value("0.5 + a * 2") == [2.5, 2.5, 4.5, 4.5] and value("3") == [3.0] * 4 and value("flag") == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("c > 1", "names 'c', which is no column; there are a, b, flag, name"),
        ("a", "is a number and no condition"),
        ("a > ", "cannot be read"),
        ("a > )", "cannot be read near character 5"),
        ("", "cannot be read"),
        ("a > 1; b", "cannot be read"),
        ("a = 1", "cannot be read"),
        ("name > 1", "numbers go with numbers"),
        ("name == 1", "numbers go with numbers"),
        ("a and b", "where a condition belongs"),
        ("not a", "where a condition belongs"),
        ("a in b", 'takes "in" with a list'),
        ("name + 'x' == 'y'", "numbers go with numbers"),
        ("(a, b)", "list where a value belongs"),
        ("a > None", "is no number"),
        ("a > ...", "is no number"),
        ("a > 1j", "is no number"),
        ("x" * 2000, "1,000 are the limit"),
        ("a\0", "cannot be read"),
        ("(" * 400 + "a" + ")" * 400, "cannot be read"),
        ("-" * 900 + "a > 1", "cannot be|worked out|condition"),
    ],
)
def test_what_is_wrong_is_one_line(text, match):
    with pytest.raises(RecipeError, match=match) as caught:
        holds(text)
    assert (
        str(caught.value).startswith("--aug-filter ")
        and "\n" not in str(caught.value)
        and len(str(caught.value)) < 500
    )


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('false')",
        "a.__class__",
        "a[0]",
        "lambda: 1",
        "[x for x in a]",
        "f'{a}'",
        "a ** b",
        "a @ b",
        "a if flag else b",
        "(x := 1)",
        "a // b",
        "a % b",
        "~flag",
        "a & b",
        "{1: 2}",
        "{1}",
        "*a",
        "a is b",
        "yield",
        "await a",
        "print(a)",
    ],
)
def test_nothing_else_is_known(text):
    with pytest.raises(RecipeError, match=r"holds|cannot be read"):
        Expression(text, "--aug-filter")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("-a", "is -1 for row 0"),
        ("0 * b", "is 0 for every row"),
        ("1 / (b - 1)", "is inf for row 0"),
        ("name", "is a text"),
    ],
)
def test_weights_that_are_none(text, match):
    columns = {**COLUMNS, "a": COLUMNS["b"]}
    with pytest.raises(RecipeError, match=match):
        Expression(text, "--aug-weights").weights(columns, 4)


NUMBERS = st.sampled_from(["a", "b", "0.5", "1", "2"])
CONDITIONS = st.recursive(
    st.builds(lambda x, how, y: f"{x} {how} {y}", NUMBERS, st.sampled_from(["<", "<=", "==", "!=", ">"]), NUMBERS),
    lambda inner: st.one_of(
        st.builds(lambda x: f"not ({x})", inner),
        st.builds(lambda x, how, y: f"({x}) {how} ({y})", inner, st.sampled_from(["and", "or"]), inner),
    ),
    max_leaves=6,
)


@given(CONDITIONS)
def test_it_is_what_python_says_of_each_row(text):
    expected = [eval(text, {"a": a, "b": b}) for a, b in zip(COLUMNS["a"].tolist(), COLUMNS["b"].tolist())]
    assert holds(text) == expected


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_one_line(text):
    try:
        found = Expression(text, "--aug-filter").condition(COLUMNS, 4)
    except RecipeError as error:
        assert "\n" not in str(error)
    else:
        assert found.shape == (4,)
