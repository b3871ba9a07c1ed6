"""Fine-tuning (Eq. 1–4)."""
