"""Recipes as earlier versions saved them: the loss was a word, and its options were fields beside it."""

from collections.abc import Iterable, Mapping
from typing import Any

from alrp_ref.detection.recipe_losses import ALRP, AP, CrossEntropy, Focal, Loss, as_data
from alrp_ref.images import GREYS

DEFAULTS = {
    "rank_scope": "process",
    "delta": 1.0,
    "loc_error": "giou",
    "loc_step": "hard",
    "loc_weight": 50.0,
    "self_balance_epochs": 1.0,
}
"""The options of a loss, and what they were where they are missing."""
LATER = {"grey_range": GREYS, "max_detections": 100, "background_images": False}
"""Fields of a recipe that came later, and what they are where they are missing."""
UNUSED = ("optimizer",)
SEPARATE = ("criterion.scores.", "criterion.boxes.")
"""Beginnings of the names of weights that only the criteria of the training studies had."""


def converted(recipe: Mapping[str, Any], weights: Iterable[str] = ()) -> dict[str, Any]:
    """A saved recipe in the form of `recipes.as_data`, with the fields that came later.

    Args: `recipe`, as it was saved; `weights`, the names in the state of the detector, if there is one.
    Raises: ValueError if what the detector was trained with is not what the recipe says, or is no longer there.
    """
    word = recipe.get("loss")
    if not isinstance(word, str):
        return LATER | recipe
    fields = DEFAULTS | recipe
    if any(str(name).startswith(SEPARATE) for name in weights) or (word == "ap" and fields["loc_weight"] != 50):
        raise ValueError(
            f"it was trained with separate losses for scores and boxes, and its recipe says {word!r}: the version that "
            "wrote it could not save which. Train again with loss=Separate(...)"
        )
    if fields["rank_scope"] == "image":
        raise ValueError("it was trained with rank_scope='image', which this version no longer has")
    kept = {name: value for name, value in recipe.items() if name not in (*DEFAULTS, *UNUSED)}
    return LATER | kept | {"loss": as_data(_loss(word, fields))}


def _loss(word: str, fields: Mapping[str, Any]) -> Loss:
    """The loss that the word meant. The constants of AP and focal loss followed from the coder of the boxes."""
    is_fovea = fields.get("coder") == "distances"
    if word == "alrp":
        same = {name: fields[name] for name in DEFAULTS if name != "loc_weight"}
        return ALRP(first_weight=fields["loc_weight"], **same)
    if word == "ap":
        options = {"delta": fields["delta"], "rank_scope": fields["rank_scope"]}
        return AP(beta=0.11 if is_fovea else 1.0, **options)
    if word == "focal":
        return Focal(alpha=0.4, gamma=1.5, beta=0.11, count_images=True) if is_fovea else Focal()
    if word in ("ce", "ce_giou"):
        return CrossEntropy(boxes="giou" if word == "ce_giou" else "l1")
    raise ValueError(f"no version has the loss {word!r} of its recipe")
