"""The figures and tables say what the losses, the logs and the paper's numbers say."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from alrp_ref import alrp_loss, pairwise, palette
from alrp_ref.data import make_shapes
from alrp_ref.detection import RECIPES
from alrp_ref.detection.recipe_losses import MeanGIoU
from alrp_ref.detection.recipes import get_recipe
from alrp_ref.evaluation.score_iou import ORDERS, average_precision, reordered
from alrp_ref.machine.files import read_table
from alrp_ref.reports.curves import block_means
from alrp_ref.training import TrainOptions, train
from benchmarks import methods
from figures import (
    changes,
    claim,
    claim_details,
    comparison,
    comparison_curves,
    cost,
    delta,
    fig1,
    fig2,
    fig3,
    fig4,
    make,
    order,
    overview,
    paper,
    race,
    style,
    table2,
    table3,
    table4,
    table5,
    toy,
    weights,
)
from figures.__main__ import main
from studies import recipes, results
from studies import toy as studied
from studies.cost import POSITIVES
from studies.groups import third_of

FIGURES = Path(__file__).parents[1] / "figures"
DRAWINGS = make.drawings()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def table(text: str) -> list[list[str]]:
    """The cells of a table in Markdown, without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], *lines[2:])]


@pytest.mark.parametrize("name", DRAWINGS)
def test_each_is_made_and_lies_beside_its_script(name: str):
    """Every script draws a Figure, an animation or a table. Its file is there, and the index shows it."""
    drawn = DRAWINGS[name].draw()
    assert DRAWINGS[name].__doc__.strip()
    index = (FIGURES / "README.md").read_text()
    if isinstance(drawn, style.Svg):
        assert (FIGURES / f"{name}.svg").read_text() == drawn
        assert f"({name}.svg)" in index
    elif isinstance(drawn, str):
        assert (FIGURES / f"{name}.md").read_text() == drawn
        assert f"({name}.md)" in index
    else:
        assert (FIGURES / f"{name}.png").is_file() and (FIGURES / f"{name}.svg").is_file()
        assert f"({name}.png)" in index


