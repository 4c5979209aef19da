"""Many independent networks, measured on the engine, and verdicts on predictions."""
