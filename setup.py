"""Finds the packages; everything else is in setup.cfg.

`cli/` and `plugins/` lie at the top of the repository and are installed as mvc_hf.cli and mvc_hf.plugins, so that
nothing called "cli" or "plugins" reaches the user's namespace. setup.cfg can find packages or map folders, not both.
"""

from setuptools import find_packages, setup

FOLDERS = {"mvc_hf.cli": "cli", "mvc_hf.plugins": "plugins"}

packages = find_packages(include=["mvc_hf", "mvc_hf.*"])
for name, folder in FOLDERS.items():
    packages += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]

setup(packages=packages, package_dir=FOLDERS)