@pytest.mark.parametrize("names", [["fig1", "table2"], pytest.param([], marks=pytest.mark.slow)], ids=["two", "all"])
def test_a_second_time_every_byte_is_the_same(names, tmp_path: Path):
    """PNG, SVG and Markdown hold no date, no random identifier and no name of a folder."""
    for folder in ("one", "other"):
        make.make(names, None, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == sum(1 if isinstance(DRAWINGS[n].draw(), str) else 2 for n in names or DRAWINGS)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes(), file


SEEN_BY = {  # linear RGB as seen without one of the three receptors: Machado, Oliveira and Fernandes, 2009
    "everyone": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, seen_by: str) -> np.ndarray:
    """CIELAB of a colour, in which a distance of 2 is just seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(SEEN_BY[seen_by] @ linear, 0, 1) / to_xyz.sum(1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("seen_by", SEEN_BY)
def test_the_colours_of_the_losses_differ(seen_by: str):
    """From each other, and from those of positives, negatives and boxes, whoever looks; and in print without colour,
    where lightness is all there is. No two losses share a line or a marker."""
    looks = style.LOOKS.values()
    colours = [lab(look.colour, seen_by) for look in looks]
    others = [lab(colour, seen_by) for colour in (palette.POSITIVE, palette.NEGATIVE, palette.BOXES)]
    for k, colour in enumerate(colours):
        assert min(np.linalg.norm(colour - other) for other in (*colours[:k], *others)) > 15
    lightness = sorted(lab(look.colour, "everyone")[0] for look in looks)
    assert min(np.diff(lightness)) > 10
    assert len({look.line for look in looks}) == len({look.marker for look in looks}) == len(looks)


def test_figure_1_prints_the_papers_numbers():
    """All 15 APs, and cross entropy, AP, IoU and aLRP Loss of the three detectors, to the printed digit. No number of
    ours stands under L1, which the picture does not determine; what the paper prints there is named as printed."""
    found = fig1.numbers()
    for name, printed in fig1.PRINTED.items():
        without_l1 = (*printed[:7], *printed[8:])
        for value, wanted in zip(found[name].values(), without_l1, strict=True):
            assert abs(value - wanted) < 0.0050001
        assert printed[7] == 0.29
    shown = texts(fig1.draw())
    for ours in found.values():
        assert all(f"{value + 1e-9:.2f}".lstrip("0") in shown for value in ours.values())
    of_losses = [text.get_text() for text in fig1.draw().axes[-1].texts]
    assert sum("printed:\n.29" in text for text in of_losses) == 1 and not {".29", ".34"} & set(of_losses)


def test_the_readmes_picture_is_of_figure_1():
    """The bars are the scores, and each positive is filled as far as its IoU."""
    for axes, ious in zip(overview.draw().axes, fig1.IOUS.values(), strict=True):
        heights = [round(bar.get_height(), 9) for bar in axes.patches]
        assert heights[:10] == fig1.SCORES.tolist()
        assert heights[11::2] == [
            round(float(fig1.SCORES[i]) * iou, 9) for i, iou in zip(fig1.POSITIVES, ious, strict=True)
        ]
    shown = texts(overview.draw())
    for value in ("cross entropy 0.8732", "IoU Loss 0.2750", "AP Loss 0.3583"):
        assert shown.count(value) == 3
    assert {f"aLRP Loss {value}" for value in ("0.5300", "0.6925", "0.8925")} <= set(shown)


def test_figure_2_draws_the_real_gradients():
    """The numbers are the gradients of the loss, by the matrices of `pairwise` too, and each is the sum of its parts;
    every arrow is as wide as its part, those of nothing are not drawn."""
    lift, push, pull = fig2.gradients()
    logits, errors = torch.cat([fig2.S_POS, fig2.S_NEG]).requires_grad_(), fig2.E_LOC.clone().requires_grad_()
    out = pairwise.alrp_loss(logits, torch.tensor([1] * 3 + [0] * 5), errors)
    (out.cls + out.loc).backward()
    assert torch.allclose(torch.cat([-lift, push]), logits.grad) and torch.allclose(pull, errors.grad)

    made = fig2.parts()
    assert torch.allclose(made.lift_by_negatives.sum(1) + made.lift_by_boxes.sum(1), lift, rtol=1e-12)
    assert torch.allclose(made.push.sum(0), push, rtol=1e-12) and torch.allclose(made.push.sum(1), lift, rtol=1e-12)
    assert torch.allclose(made.pull.sum(0), pull, rtol=1e-12)
    shown = texts(fig2.draw())
    for numbers in (2 * lift.tolist(), push.tolist(), pull.tolist()):
        assert all(shown.count(f"{number:.3f}") >= numbers.count(number) for number in numbers)

    lifted = torch.cat([made.lift_by_boxes, made.lift_by_negatives], 1)
    for axes, widths in zip(fig2.draw().axes, (lifted.T, made.push, made.pull), strict=True):
        outlines = [patch.get_xy() for patch in axes.patches if len(patch.get_xy()) > 4]
        drawn = [(xy[-2, 1] - xy[0, 1], xy[40, 1] - xy[39, 1]) for xy in outlines]  # at the left end, at the right end
        expected = fig2.WIDTH * widths[widths > 0]
        assert np.allclose(np.abs(drawn), expected[:, None])


def test_figure_2_shows_what_the_paper_says_of_it():
    """The bad box of p1 lifts the positives below it; its error enters every term, that of p3 the last one alone, with
    the smallest weight."""
    made = fig2.parts()
    assert (made.lift_by_boxes > 0).tolist() == [[False] * 3, [True, False, False], [True, True, False]]
    assert (made.pull > 0).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert made.pull[2, 2] == made.pull[made.pull > 0].min()


@pytest.mark.parametrize("loss", ["cross entropy", "AP Loss", "aLRP Loss"])
def test_a_list_sorts_itself_in_the_readmes_animation(loss: str):
    """Each loss brings the four positives to the top and keeps the balance of what it knows: the first step moves the
    scores, and every step raises the IoUs, by the same total. With aLRP Loss the box on top becomes the best."""
    states = race.states(loss)
    assert len(states) == race.STEPS + 1 and states[0].average_precision(0.5) < 0.5
    assert sorted(states[-1].ranking()[:4]) == [0, 1, 2, 3] and states[-1].average_precision(0.5) == 1
    assert (states[1].scores - states[0].scores).abs().sum() == pytest.approx(race.FIRST)
    assert (states[1].ious - states[0].ious).sum() == pytest.approx(race.BOX)
    best_box_on_top = states[-1].ranking()[0] == int(states[-1].ious.argmax())
    assert best_box_on_top == (loss == "aLRP Loss")


def test_the_best_box_on_top_is_not_more_ap_in_the_readmes_animation():
    """As its text says: AP Loss ends with more AP and AP75 than aLRP Loss, with as much AP50, and with less AP90."""
    ours, theirs = (
        {name: race.states(loss)[-1].average_precision(*ious) for name, ious in race.METRICS.items()}
        for loss in ("aLRP Loss", "AP Loss")
    )
    assert theirs["AP"] > ours["AP"] and theirs["AP75"] > ours["AP75"]
    assert theirs["AP50"] == ours["AP50"] and theirs["AP90"] < ours["AP90"]


def test_the_animation_shows_each_state():
    """Places, IoUs and APs of the last states are those that a viewer without motion shows; the file is small."""
    svg = race.draw()
    assert len(svg.encode()) < 300_000 and "prefers-reduced-motion" in svg
    for column, loss in zip("abc", ("cross entropy", "AP Loss", "aLRP Loss"), strict=True):
        last = race.states(loss)[-1]
        for place, k in enumerate(last.ranking()):
            assert f"#{column}{k} {{ transform: translateY({race.TOP + race.ROW * place}px);" in svg
        for k, iou in enumerate(last.ious):
            assert f"#{column}{k}w {{ transform: scaleX({iou:.3f});" in svg
        for line, ious in enumerate(race.METRICS.values()):
            (shown,) = re.findall(rf"#({column}{line}v\d+) {{ opacity: 1;", svg)
            assert re.search(rf'id="{shown}" .*>{last.average_precision(*ious):.2f}<', svg)


def test_figure_3_draws_the_logs():
    """Losses, their ratio and the weight are those of the committed logs; the weight of shapes starts at 50."""
    figure = fig3.draw()
    assert len(figure.axes) == 4
    for (losses, ratio), path in zip(np.reshape(figure.axes, (2, 2)).T, fig3.OURS.values(), strict=True):
        log = results.read_log(path)
        length = len(log["step"]) // fig3.BLOCKS
        cls, loc, total, weighted = (line.get_ydata() for line in losses.lines)
        assert np.allclose(cls, block_means(log["loss_cls"], length))
        assert np.allclose(total, cls + loc)
        assert np.allclose(weighted, block_means(log["loss_loc"], length))
        assert np.allclose(ratio.lines[0].get_ydata(), total / loc)
        assert np.array_equal(ratio.lines[1].get_ydata(), log["weight"])
        assert log["weight"][0] == 50 != log["weight"][-1]


def test_figure_4_is_flat_for_a_ranking_alone():
    """At every step of all runs the ratio is 1 with aLRP Loss, to the digits of the log. Cross entropy and focal loss
    leave it by more than half, to both sides. The figure draws mean and range."""
    curves = fig4.curves()
    assert np.allclose([curves["aLRP Loss"][f"balance{end}"] for end in ("_least", "_most")], 1, atol=2e-3)
    for name in ("cross entropy", "focal loss"):
        assert curves[name]["balance_least"].min() < 1 / 1.5 and curves[name]["balance_most"].max() > 1.5
    for line, log in zip(fig4.draw().axes[0].lines, curves.values(), strict=True):
        assert np.array_equal(line.get_ydata(), log["balance"]) and len(log["balance"]) == 480
        assert (log["balance_least"] <= log["balance"]).all() and (log["balance"] <= log["balance_most"]).all()


def test_numbers_that_nobody_read_are_open_cells():
    """A number of the paper is printed if it was read in a text of the authors; otherwise its cell is empty."""
    assert paper.show(paper.row("35.5 - .45")) == ["35.5", "", ".45"]
    _, first, *_ = table(table2.draw())
    assert first[1:7] == ["35.5", "", "", "", "71.0", ".45"]


def test_table_2_holds_the_mean_of_the_seeds():
    """Each of our cells is the mean of the seeds after 10,000 steps, in percent; the paper's stand as they are."""
    names, *rows = table(table2.draw().partition("## On photographs")[0])
    for row, (name, title) in zip(rows, table2.NAMES.items(), strict=True):
        seeds = [float(r["AP"]) for r in results.at_the_end(table2.RUNS[name])]
        assert row[0] == title and row[names.index("seeds")] == str(len(seeds))
        assert row[names.index("AP")] == paper.show(paper.TABLE_2[name])[0]
        assert row[names.index("AP, ours")].split(" ")[0] == f"{100 * sum(seeds) / len(seeds):.1f}"


def test_table_5_keeps_ap50_and_orders_ap():
    """For both detectors: worst order, as it is, best order; AP50 is the same, AP rises."""
    names, *rows = table(table5.draw().partition("## On photographs")[0])
    assert len(rows) == 6
    for detector in (rows[:3], rows[3:]):
        ap, ap50 = ([float(row[names.index(name)]) for row in detector] for name in ("AP", "AP50"))
        assert ap == sorted(ap) and ap[0] < ap[2]
        assert len(set(ap50)) == 1


def test_the_comparison_holds_the_mean_of_three_seeds_and_its_standard_error():
    """Each cell of its first table is of three rows in comparison.csv, in percent, with the deviation of a seed pooled
    over the three losses; Table 2 shows the same."""
    rows = comparison.rows_of("comparison", "comparison")
    shown = {line[0]: line[1:] for line in table(comparison.draw())[:8]}
    again = {line[0]: line[1] for line in table(table2.draw().partition("## On photographs")[2])}
    seeds = {name: [100 * float(r["AP"]) for r in rows if r["recipe"] == name] for name in comparison_curves.LOSSES}
    error = np.sqrt(np.mean([np.var(values, ddof=1) for values in seeds.values()]) / 3)
    for place, (name, values) in enumerate(seeds.items()):
        assert len(values) == 3
        assert shown["AP"][place] == again[name] == f"{np.mean(values):.2f} ± {error:.2f}"


def test_the_curves_of_the_comparison_are_its_tables():
    """AP in the legends is what the evaluation found; losses are drawn without the weight of the boxes."""
    axes = comparison_curves.draw().axes
    for plot, metric in zip(axes[3:], ("AP50", "AP75", "AP90"), strict=True):
        found = [
            f"{row['recipe']}: AP {100 * float(row[metric]):.2f} %" for row in comparison.rows_of("long", "comparison")
        ]
        assert [text.get_text() for text in plot.get_legend().get_texts()] == found
    boxes = [float(r["loss_loc"]) for r in comparison.rows_of("comparison", "losses") if r["recipe"] == "aLRP Loss"]
    assert np.array_equal(axes[0].lines[1].get_ydata(), boxes) and max(boxes) < 0.1


def test_table_4_has_every_weight():
    """One row for each initial weight that was trained; self-balance with the recipe's is the last row of Table 3."""
    _, *rows = table(table4.draw().partition("The paper's text")[0])
    assert [row[0] for row in rows] == ["1", "10", "50, the recipe's", "200"]
    assert RECIPES["alrp_tiny"].loss.first_weight == 50
    assert rows[2][1:] == table(table3.draw().split("\n## ")[0])[-1][1:]


def test_table_3_and_its_curve_show_the_same_runs():
    """A row and a point for each constant, self-balance as a row and a line, from the last evaluations alone; first for
    GIoU, then for IoU."""
    constants = (["1", "2", "5", "10", "20", "50"], ["1", "5", "10"])
    parts = table3.draw().split("\n## ")
    axes = weights.draw().axes[0]
    for error, of_error, part, first in zip(("giou", "iou"), constants, parts, (0, 2), strict=True):
        _, *rows = table(part)
        assert [row[0] for row in rows] == [*of_error, "self-balance"]
        drawn = [*axes.lines[first].get_ydata(), axes.lines[first + 1].get_ydata()[0]]
        assert [f"{100 * value:.1f}" for value in drawn] == [row[2].split(" ")[0] for row in rows]
        assert {row["steps"] for row in results.at_the_end(table3.SELF_BALANCE[error])} == {"10000"}


def test_the_square_changes_one_thing_between_the_rows_that_it_calls_clean():
    """With the scores of aLRP Loss and constant weights, weighting by rank is the only difference of the recipes but
    for the weight; with self-balance two things differ. Both halves of aLRP Loss raise rho."""
    loss = {recipe: get_recipe(recipes.ON_SHAPES[recipe]).loss for *_, recipe in claim.SWITCHES}
    for constant in ("giou_weight_2", "giou_weight_5"):
        assert loss[constant].self_balance_epochs == 0 and f"{loss[constant].first_weight:g}" == constant[-1]
        assert replace(loss[constant], first_weight=50.0, self_balance_epochs=1.0) == loss["alrp"]
    mean = loss["alrp_alike_3"]
    assert mean.scores == loss["alrp"] and type(mean.boxes) is MeanGIoU and mean.weight == 3
    rho = {recipe: np.mean([float(row["rho"]) for row in results.at_the_end(recipe)]) for *_, recipe in claim.SWITCHES}
    assert rho["alrp"] > rho["ap_ordered"] > rho["ap_alike_3"] and rho["alrp"] > rho["alrp_alike_3"] > rho["ap_alike_3"]
    _, *rows = table(claim_details.draw().partition("## Two switches")[2].partition("\n**Weighting")[0])
    assert [row[:3] for row in rows] == [list(row[:3]) for row in claim.SWITCHES]


def test_the_thirds_of_positives_are_by_score():
    """The best third is 0, the last is 2, equal scores keep their order."""
    scores = torch.tensor([0.1, 0.9, 0.5, 0.5, 0.8, 0.2])
    assert third_of(scores).tolist() == [2, 0, 1, 1, 0, 2]


def test_the_order_of_true_positives_by_hand():
    """Four true positives with IoUs .55, .80, .60, .90 and a false one among them: at .75 the second and the fourth
    count; in the best order the first two, in the worst the last two."""
    scores = np.array([0.9, 0.8, 0.75, 0.7, 0.6])
    tp_scores, tp_ious = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.55, 0.80, 0.60, 0.90])
    found = {o: reordered(scores, tp_scores, tp_ious, 0.75, o).astype(int).tolist() for o in ORDERS}
    assert found == {"lower": [0, 0, 0, 1, 1], "as it is": [0, 1, 0, 0, 1], "upper": [1, 1, 0, 0, 0]}
    assert reordered(scores, tp_scores, tp_ious, 0.95, "lower").sum() == 0  # none is none, not all
    assert average_precision(np.array([True, True]), 2) == 1.0
    assert average_precision(np.array([True, False]), 2) == pytest.approx(51 / 101)


