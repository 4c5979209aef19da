"""Layers, losses and initial values, under torch.nn's names and defaults."""

from tinygrad_edu.nn import functional, init
from tinygrad_edu.nn.activation import (
    ELU,
    GELU,
    SELU,
    Activation,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from tinygrad_edu.nn.autoencoder import Autoencoder
from tinygrad_edu.nn.containers import ModuleList, Residual, Sequential
from tinygrad_edu.nn.convolution import Conv1d, Conv2d
from tinygrad_edu.nn.dropout import Dropout
from tinygrad_edu.nn.embedding import Embedding
from tinygrad_edu.nn.linear import Linear
from tinygrad_edu.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, HingeLoss, MSELoss
from tinygrad_edu.nn.module import Module
from tinygrad_edu.nn.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm
from tinygrad_edu.nn.parameter import Law, Parameter
from tinygrad_edu.nn.pooling import AvgPool2d, MaxPool2d
from tinygrad_edu.nn.shape import Flatten, Identity

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Autoencoder",
    "AvgPool2d",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "GroupNorm",
    "Hardswish",
    "Hardtanh",
    "HingeLoss",
    "Identity",
    "Law",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleList",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "functional",
    "init",
]
