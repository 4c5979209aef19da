"""A function of Values: recorded once, replayed in native code ever after.

    compiled     what a call belongs to, and how its arguments come to a replay
    watch        what the function does besides arithmetic, noted while it runs
    recorded     the tape's records as a program: flat arrays
    fuse_sums    sums of products as single instructions
    replay       one sample: calls, and what may not have changed since
    lane_plan    many samples: which rows lie in lanes, where the others do
    lane_replay  calls with arrays
    explanation  what a replay is made of

`vector_reader` turns an op's rule into the instructions with which the machines of `kernels/values`
run it.
"""
