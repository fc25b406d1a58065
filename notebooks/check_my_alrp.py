"""The tests of notebook 12 for `my_alrp.py`: one for each function, in the order of the file."""

from collections.abc import Iterator
from types import ModuleType

import torch

from alrp_ref.paper import pairwise

NAMES = ("step", "n_fp", "rank", "lrp_error", "target", "distribution", "score_gradients", "parts")


def expected() -> Iterator[tuple[str, tuple, tuple]]:
    """Of each function its name, arguments, and what it has to return, by `alrp_ref.pairwise`."""
    rng = torch.Generator().manual_seed(0)
    s_pos = torch.tensor(
        [9.0, 0.5, 0.5, -0.5, -2.0], dtype=torch.float64
    )  # nothing above the first; a tie
    s_neg = torch.randn(40, generator=rng, dtype=torch.float64)
    e_loc = torch.rand(5, generator=rng, dtype=torch.float64)
    rank, h_ik = pairwise.rank(s_pos, s_neg), pairwise.others_above(s_pos)
    n_fp, p = pairwise.n_fp(s_pos, s_neg), pairwise.distribution(s_pos, s_neg, eps=1e-5)
    boxes = e_loc + h_ik @ e_loc
    ell, ell_star = (n_fp + boxes) / rank, e_loc / rank
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)
    results = {
        "step": pairwise.step(x),
        "n_fp": n_fp,
        "rank": rank,
        "lrp_error": ell,
        "target": ell_star,
        "distribution": p,
        "score_gradients": pairwise.gradient(ell, ell_star, p),
        "parts": ((n_fp / rank).mean(), (boxes / rank).mean()),
    }
    for name in NAMES:
        arguments = {
            "step": (x,),
            "n_fp": (s_pos, s_neg),
            "rank": (s_pos, s_neg),
            "distribution": (s_pos, s_neg),
        }
        want = results[name]
        yield (
            name,
            arguments.get(name, (s_pos, s_neg, e_loc)),
            want if isinstance(want, tuple) else (want,),
        )


def verdicts(mine: ModuleType) -> dict[str, str]:
    """For each function of `mine`: "right", "not written yet", or what is wrong."""
    return {
        name: _verdict(getattr(mine, name), arguments, want) for name, arguments, want in expected()
    }


def _verdict(function, arguments: tuple, want: tuple) -> str:
    try:
        got = function(*(x.clone() for x in arguments))
    except Exception as error:  # whatever the reader's code raises is what the reader has to see
        return f"raises {type(error).__name__}: {error}"
    if got is None:
        return "not written yet"
    got = got if isinstance(got, tuple | list) else (got,)
    if len(got) != len(want):
        return f"returns {len(got)} results, not {len(want)}"
    for one, other in zip(got, want, strict=True):
        one = torch.as_tensor(one, dtype=torch.float64)
        if one.shape != other.shape:
            return f"has the shape {tuple(one.shape)}, not {tuple(other.shape)}"
        if not torch.allclose(one, other, rtol=0, atol=1e-12):
            return f"is off by {float((one - other).abs().max()):.2g}"
    return "right"
