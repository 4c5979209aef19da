"""Training: the loop, what it measures, and the default network on the digits.

`python -m tinygrad_edu.train` trains that network and prints how it went.
"""

from tinygrad_edu.train.history import History
from tinygrad_edu.train.loop import evaluate, fit
from tinygrad_edu.train.metrics import accuracy

__all__ = ["History", "accuracy", "evaluate", "fit"]
