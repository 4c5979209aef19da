"""The algebra behind the derivations.

Read in this order: `expectation` (random variables, E and its rules), `powersums` (sums of n
copies), `laws` (the independent checker), `indexed` and `radicals` (normal forms of sums and of
roots), `verification` (is lhs = rhs, and how is it known), `derivation` (a chain of such steps).
Then, for activation functions: `namespace` (the SymPy reader of the engine's rules), `reading` (an
activation as a formula), `pieces`, `gaussian` (closed forms), `quadrature` (certified numbers),
`activations` (moments and gains).
"""
