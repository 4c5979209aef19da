"""From an ordinary step, or a function of Values, to one compiled call.

A step of tensors goes through these, in order:

    compiled                     what `tg.compile` returns: which entry a call belongs to
    tracing/                     what the step depends on, and the step itself as a `program`:
                                 inputs, states, updates, outputs
    lower, term, algebra, rules  composites expanded, terms shared and simplified
    contracted, averaged, shapes products matched, means over windows taken apart
    fuse, group, merge, columns  elementwise ops and reductions grouped
    order, arena, steps, moves   when each runs, and where its values lie
    code, plan, feeds            kernels, the instruction stream, where inputs lie
    looped, windowed, called     kernels of single ops, and what of them threads may share
    traffic, parallel            steps shared among threads
    entry, epoch, explanation    calls, whole epochs, and what a program is made of
    observed                     steps that a probe wants to see, between the calls

`eager` uses the middle of it for single ops, `reference` runs a program op by op; the garbage
`collector` is off meanwhile. A function of Values is recorded and replayed apart, in `values/`.
"""
