"""From a traced program to one compiled call: match, fuse, lay out, emit, run."""
