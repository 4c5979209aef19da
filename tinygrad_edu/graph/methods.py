"""The methods of `Tensor` that are functions with the tensor as their first argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_edu import ops
from tinygrad_edu.graph import functions, inplace
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops import dtypes

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def to(x: Tensor, dtype: Any) -> Tensor:
    """The same values in another dtype; itself if nothing changes."""
    dtype = dtypes.named(dtype)
    return x if dtype == x.dtype else apply(ops.cast, x, dtype=dtype)


def clone(x: Tensor) -> Tensor:
    """The same values as a tensor of its own, through which the gradient passes. Nothing needs to
    be copied: what is assigned to one of the two never shows in the other."""
    return functions.reshape(x, x.shape)


def to_float(x: Tensor) -> Tensor:
    """As float32."""
    return to(x, dtypes.float32)


def to_double(x: Tensor) -> Tensor:
    """As float64."""
    return to(x, dtypes.float64)


def to_int(x: Tensor) -> Tensor:
    """As int32."""
    return to(x, dtypes.int32)


def to_long(x: Tensor) -> Tensor:
    """As int64."""
    return to(x, dtypes.int64)


def to_bool(x: Tensor) -> Tensor:
    """Whether each element is not 0."""
    return to(x, dtypes.boolean)


def where(x: Tensor, condition: Operand, other: Operand) -> Tensor:
    """x where the (bool) condition holds, else `other`."""
    return functions.where(condition, x, other)


def contiguous(x: Tensor) -> Tensor:
    """x itself: how the elements lie in memory is not for users to see."""
    return x


def is_contiguous(x: Tensor) -> bool:
    """True: see `contiguous`."""
    return True


def type_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of `other`."""
    return to(x, other.dtype)


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """The elements of x in the shape of `other`."""
    return functions.reshape(x, other.shape)


def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """The elements of x in the shape of `other`."""
    return functions.reshape(x, other.shape)


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """x repeated to the shape of `other`."""
    return functions.expand(x, other.shape)


