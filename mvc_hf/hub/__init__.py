"""The Hub's clients, made patient: access, download, upload, and which errors pass."""
