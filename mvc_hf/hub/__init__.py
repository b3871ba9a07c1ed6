"""The Hub's clients, made patient: access, download, upload, metadata."""
