"""Dataset augmentation by mixing visual concepts (MVC), for timm and the Hugging Face ecosystem."""

__version__ = "0.1.0"
