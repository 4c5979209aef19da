"""A whole training step against every peer: `python -m benchmarks.training_step`."""
