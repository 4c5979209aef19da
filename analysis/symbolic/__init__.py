"""The algebra behind the derivations.

Read in this order: `expectation` (random variables, E and its rules), `powersums` (sums of n
copies), `laws` (the independent checker), `indexed` and `radicals` (normal forms of sums and of
roots), `verification` (is lhs = rhs, and how is it known), `derivation` (a chain of such steps).
Then, for activation functions: `namespace` (the SymPy reader of the engine's rules), `text` and
`reading` (an activation as a formula), `pieces`, `gaussian` (closed forms), `stable` and `rules` (a
formula as code that keeps its digits), `integrands` and `quadrature` (certified numbers),
`activations` (moments and gains), `custom` (a formula as an op of the engine).
"""
