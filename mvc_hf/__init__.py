"""Dataset augmentation by mixing visual concepts (MVC), for timm and the Hugging Face ecosystem.

Importing it makes `datasets.load_dataset("mvc", data_files="recipe.yaml")` work; see docs/recipes.md.
"""

from .registration import register

__version__ = "0.1.0"

register()
