"""`python -m mvc_hf` is the command line."""

import subprocess
import sys


def test_it_is_the_command_line(tmp_path):
    found = subprocess.run([sys.executable, "-m", "mvc_hf", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0 and found.stdout.startswith("mvc-hf")
