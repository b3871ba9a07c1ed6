import base64
import io
import re

import pytest
from PIL import Image

from mvc_hf.report.terminal import CHUNK, protocol, show


def png(width):
    data = io.BytesIO()
    Image.effect_noise((width, 60), 90).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("environment", "how"),
    [
        ({}, None),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-256color", "TMUX": "/tmp/x", "LC_TERMINAL": "iTerm2"}, None),
        ({"TERM": "screen", "TERM_PROGRAM": "WezTerm"}, None),
        ({"TERM": "dumb", "TERM_PROGRAM": "iTerm.app"}, None),
    ],
)
def test_protocol_is_known_from_the_environment(environment, how):
    assert protocol(environment) == how


@pytest.mark.parametrize(("width", "wide"), [(200, False), (3000, True)])
def test_iterm2_gets_one_code_with_the_whole_file(monkeypatch, width, wide):
    monkeypatch.setenv("COLUMNS", "100")
    data, out = png(width), io.StringIO()
    show(data, out, "iterm2")
    keys, sent = re.fullmatch(r"\033\]1337;File=([^:]*):([^\a]*)\a\n", out.getvalue()).groups()
    assert base64.b64decode(sent) == data
    assert f"size={len(data)}" in keys and "inline=1" in keys and ("width=100%" in keys) == wide


@pytest.mark.parametrize(("width", "wide"), [(200, False), (3000, True)])
def test_kitty_gets_it_in_parts(monkeypatch, width, wide):
    monkeypatch.setenv("COLUMNS", "100")
    data, out = png(width), io.StringIO()
    show(data, out, "kitty")
    parts = re.findall(r"\033_G([^;]*);([^\033]*)\033\\", out.getvalue())
    assert "".join(f"\033_G{keys};{part}\033\\" for keys, part in parts) + "\n" == out.getvalue()
    assert base64.b64decode("".join(part for _, part in parts)) == data and len(parts) > 1
    assert all(len(part) == CHUNK for _, part in parts[:-1]) and len(parts[-1][1]) <= CHUNK
    assert parts[0][0].startswith("a=T,f=100") and ("c=100" in parts[0][0]) == wide
    assert [keys.split(",")[-1] for keys, _ in parts] == ["m=1"] * (len(parts) - 1) + ["m=0"]
