"""The colours of every picture: Okabe and Ito's, which colour-blind readers can tell apart. It imports nothing."""

ORANGE, SKY_BLUE, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (ORANGE, SKY_BLUE, GREEN, YELLOW, BLUE, VERMILION, PURPLE)

# One colour, one meaning, in figures and notebooks.
POSITIVE, NEGATIVE, BOXES, OTHER = BLUE, VERMILION, GREEN, PURPLE
INK, GREY, LIGHT = "#222222", "#7f7f7f", "#d9dce1"

# Losses have colours of their own. In grey print they go from dark to light, and for colour-blind readers they differ.
ALRP_LOSS, AP_LOSS, CROSS_ENTROPY, FOCAL_LOSS = "#332288", "#AA3377", "#8899AA", "#D8B030"
RS_LOSS = "#AB6E3E"
