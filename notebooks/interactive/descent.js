// Detector R3, whose best scores have the worst boxes, trained by cross entropy, AP Loss or aLRP Loss, a step at a time.
import { IOUS, POSITIVES, SCORES } from "./anchors.js";
import { averagePrecision, sum } from "./losses.js";
import { LAST, LOSSES, ranked, run } from "./race.js";
import { BOXES, NEGATIVE, POSITIVE, arrow, canvas, choice, digits, frame, html, levels, scale, set, svg, table } from "./draw.js";

const OBJECTS = 5; // one of them has no anchor
const LONGER = 5; // an arrow is this many steps long
const logit = (p) => Math.log(p / (1 - p));
const scored = SCORES.map((p) => logit(Math.min(p, 0.95))); // the logit of the paper's score of 1 is infinite
const START = {
  pos: POSITIVES.map((k) => scored[k]), neg: scored.filter((_, k) => !POSITIVES.includes(k)), ious: IOUS.R3 };

/** R3 after each step of a loss. */
export const steps = (name) => run(LOSSES[name], START);

/** AP of a list over the four thresholds of the paper's Figure 1. */
export function ap(state) {
  const at = (t) => averagePrecision(ranked(state).map(({ iou }) => (iou >= t ? 1 : 0)), OBJECTS);
  return sum([0.5, 0.65, 0.8, 0.95].map(at)) / 4;
}

function render({ el }) {
  const names = Object.keys(LOSSES);
  const picture = canvas(480, 238, "Ten anchors of R3 as bars, filled as far as the IoU of their box; arrows show the next step");
  const numbers = table(["", "R3", ...names]);
  const runs = Object.fromEntries(names.map((name) => [name, steps(name)]));
  let [loss, step] = ["aLRP Loss", 0];
  const buttons = choice(names, (name) => ((loss = name), redraw()));
  const [y, x, wide] = [scale([0, 1], [206, 20]), (k) => 36 + 44 * k, 34];
  const arrows = svg("g");
  const bars = SCORES.map((_, k) => {
    const [stroke, negative] = [POSITIVES.includes(k) ? POSITIVE : "none", !POSITIVES.includes(k)];
    const bar = { outline: svg("rect", { x: x(k), width: wide, stroke, fill: negative ? "#d55e0066" : "#7f7f7f22" }),
      fill: svg("rect", { x: x(k), width: wide, fill: negative ? "none" : POSITIVE }),
      iou: svg("text", { x: x(k) + wide / 2, y: 226, "text-anchor": "middle" }) };
    picture.append(bar.outline, bar.fill, bar.iou);
    return bar;
  });
  picture.prepend(levels(y, 32, 474, [0, 0.5, 1]));
  picture.append(arrows);

  /** Score and IoU of each of the ten anchors, in their first order. */
  const anchors = ({ pos, neg, ious }) => SCORES.map((_, k) => {
    const i = POSITIVES.indexOf(k);
    const s = i < 0 ? neg[k - POSITIVES.filter((p) => p < k).length] : pos[i];
    return { score: 1 / (1 + Math.exp(-s)), iou: i < 0 ? 0 : ious[i] };
  });

  function redraw() {
    const [now, next] = [step, Math.min(LAST, step + 1)].map((k) => anchors(runs[loss][k]));
    const drawn = now.flatMap(({ score, iou }, k) => {
      const filled = y(score * iou);
      set(bars[k].outline, { y: y(score), height: y(0) - y(score) });
      set(bars[k].fill, { y: filled, height: y(0) - filled });
      bars[k].iou.textContent = iou ? digits(iou, 2) : "";
      const colour = iou ? POSITIVE : NEGATIVE;
      return [arrow(x(k) + wide / 2, y(score), 0, LONGER * (y(next[k].score) - y(score)), colour),
        arrow(x(k) + wide + 5, filled, 0, LONGER * (y(score * next[k].iou) - filled), BOXES)];
    });
    arrows.replaceChildren(...drawn);
    const row = (title, value) => [title, digits(value(START), 2), ...names.map((name) => digits(value(runs[name][step]), 2))];
    numbers.fill([row("AP", ap), row("mean IoU", ({ ious }) => sum(ious) / ious.length),
      row("IoU of a1", ({ ious }) => ious[0]), row("aLRP Loss", (state) => LOSSES["aLRP Loss"](state).value)],
    ["AP", "aLRP Loss"]);
    count.textContent = `step ${step} of ${LAST}`;
    el.dataset.step = step;
  }

  const button = (name, next) => html("button", { type: "button", onclick: () => ((step = next()), redraw()) }, name);
  const count = html("span");
  buttons.press(loss);
  redraw();
  frame(el, buttons.node, html("div", {}, button("one more step", () => Math.min(LAST, step + 1)), button("reset", () => 0), count),
    picture, html("p", {}, "Blue: positives, filled as far as the IoU of their box (the number). Orange: negatives. Arrows are " +
      `${LONGER} times the next step, of a score (blue, orange) or a box (green). The first steps of all losses move the scores ` +
      "by the same total. Each step raises the IoUs by the same total, less what would pass 1."), numbers.node);
}

export default { render };