def test_hard_and_smoothed_order_part_in_between():
    """They agree for scores far apart, and the hard order jumps where one positive passes another."""
    off = order.deviations()
    assert off[-1].abs().max() < 0.01 < off.abs().max()
    _, parts = order.passing()
    assert parts["hard"].diff().max() > 0.2 > 0.01 > parts["smoothed"].diff().max()
    for line, part in zip(order.draw().axes[1].lines, parts.values(), strict=True):
        assert np.allclose(line.get_ydata(), part)


def test_a_wider_step_reaches_further_down():
    """The share of negatives with a gradient rises with delta; below -delta a negative feels nothing."""
    shares, _ = delta.in_a_list()
    assert (shares.diff() >= 0).all() and shares[-1] > 0.99
    for width in delta.DELTAS:
        places, felt = delta.on_a_negative(width)
        assert (felt[places < -width] == 0).all() and (felt[places > -width + 0.02] > 0).all()


def test_each_arrow_of_changes_leads_from_one_detector_to_another():
    """All but focal loss and RS Loss are at an arrow; each has a dot for every seed, and a ring at their mean."""
    assert {name for arrow in changes.ARROWS for name in arrow} == changes.DETECTORS.keys() - {"focal", "rs"}
    axes = changes.draw().axes[0]
    drawn = [line.get_xydata() for line in axes.lines if len(line.get_xydata())]
    for name, dots, ring in zip(changes.DETECTORS, drawn[::2], drawn[1::2], strict=True):
        rows = results.at_the_end(name)
        expected = np.array([[100 * float(row["AP90"]), 100 * float(row["AP"])] for row in rows])
        assert dots == pytest.approx(expected) and ring[0] == pytest.approx(expected.mean(axis=0))


