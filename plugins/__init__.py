"""What mvc_hf plugs into: one file for each host."""
