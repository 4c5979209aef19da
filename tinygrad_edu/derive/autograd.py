"""`tg.autograd`: derivatives on demand, under torch.autograd's names."""

from tinygrad_edu.derive.reverse import grad
from tinygrad_edu.graph.modes import enable_grad, no_grad, set_grad_enabled

__all__ = ["enable_grad", "grad", "no_grad", "set_grad_enabled"]
