"""Data sets that come with the package, readers for others, and batches of either.

`load_digits` and `two_moons` need no download; `load_idx` reads MNIST and its kin; `Standardize`
gives inputs the mean 0 and variance 1 that initialisation rules assume; `TensorDataset` and
`DataLoader` make batches as in torch. Importing this needs NumPy and nothing else.
"""

from tinygrad_edu.data.dataset import Dataset, TensorDataset
from tinygrad_edu.data.digits import Digits, load_digits
from tinygrad_edu.data.idx import load_idx
from tinygrad_edu.data.loader import DataLoader
from tinygrad_edu.data.moons import two_moons
from tinygrad_edu.data.standardize import Standardize

__all__ = [
    "DataLoader",
    "Dataset",
    "Digits",
    "Standardize",
    "TensorDataset",
    "load_digits",
    "load_idx",
    "two_moons",
]
