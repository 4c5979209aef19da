"""A whole training step against every peer: `python -m benchmarks.training_step`."""

import os

for _name in (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
):  # before NumPy loads: its own choice is best
    os.environ.pop(_name, None)
