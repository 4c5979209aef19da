"""Compiled loops and what they are made with: the on-disk cache, the link to BLAS, the kernels.

Nothing here is imported before it is needed, because Numba takes longer to load than the rest of
the package together.
"""
