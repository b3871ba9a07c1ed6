"""Help in sections, and answers to what others call what there is here."""

import dataclasses

import click
import pytest

from mvc_hf import cli
from mvc_hf.cli.sections import ELSEWHERE, EXECUTOR, ORDER, OWN, SectionedOption, section_of
from mvc_hf.config.recipe import Recipe

SECTIONED = ("caption", "finetune", "generate", "preview")


def command_of(name):
    return cli.group.get_command(click.Context(cli.group), name)


def test_every_setting_has_a_section():
    assert {section_of(field.name) for field in dataclasses.fields(Recipe)} == set(ORDER) - {OWN, EXECUTOR}


@pytest.mark.parametrize("name", SECTIONED)
def test_every_option_is_shown_once_under_its_heading(name, capsys):
    assert cli.run([name, "--help"]) == 0
    text = capsys.readouterr().out
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and line[:-1] in ORDER]
    assert headings == sorted(set(headings), key=ORDER.index) and headings[0] == OWN and len(headings) > 2
    parts = dict(zip(headings, text.split("\nOptions:\n")[1].split("\n\n")))
    for option in command_of(name).params:
        if isinstance(option, SectionedOption):
            flag = option.opts[0]
            assert [h for h, part in parts.items() if f"\n  {flag}" in f"\n{part}"] == [option.section], flag
            assert len(parts[option.section].splitlines()) < 80


@pytest.mark.parametrize("flag", sorted(ELSEWHERE))
def test_what_others_call_it_is_answered(flag, capsys):
    known = {name for option in command_of("finetune").params for name in option.opts}
    for given in {flag, "--" + flag[2:].replace("-", "_")} - known:
        assert cli.run(["finetune", "x", "-o", "y", given, "z"]) == 2
        assert f"No such option: {given} ({ELSEWHERE[flag]})" in capsys.readouterr().err


def test_other_unknown_options_are_as_click_has_them(capsys):
    assert cli.run(["finetune", "x", "-o", "y", "--nonsense"]) == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["finetune", "generate"])
def test_names_that_users_of_diffusers_type_are_understood(name):
    names = {flag: option.name for option in command_of(name).params for flag in option.opts}
    assert names["--output-dir"] == names["-o"] == "output"
    if name == "finetune":
        assert names["--pretrained-model-name-or-path"] == names["--base"] == "base"
