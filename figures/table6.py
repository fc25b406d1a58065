"""Table 6: COCO test-dev, as what the recipes are expected to reach. The text is `table6.md.j2`."""

from alrp_ref.detection.recipes import RELEASED_AP
from figures.paper import TABLE_6, show
from figures.prose import render

ON_TEST_DEV = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def draw() -> str:
    rows = [["recipe", *ON_TEST_DEV, "AP minival"]]
    rows += [[name, *show(numbers), f"{RELEASED_AP[name]:.1f}"] for name, numbers in TABLE_6.items()]
    return render("table6", rows=rows)
