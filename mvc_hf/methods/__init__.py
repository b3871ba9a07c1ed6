"""Methods of generating: from a row's address to what the sampler starts from."""
