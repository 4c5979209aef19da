"""Depth: what many equal layers do to the variance of a signal and to the likeness of two."""
