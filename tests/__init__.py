"""The tests, folder for folder as the source, and `peers` beside them."""
