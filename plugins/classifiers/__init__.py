"""Classifiers of timm, trained alike and side by side: for `compare`, for `sweep`, and for the demo."""
