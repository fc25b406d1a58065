"""Your own aLRP Loss: fill in one function after the other; notebook 12 says which of them are right.

`s_pos` (|P|,) and `s_neg` (|N|,) are the scores of the positives and of the negatives, `e_loc` (|P|,)
the localisation errors. Matrices of pairs are fine. Each function may use those above it. `delta` is 1
throughout.
"""

import torch  # noqa: F401 (your functions will need it)


def step(x):
    """H(x): 0 up to -1, 1 from 1 on, and a straight line between (Section 2.1). Any shape."""
    ...


def n_fp(s_pos, s_neg):
    """N_FP(i): the sum of H(s_j - s_i) over all negatives (Eq. 3). (|P|,)"""
    ...


def rank(s_pos, s_neg):
    """rank(i): 1, plus H(s_k - s_i) over the *other* positives, plus N_FP(i) (Eq. 3). (|P|,)"""
    ...


def lrp_error(s_pos, s_neg, e_loc):
    """l(i): N_FP, the own box, and the boxes above by H, over the rank (Eq. 10). (|P|,)"""
    ...


def target(s_pos, s_neg, e_loc):
    """l*(i): what is left of the error when nothing stands above i (Eq. 12). (|P|,)"""
    ...


def distribution(s_pos, s_neg):
    """p(j|i) = H(x_ij) / N_FP(i); a row without negatives above is 0 (Eq. 7). (|P|, |N|)"""
    ...


def score_gradients(s_pos, s_neg, e_loc):
    """Gradients of the positives (|P|,) and negatives (|N|,) (Eqs. 5 and 13, Algorithm 1)."""
    ...


def parts(s_pos, s_neg, e_loc):
    """L_cls and L_loc, two scalars, with H in both places (Eq. 11)."""
    ...
