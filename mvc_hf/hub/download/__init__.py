"""What is fetched from the Hub: models, data sets and ranges of their files, at one commit or from the cache."""
