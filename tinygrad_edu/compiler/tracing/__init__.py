"""From a step to a program: what it is called with, what it depends on, what it computes.

arguments  a call's arguments: which of them are inputs, which decide what program it takes
scan       what a function can reach: the tensors, modules and numbers that it closes over
host       numbers of Python that a step computes with, which later calls may find changed
trace      the step runs once, on shapes
mutation   what it left changed, put back and noted
lift       the recorded nodes as a `program`
"""
