"""What every package may use: random numbers at an address, text, progress, processes, memory."""
