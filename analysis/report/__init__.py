"""Reports as text, JSON and LaTeX."""