def test_the_epoch_that_the_claim_asks_for_names_losses_that_there_are():
    """The loop of the page reads four losses, and the recipe of the release takes each of them."""
    loop = re.search(r"^for loss in (.*?); do", claim.draw(), re.MULTILINE | re.DOTALL)[1]
    found = [get_recipe(f"alrp_retinanet_r50_atss_500:loss={loss}").loss for loss in re.findall(r'"([^"]+)"', loop)]
    assert len(set(found)) == 4


@pytest.mark.parametrize("scores_by, boxes_by", toy.CORNERS)
def test_the_toy_is_what_was_kept(scores_by: str, boxes_by: str):
    """A run with seed 0 gives its row of toy.csv; another processor may move a box across a threshold."""
    found = studied.run(scores_by, boxes_by, 0, weight=10, noise=0.8)
    weight = "self-balance" if boxes_by == "aLRP" else "10"
    for examples, metrics in found.items():
        row = toy.kept(0.8, examples, scores_by, boxes_by, weight)
        assert metrics == pytest.approx({name: values[0] for name, values in row.items()}, abs=0.03)


def test_the_pull_on_the_boxes_does_it_all():
    """In the toy, on seen examples: boxes by aLRP Loss give more AP90, higher rho and better boxes on top in each seed,
    with equal AP50, lower mean IoU and lower AP75. Who pushes the scores hardly matters."""
    means = {c: {name: x.mean() for name, x in toy.corner(0.8, "seen", *c).items()} for c in toy.CORNERS}
    for scores_by in studied.LOSSES:
        by_seed = [toy.corner(0.8, "seen", scores_by, boxes_by) for boxes_by in ("aLRP", "alike")]
        assert all((by_seed[0][name] > by_seed[1][name]).all() for name in ("rho", "IoU of top ten", "AP90"))
        ours, alike = means[scores_by, "aLRP"], means[scores_by, "alike"]
        assert ours["AP90"] > 1.5 * alike["AP90"]
        assert abs(ours["AP50"] - alike["AP50"]) < 0.02
        assert ours["rho"] > alike["rho"] + 0.4
        assert all(ours[name] < alike[name] for name in ("mean IoU", "AP75"))
    for boxes_by in ("aLRP", "alike"):
        assert means["aLRP", boxes_by] == pytest.approx(means["AP", boxes_by], abs=0.02)


