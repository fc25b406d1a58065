"""Table 7: FoveaBox with three losses."""

from figures.paper import TABLE_7, TAGS, show
from figures.style import markdown

COLUMNS = ("AP", "AP50", "AP75", "AP90", "oLRP")
NOTE = f"""{TAGS} ResNet-50, 500 pixels, 100 epochs of COCO, minival, in percent: what these recipes are expected to
reach. Nobody trained them here."""


def draw() -> str:
    rows = [["recipe", *COLUMNS], *([name, *show(numbers)] for name, numbers in TABLE_7.items())]
    return markdown("Table 7: FoveaBox", rows, NOTE)
