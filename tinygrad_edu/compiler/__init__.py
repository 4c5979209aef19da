"""From an ordinary step, or a function of Values, to one compiled call.

A step of tensors goes through these, in order:

    compiled, arguments, scan    what is called, with what, and what a program depends on
    trace, host, mutation, lift  the step as a `program`: inputs, states, updates, outputs
    lower, term, algebra, rules  composites expanded, terms shared and simplified
    contracted, fuse, merge      products matched, elementwise ops and reductions grouped
    order, arena, steps, moves   when each runs, and where its values lie
    code, plan, feeds            kernels, the instruction stream, where inputs lie
    looped, windowed, called     kernels of single ops, and what of them threads may share
    traffic, parallel            steps shared among threads
    entry, epoch, explanation    calls, whole epochs, and what a program is made of

`eager` uses the middle of it for single ops, `reference` runs a program op by op. A function of
Values is recorded and replayed apart: `watch`, `recorded`, `replay` and `fuse_sums`, then
`lane_plan`, `lane_replay` and `lanes` for many samples at once.
"""