def test_the_toys_gain_is_on_seen_examples_alone():
    """On new examples no setting has AP90, and boxes by aLRP Loss have lower AP75 and no better boxes on top. With
    little noise AP90 is not higher on the seen ones either."""
    for scores_by in studied.LOSSES:
        ours, alike = (
            {name: x.mean() for name, x in toy.corner(0.8, "new", scores_by, boxes_by).items()}
            for boxes_by in ("aLRP", "alike")
        )
        assert max(ours["AP90"], alike["AP90"]) < 0.003
        assert ours["AP75"] < alike["AP75"] and ours["IoU of top ten"] < alike["IoU of top ten"]
        for noise, sign in ((0.4, -1), (1.2, 1)):
            ours, alike = (toy.corner(noise, "seen", scores_by, by)["AP90"].mean() for by in ("aLRP", "alike"))
            assert sign * (ours - alike) > 0


def test_the_toys_figure_and_table_are_of_the_kept_numbers():
    """Ten seeds of each setting; every point is a mean of them, and the index prints the means."""
    for noise in studied.NOISES:
        for corner in toy.CORNERS:
            assert all(len(toy.corner(noise, name, *corner)["rho"]) == studied.SEEDS >= 10 for name in ("seen", "new"))
    axes = toy.draw().axes
    points = [bars.lines[0].get_ydata()[0] for bars in axes[2].containers]
    means = [toy.corner(0.8, name, *c)["AP90"].mean() for c in toy.CORNERS for name in ("seen", "new")]
    assert np.allclose(points, means)
    index = (FIGURES / "README.md").read_text()
    shown = table(index.partition("## Toy")[2])[1:]
    expected = [[f"{toy.corner(0.8, 'seen', *c)[name].mean():.3f}" for name in toy.METRICS] for c in toy.CORNERS]
    assert [row[2:] for row in shown] == expected


