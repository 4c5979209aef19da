"""Compiled loops and what they are made with: the on-disk cache, the link to BLAS, the kernels.

`vector_math` are the elementary functions, `convolution` its loops and those of pooling, `values`
the machines of the scalar engine; emitted elementwise kernels, reductions, matrix products and
threads lie here.

Nothing here is imported before it is needed, because Numba takes longer to load than the rest of
the package together.
"""
