"""A small real data set whose images say which they are. Importable by workers that are not forked."""

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset


class Numbers(Dataset):
    """Real image i is the number i, of class i % 3."""

    classes = ("apple", "pear", "plum")

    def __init__(self, count=12, transform=None):
        self.targets = [i % 3 for i in range(count)]
        self.transform = transform

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, i):
        image = Image.new("L", (16, 16), i)
        return (image if self.transform is None else self.transform(image)), self.targets[i]


def as_tensor(image):
    return torch.tensor(np.asarray(image).mean(), dtype=torch.float64)