def test_three_ways_to_compute_the_loss():
    """The loop is the loss; running sums equal it to 1e-12, the means of buckets do not."""
    rng = torch.Generator().manual_seed(0)
    s_pos, s_neg = (torch.randn(n, generator=rng, dtype=torch.float64) for n in (20, 3000))
    errors = torch.rand(20, generator=rng, dtype=torch.float64)
    loss, gradient = methods.loop(s_pos, s_neg, errors)
    exact = alrp_loss(torch.cat([s_pos, s_neg]), torch.tensor([1] * 20 + [0] * 3000), errors).cls
    assert torch.allclose(loss, exact, rtol=1e-12)
    assert all(
        torch.allclose(*pair, rtol=1e-10)
        for pair in zip(methods.running_sums(s_pos, s_neg, errors), (loss, gradient), strict=True)
    )
    off = (methods.buckets(s_pos, s_neg, errors)[1] - gradient).abs().max() / gradient.max()
    assert 1e-6 < off < 1


def test_running_sums_were_measured_to_grow_least():
    """In the committed measurement ours is exact and, from 100 positives on, faster than the loop."""
    rows = {(row["method"], int(row["positives"])): row for row in read_table(results.DATA / "cost.csv")}
    assert all(float(row["error_gradient"]) < 1e-12 for (method, _), row in rows.items() if method == "running sums")
    for number in (100, 300, 1000):
        assert float(rows["running sums", number]["time"]) < float(rows["loop", number]["time"])
    times, errors = cost.draw().axes
    for line in times.lines:
        assert line.get_ydata().tolist() == [float(rows[line.get_label(), n]["time"]) for n in POSITIVES]
    assert [line.get_label() for line in errors.lines] == ["buckets", "running sums"]


