"""Fine-tuning (Eq. 1–4): batches, objective, the loop, and how it resumes."""
