"""What a training is set up with: its processes and its optimizer."""
