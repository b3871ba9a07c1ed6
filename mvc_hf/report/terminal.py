"""Pictures in the terminal, where it can show them: the protocols of iTerm2 (WezTerm has it, too) and of kitty."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import struct
from collections.abc import Mapping
from typing import TextIO

ITERM2, KITTY = "iterm2", "kitty"
CHUNK = 4096  # the longest that kitty takes at a time
LIKELY_WIDTH = 8  # pixels of a letter, where the terminal does not say


def protocol(environment: Mapping[str, str] = os.environ) -> str | None:
    """How the terminal shows pictures; None where it is not known to. Multiplexers swallow the codes."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("TMUX") or program == "tmux" or term.startswith(("screen", "tmux", "dumb")):
        return None
    if environment.get("KITTY_WINDOW_ID") or "kitty" in term or program == "ghostty":
        return KITTY
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return ITERM2
    return None


def show(png: bytes, stream: TextIO, how: str) -> None:
    """Write a PNG to a terminal, no wider than its window."""
    wide = _width(png) > _window(stream)
    data = base64.b64encode(png).decode()
    if how == ITERM2:
        size = ";width=100%" if wide else ""
        stream.write(f"\033]1337;File=inline=1;size={len(png)};preserveAspectRatio=1{size}:{data}\a\n")
    else:
        columns = f",c={shutil.get_terminal_size().columns}" if wide else ""
        parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
        for i, part in enumerate(parts):
            keys = f"a=T,f=100,q=2{columns}," if i == 0 else ""
            stream.write(f"\033_G{keys}m={int(i < len(parts) - 1)};{part}\033\\")
        stream.write("\n")
    stream.flush()


def _width(png: bytes) -> int:
    """Of a PNG, in pixels: the first number of its first chunk."""
    return struct.unpack(">I", png[16:20])[0]


def _window(stream: TextIO) -> int:
    """Width of the terminal's window, in pixels."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import fcntl
        import termios

        _, _, pixels, _ = struct.unpack("HHHH", fcntl.ioctl(stream.fileno(), termios.TIOCGWINSZ, b"\0" * 8))
        if pixels:
            return pixels
    return LIKELY_WIDTH * shutil.get_terminal_size().columns
