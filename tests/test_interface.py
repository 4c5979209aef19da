"""Every name of the engine's public interface exists, and is what it says.

The lists are literals, so that a name cannot disappear unnoticed. What the functions do is tested
beside each of them.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import tinygrad_edu as tg

POINTWISE = """
    exp log log1p expm1 sqrt rsqrt sin cos tan sinh cosh tanh asin acos atan erf abs sign pow
    sigmoid relu clamp clip maximum minimum add sub mul div neg lt le gt ge eq ne
    logical_and logical_or logical_not logical_xor remainder fmod floor_divide
    floor ceil round trunc isnan isinf isfinite masked_fill
    square reciprocal exp2 log2 log10 logaddexp xlogy logit asinh acosh atanh atan2 hypot erfc
    lerp addcmul addcdiv nan_to_num frac clamp_min clamp_max isclose allclose equal
"""
REDUCTIONS = """
    sum mean var std prod max min amax amin argmax argmin logsumexp softmax log_softmax norm
    any all count_nonzero cumsum cumprod aminmax median quantile nansum nanmean cov corrcoef
    bincount
"""
PRODUCTS = """
    matmul mm bmm mv dot outer inner kron addmm addmv addbmm baddbmm dist trace
"""
LAYOUT = """
    reshape flatten squeeze unsqueeze transpose permute expand split chunk unbind flip roll
    repeat tile movedim swapaxes tril triu diag diagonal t ravel moveaxis unflatten fliplr flipud
    rot90 broadcast_to select narrow unfold diff
"""
PICKING = """
    gather scatter scatter_add index_select take_along_dim repeat_interleave sort argsort topk
    take index_add index_copy index_fill masked_select nonzero argwhere unique
"""
METHODS = " ".join((POINTWISE, REDUCTIONS, PRODUCTS, LAYOUT, PICKING)).split()
"""Both functions of `tg` and methods of `Tensor`."""

ACTIVATIONS = """
    relu6 gelu silu mish softplus softsign elu selu leaky_relu hardtanh hardswish
"""
JOINS = """
    cat concat stack hstack vstack column_stack meshgrid broadcast_tensors where einsum tensordot
    pad cdist var_mean std_mean
"""
WINDOWS = """
    conv1d conv2d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d avg_pool2d
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d
"""
CREATION = """
    Tensor tensor zeros ones full empty zeros_like ones_like full_like empty_like arange linspace
    eye randn rand randint randperm randn_like rand_like manual_seed from_numpy from_dlpack
    as_tensor logspace tril_indices triu_indices randint_like bernoulli multinomial normal
"""
MODES = """
    no_grad enable_grad set_grad_enabled is_grad_enabled detect_anomaly draw save load
    compile explain show_config clear_cache set_num_threads get_num_threads
"""
FUNCTIONS = " ".join((ACTIVATIONS, JOINS, WINDOWS, CREATION, MODES)).split()

OF_TENSORS = """
    shape dtype ndim dim size numel data grad requires_grad requires_grad_ is_leaf retain_grad
    backward detach numpy item tolist view T mT
    grad_fn register_hook contiguous is_contiguous type_as view_as reshape_as expand_as
    to float double int long bool
    add_ sub_ mul_ div_ clamp_ copy_ fill_ zero_
    __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __rpow__
    __matmul__ __rmatmul__ __mod__ __rmod__ __floordiv__ __rfloordiv__ __neg__ __pos__ __abs__
    __lt__ __le__ __gt__ __ge__ __eq__ __ne__ __and__ __or__ __xor__ __invert__
    __iadd__ __isub__ __imul__ __itruediv__ __getitem__ __setitem__ __len__ __iter__
    __array__ __array_ufunc__ __array_function__ __dlpack__ __dlpack_device__
"""

VALUE = """
    data grad backward exp log sqrt sin cos tanh sigmoid relu abs
    __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __pow__ __neg__
