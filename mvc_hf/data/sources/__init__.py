"""Where labelled images lie: folders, Parquet, the Hub, torchvision."""
