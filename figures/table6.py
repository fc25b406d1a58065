"""Table 6: COCO test-dev, as what the recipes are expected to reach."""

from alrp_ref.detection.recipes import RELEASED_AP
from figures.paper import TABLE_6, TAGS, show
from figures.style import markdown

COLUMNS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
NOTE = f"""{TAGS} Single scale. Nobody trained these here: the last column is the AP of the released model of the same
recipe on minival (read), which `alrp eval --official-checkpoint` measures again from the released file."""


def draw() -> str:
    rows = [["recipe", *COLUMNS, "AP minival"]]
    rows += [[name, *show(numbers), f"{RELEASED_AP[name]:.1f}"] for name, numbers in TABLE_6.items()]
    return markdown("Table 6: COCO test-dev", rows, NOTE)
