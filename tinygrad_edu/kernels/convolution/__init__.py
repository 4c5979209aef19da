"""Convolution of arrays, its two transposes, and pooling.

windows    where windows lie, and the padded memory they are read from
convolve   which of the ways below serves operands of certain shapes
channels   channels in the lanes of vectors: `channel_program` calls, `channel_loops` compute
direct     pixels in the lanes: each element of a window is read where it lies
unfolding  windows unfolded into the columns of a matrix, for BLAS
sweep      which numbers are read for which result
pooled     the largest element of each window; `summed` their sums
"""
