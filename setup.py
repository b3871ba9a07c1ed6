"""Finds the packages; everything else is in setup.cfg.

`cli/` and `plugins/` lie at the top of the repository and are installed as mvc_hf.cli and mvc_hf.plugins, so that
nothing called "cli" or "plugins" reaches the user's namespace. setup.cfg can find packages or map folders, not both.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

FOLDERS = {"mvc_hf.cli": "cli", "mvc_hf.plugins": "plugins"}

packages = find_packages(include=["mvc_hf", "mvc_hf.*"])
for name, folder in FOLDERS.items():
    packages += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]


def readme() -> str:
    """README.md as it stands outside of the repository: what links within it is words, and its pictures are left out.

    The address of the repository is on record nowhere, so there is none to lead to.
    """
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    text = re.sub(
        r"!\[[^]]*\]\((?!https?:)[^)]*\)\n+(?:\*[^*]+\*\n+)?", "", text
    )  # with the line below that tells of it
    return re.sub(r"(?<!!)\[([^]]+)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(packages=packages, package_dir=FOLDERS, long_description=readme())
