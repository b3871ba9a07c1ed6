"""The diffusion model: loading, widening, guiding, sampling, saving; and what its encoders gave, kept."""
