"""The names of files in what runs leave behind."""

from __future__ import annotations

METADATA, CAPTIONS = "mvc.json", "captions.parquet"  # of a checkpoint
MANIFEST, RECORDS = "manifest.json", ".shards"
CHECKPOINT, SYNTHETIC = "checkpoint", "synthetic"  # in the output folder of a run
COMPARE, SWEEP = "compare", "sweep"  # there, too: what was compared, and the cells of a sweep
REPORT = "report"  # folder beside the shards of a synthetic data set
SCORES, FIGURES, PAGE, SHEET = "scores.parquet", "report.json", "report.html", "sheet.png"  # in it
RECIPE, TRAINING_LOG = "mvc.yaml", "training_log.csv"  # of a checkpoint, too
PLACES = "checkpoints/places.json"  # there, and never published: where the real images lay
ADAPTER = "adapter/adapter_config.json", "adapter/adapter_model.safetensors"  # of a checkpoint, where it was kept
EXPORT, CLASSES, PICTURES = "export.json", "classes.json", "metadata.jsonl"  # of an export
