"""The kinds of labelled image sets: folders, Parquet, the Hub, torchvision."""
