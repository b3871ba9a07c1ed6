"""`python -m mvc_hf`: the command line, which the library itself does not import."""

import runpy

runpy.run_module("mvc_hf.cli", run_name="__main__", alter_sys=True)
