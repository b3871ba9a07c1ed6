"""`python -m mvc_hf.cli`, for launchers that take a module (`accelerate launch -m mvc_hf.cli ...`)."""

from . import main

main()
