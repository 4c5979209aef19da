"""What the scalar engine is run by: the walk over its tape, and machines for programs made of it.

tape            forward and backward over one page of the tape, by Numba
instructions    programs as flat arrays, and the passes over their structure
interpreter     what machines have in common
scalar_machine  one sample, in double precision
lane_machine    many samples, one in each lane of a vector
driver          one call for a whole step: gather, run, update
entrance        that call from Python, with the guards of its arguments
"""
