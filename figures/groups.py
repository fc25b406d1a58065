"""Groups: whom each loss pulls at, how good the boxes become, and AP90 by size, against training steps.

aLRP Loss and AP Loss, one run of 10,000 steps on shapes each; the positives of the validation images. Thirds are by
score. Marks: AP Loss with the error of aLRP Loss for the boxes, all alike, at the end.
"""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from alrp_ref.machine.files import read_table
from alrp_ref.palette import GREY, INK
from figures.length import LOSSES
from figures.style import LOOKS, letter
from studies.groups import SIZES, THIRDS
from studies.results import DATA

STYLES = {"-": "top third, or small", "--": "middle third, or medium", ":": "last third"}
ALIKE = {"color": INK, "linestyle": "", "marker": "D", "markersize": 5, "markerfacecolor": "none"}
PANELS = {"share of the pull": ("pull", THIRDS), "mean IoU of the boxes": ("IoU", THIRDS), "AP90": ("AP90", SIZES)}


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.5))
    rows = read_table(DATA / "length" / "groups.csv")
    for axes, (title, (column, groups)) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for loss, name in LOSSES.items():
            for group, style in zip(groups, STYLES, strict=False):
                line = [row for row in rows if (row["loss"], row["group"]) == (loss, group)]
                steps, values = ([float(row[key]) for row in line] for key in ("steps", column))
                axes.plot(steps, values, style, color=LOOKS[name].colour)
        for group in groups:
            end = next(row for row in rows if (row["loss"], row["group"]) == ("ap_alike_3", group))
            axes.plot(float(end["steps"]), float(end[column]), **ALIKE)
        axes.set(xlabel="training step", xlim=(0, 10_500))
        letter(axes, title + (", by size" if groups is SIZES else ", by score"))
    keys = [Line2D([], [], color=LOOKS[name].colour, label=name) for name in LOSSES.values()]
    keys += [Line2D([], [], label="AP Loss, mean GIoU × 3", **ALIKE)]
    keys += [Line2D([], [], color=GREY, linestyle=style, label=name) for style, name in STYLES.items()]
    figure.legend(handles=keys, loc="outside lower center", ncols=3)
    return figure
