"""Pictures of fixed addresses during training: those of `generate`, and no influence on what is learnt."""

import numpy as np
from PIL import Image
from training_runs import assert_same_run, change

from mvc_hf.config.recipe import Recipe
from mvc_hf.data.loading import open_dataset
from mvc_hf.generation.opening import open_generator
from mvc_hf.training.finetune import finetune
from mvc_hf.utils.distributed import Alone


def test_they_are_what_generate_makes_and_change_nothing(recipe, whole, tmp_path, photos):
    drawing = change(recipe, validation_images=4, num_inference_steps=2)
    finetune(drawing, tmp_path / "out")
    assert_same_run(whole, tmp_path / "out")
    strips = sorted((tmp_path / "out" / "checkpoints" / "images").iterdir())
    assert [path.name for path in strips] == [f"step-{step:08d}.png" for step in (3, 6, 9)]
    strips = [np.asarray(Image.open(path), np.int64) for path in strips]
    assert all(strip.shape == (16, 4 * 16, 3) for strip in strips) and (strips[0] != strips[2]).any()
    generator = open_generator(Recipe(dataset=str(photos), num_inference_steps=2), tmp_path / "out", Alone())
    images, _ = generator.images(np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]))
    assert np.abs(np.concatenate([np.asarray(image, np.int64) for image in images], axis=1) - strips[2]).max() <= 1
    assert len(open_dataset(str(photos)).class_names) == 3
