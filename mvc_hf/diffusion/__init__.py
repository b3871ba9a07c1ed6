"""The diffusion model: loading, widening, sampling and saving it, and banks of what its encoders gave."""