"""

ELSEWHERE = {
    "scalar": "Neuron Layer MLP batch_mean batch_sum",
    "autograd": "grad no_grad enable_grad gradcheck gradgradcheck Function",
    "func": "grad value_and_grad vjp jvp jacrev jacfwd hessian hvp vmap functional_call",
    "nn": """
        Module Parameter Sequential Autoencoder Linear Conv1d Conv2d MaxPool2d AvgPool2d
        Flatten BatchNorm1d BatchNorm2d LayerNorm GroupNorm RMSNorm Dropout Residual
        Embedding CrossEntropyLoss MSELoss BCEWithLogitsLoss HingeLoss functional init ReLU
        ReLU6 LeakyReLU ELU SELU GELU SiLU Mish Sigmoid Tanh Softplus Softsign Hardtanh
        CELU LogSigmoid Hardswish Softmax LogSoftmax PReLU Identity Unflatten ModuleList ModuleDict
        ParameterList ParameterDict MaxPool1d AvgPool1d
        AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool1d
        AdaptiveMaxPool2d L1Loss NLLLoss BCELoss SmoothL1Loss HuberLoss KLDivLoss SoftMarginLoss
        CosineEmbeddingLoss MarginRankingLoss HingeEmbeddingLoss TripletMarginLoss
        CosineSimilarity PairwiseDistance
    """,
    "nn.functional": """
        conv1d conv2d conv_transpose1d conv_transpose2d max_pool1d max_pool2d avg_pool1d
        avg_pool2d pad batch_norm layer_norm group_norm rms_norm dropout embedding
        linear mse_loss l1_loss smooth_l1_loss huber_loss cross_entropy nll_loss kl_div
        binary_cross_entropy binary_cross_entropy_with_logits soft_margin_loss normalize one_hot
        cosine_similarity pairwise_distance cosine_embedding_loss margin_ranking_loss
        triplet_margin_loss hinge_embedding_loss prelu logsigmoid adaptive_avg_pool1d
        adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d
    """,
    "nn.Module": """
        train eval requires_grad_ double float to state_dict load_state_dict parameters
        named_parameters register_forward_hook register_forward_pre_hook freeze unfreeze
        children modules named_modules apply buffers register_buffer register_parameter add_module
        get_submodule
    """,
    "nn.init": """
        zeros_ constant_ normal_ uniform_ trunc_normal_ xavier_uniform_ xavier_normal_
        kaiming_uniform_ kaiming_normal_ lecun_normal_ orthogonal_ lsuv_ calculate_gain
    """,
    "optim": """
        SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam lr_scheduler clip_grad_norm_
    """,
    "optim.lr_scheduler": """
        ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR LRScheduler
        LambdaLR LinearLR MultiStepLR MultiplicativeLR OneCycleLR PolynomialLR ReduceLROnPlateau
        SequentialLR StepLR
    """,
    "data": "load_digits two_moons load_idx TensorDataset DataLoader",
    "train": "fit Probe pretrain_layerwise",
}


def names(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(module, name) for module, listed in table.items() for name in listed.split()]


def found(module: str, name: str) -> object:
    owner: object = tg
    for part in module.split(".") if module else ():
        owner = getattr(owner, part)
    return getattr(owner, name)


@pytest.mark.parametrize("name", METHODS)
def test_a_function_and_a_method(name: str) -> None:
    function = getattr(tg, name)
    assert callable(function)
    assert getattr(tg.Tensor, name) is function
    assert inspect.getdoc(function)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str) -> None:
    assert callable(getattr(tg, name))
    assert inspect.getdoc(getattr(tg, name))


@pytest.mark.parametrize("name", OF_TENSORS.split())
def test_a_part_of_tensors(name: str) -> None:
    assert hasattr(tg.Tensor, name)
    assert name.startswith("__") or inspect.getdoc(getattr(tg.Tensor, name))


@pytest.mark.parametrize("name", VALUE.split())
def test_a_part_of_values(name: str) -> None:
    assert hasattr(tg.Value, name)


@pytest.mark.parametrize("name", ["float32", "float64", "int32", "int64", "bool"])
def test_dtypes_are_numpys(name: str) -> None:
    assert getattr(tg, name) == np.dtype(name)
    assert tg.ones(2, dtype=getattr(tg, name)).dtype == name


@pytest.mark.parametrize(("module", "name"), names(ELSEWHERE))
def test_a_name_of_a_submodule(module: str, name: str) -> None:
    assert found(module, name) is not None
