"""Training: the loop, what it measures, and the default network on the digits.

`python -m tinygrad_edu.train` trains that network and prints how it went.
"""

from tinygrad_edu.train.history import History
from tinygrad_edu.train.loop import evaluate, fit
from tinygrad_edu.train.metrics import accuracy
from tinygrad_edu.train.pretraining import Pretraining, pretrain_layerwise
from tinygrad_edu.train.probe import Probe

__all__ = ["History", "Pretraining", "Probe", "accuracy", "evaluate", "fit", "pretrain_layerwise"]
