"""What every package may lean on: random numbers at an address, text, progress, processes, memory."""
