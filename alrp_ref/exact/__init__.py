"""How the losses can be exact and fast without forming the pairs: no equation of the paper is in here.

`step_matrix` multiplies with the matrix of step functions, `processes` ranks across processes, `checks` looks at input.
"""
