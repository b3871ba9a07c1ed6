"""What a synthetic split is worth: fidelity, diversity, copies and labels, against the real images"""
