"""Many architectures, predicted and measured: `python -m analysis.zoo`."""