def test_figures_of_any_run(tmp_path: Path, capsys):
    """`python -m figures --run DIR --coco DIR` draws figures 3 and 4 and tables 2 and 5 from any training run."""
    coco = make_shapes(tmp_path / "shapes", train_images=8, val_images=4, size=64)
    recipe = replace(RECIPES["alrp_tiny"], batch_size=2, train_size=64, test_size=(64, 64), score_threshold=0.0)
    run = tmp_path / "mine"
    train(recipe, coco, run, TrainOptions(steps=8, workers=0, device="cpu"), log=lambda text: None)
    assert main(["--run", str(run), "--coco", str(coco)]) == 0
    made = sorted(path.name for path in (run / "figures").iterdir())
    assert made == ["fig3.png", "fig3.svg", "fig4.png", "fig4.svg", "table2.md", "table5.md"]
    metrics = json.loads((run / "metrics.json").read_text())
    own = table((run / "figures" / "table2.md").read_text())[-1]
    assert own[:2] == ["mine", f"{100 * metrics['AP']:.1f}"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fig9"], "the figures are changes, claim, claim_details, comparison"),
        (["--run", "."], "--run DIR and --coco DIR belong together"),
        (["fig1", "--run", ".", "--coco", "."], "the figures of a run are fig3, fig4, table2, table5; got 'fig1'"),
        (["fig3", "--run", "nowhere", "--coco", "."], "nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_named(arguments, message, tmp_path, monkeypatch, capsys):
    """One message says which name, or which folder."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