class Methods:
    """The base of `Tensor` that gives it the functions of this package."""

    __slots__ = ()

    # -------------------------------------------------------------------------- arithmetic

    add = functions.add
    sub = functions.sub
    mul = functions.mul
    div = functions.div
    remainder = functions.remainder
    floor_divide = functions.floor_divide
    fmod = functions.fmod
    pow = functions.pow
    neg = functions.neg
    abs = functions.abs
    maximum = functions.maximum
    minimum = functions.minimum
    clamp = functions.clamp
    clip = functions.clip
    sign = functions.sign
    square = functions.square
    reciprocal = functions.reciprocal
    clamp_min = functions.clamp_min
    clamp_max = functions.clamp_max
    lerp = functions.lerp
    addcmul = functions.addcmul
    addcdiv = functions.addcdiv
    nan_to_num = functions.nan_to_num
    frac = functions.frac

    # -------------------------------------------------------------------------- functions

    exp = functions.exp
    expm1 = functions.expm1
    log = functions.log
    log1p = functions.log1p
    sqrt = functions.sqrt
    rsqrt = functions.rsqrt
    sin = functions.sin
    cos = functions.cos
    tan = functions.tan
    sinh = functions.sinh
    cosh = functions.cosh
    tanh = functions.tanh
    asin = functions.asin
    acos = functions.acos
    atan = functions.atan
    asinh = functions.asinh
    acosh = functions.acosh
    atanh = functions.atanh
    atan2 = functions.atan2
    hypot = functions.hypot
    exp2 = functions.exp2
    log2 = functions.log2
    log10 = functions.log10
    logaddexp = functions.logaddexp
    xlogy = functions.xlogy
    logit = functions.logit
    erfc = functions.erfc
    erf = functions.erf
    sigmoid = functions.sigmoid
    relu = functions.relu
    softmax = functions.softmax
    log_softmax = functions.log_softmax

    # -------------------------------------------------------------------------- rounding

    ceil = functions.ceil
    floor = functions.floor
    round = functions.round
    trunc = functions.trunc

    # -------------------------------------------------------------------------- questions

    lt = functions.lt
    le = functions.le
    gt = functions.gt
    ge = functions.ge
    eq = functions.eq
    ne = functions.ne
    isnan = functions.isnan
    isinf = functions.isinf
    isfinite = functions.isfinite
    isclose = functions.isclose
    allclose = functions.allclose
    equal = functions.equal
    logical_and = functions.logical_and
    logical_or = functions.logical_or
    logical_not = functions.logical_not
    logical_xor = functions.logical_xor

    # -------------------------------------------------------------------------- reductions

    sum = functions.sum
    prod = functions.prod
    mean = functions.mean
    var = functions.var
    std = functions.std
    norm = functions.norm
    logsumexp = functions.logsumexp
    amax = functions.amax
    amin = functions.amin
    argmax = functions.argmax
    argmin = functions.argmin
    max = functions.max
    min = functions.min
    any = functions.any
    all = functions.all
    count_nonzero = functions.count_nonzero
    aminmax = functions.aminmax
    median = functions.median
    quantile = functions.quantile
    nansum = functions.nansum
    nanmean = functions.nanmean
    cov = functions.cov
    corrcoef = functions.corrcoef

    # -------------------------------------------------------------------------- along an axis

    cumsum = functions.cumsum
    cumprod = functions.cumprod
    sort = functions.sort
    argsort = functions.argsort
    topk = functions.topk

    # -------------------------------------------------------------------------- products

    matmul = functions.matmul
    mm = functions.mm
    bmm = functions.bmm
    mv = functions.mv
    dot = functions.dot
    outer = functions.outer
    inner = functions.inner
    kron = functions.kron
    addmm = functions.addmm
    addmv = functions.addmv
    addbmm = functions.addbmm
    baddbmm = functions.baddbmm
    dist = functions.dist
    trace = functions.trace

    # -------------------------------------------------------------------------- layout

    reshape = functions.reshape
    flatten = functions.flatten
    squeeze = functions.squeeze
    unsqueeze = functions.unsqueeze
    permute = functions.permute
    transpose = functions.transpose
    swapaxes = functions.swapaxes
    movedim = functions.movedim
    expand = functions.expand
    repeat = functions.repeat
    tile = functions.tile
    flip = functions.flip
    roll = functions.roll
    split = functions.split
    chunk = functions.chunk
    unbind = functions.unbind
    select = functions.select
    narrow = functions.narrow
    unfold = functions.unfold
    unflatten = functions.unflatten
    ravel = functions.ravel
    t = functions.t
    moveaxis = functions.moveaxis
    fliplr = functions.fliplr
    flipud = functions.flipud
    rot90 = functions.rot90
    broadcast_to = functions.broadcast_to
    diff = functions.diff
    view = functions.reshape
    contiguous = contiguous
    is_contiguous = is_contiguous
    view_as = view_as
    reshape_as = reshape_as
    expand_as = expand_as

    # -------------------------------------------------------------------------- positions

    gather = functions.gather
    scatter = functions.scatter
    scatter_add = functions.scatter_add
    index_select = functions.index_select
    take_along_dim = functions.take_along_dim
    repeat_interleave = functions.repeat_interleave
    masked_fill = functions.masked_fill
    where = where
    diagonal = functions.diagonal
    diag = functions.diag
    tril = functions.tril
    triu = functions.triu
    take = functions.take
    index_add = functions.index_add
    index_copy = functions.index_copy
    index_fill = functions.index_fill
    masked_select = functions.masked_select
    nonzero = functions.nonzero
    argwhere = functions.argwhere
    unique = functions.unique
    bincount = functions.bincount

    # -------------------------------------------------------------------------- conversion

    to = to
    type_as = type_as
    clone = clone
    float = to_float
    double = to_double
    int = to_int
    long = to_long
    bool = to_bool

    # -------------------------------------------------------------------------- in place

    __iadd__ = inplace.iadd
    __isub__ = inplace.isub
    __imul__ = inplace.imul
    __itruediv__ = inplace.itruediv
    __ipow__ = inplace.ipow
    __ifloordiv__ = inplace.ifloordiv
    __imod__ = inplace.imod
    __setitem__ = inplace.setitem
    add_ = inplace.add_
    sub_ = inplace.sub_
    mul_ = inplace.mul_
    div_ = inplace.div_
    clamp_ = inplace.clamp_
    copy_ = inplace.copy_
    fill_ = inplace.fill_
    zero_ = inplace.zero_
