"""The names of files in what runs leave behind."""

from __future__ import annotations

METADATA, CAPTIONS = "mvc.json", "captions.parquet"  # of a checkpoint
MANIFEST, RECORDS = "manifest.json", ".shards"
CHECKPOINT, SYNTHETIC = "checkpoint", "synthetic"  # in the output folder of a run
