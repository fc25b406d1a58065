// Bucketed losses: the negatives between two positives at their mean, and how far off that is as the step gets wider.
import { apLoss, bucketMeans, sum } from "./losses.js";
import { NEGATIVE, POSITIVE, canvas, digits, frame, html, set, slider, svg, table } from "./draw.js";

const POS = [1.8, 0, -1.6];
const NEG = [2.9, 2.2, 1.5, 1.1, 0.9, 0.7, 0.4, -0.2, -0.3, -0.5, -1.2, -1.9, -2.3, -2.8];
const MEANS = bucketMeans(POS, NEG);
const [LEFT, RIGHT, UNIT, RAMP, FLOOR] = [-4, 4, 58, 20, 80]; // the axis in logits; top and bottom of the ramp
const x = (score) => 240 + UNIT * score;

/** AP Loss of the list as it is and in buckets, N_FP of p2 in both, and how far the gradient is off, as a share. */
export function compared(delta) {
  const [exact, buckets] = [apLoss(POS, NEG, { delta }), apLoss(POS, MEANS, { delta })];
  const all = (loss) => [...loss.pos, ...loss.neg];
  const off = sum(all(exact).map((g, k) => Math.abs(g - all(buckets)[k])));
  return { exact, buckets, off: off / sum(all(exact).map(Math.abs)) };
}

function render({ el }) {
  const picture = canvas(480, 235, "Three positives and fourteen negatives on a score axis, with the negatives' buckets below them");
  const numbers = table(["", "exact", "buckets", "off"]);
  let delta = 0.5;
  const ramp = svg("polyline", { fill: "none", stroke: POSITIVE, "stroke-width": 2.5 });
  const middle = { "text-anchor": "middle" };
  picture.append(ramp, svg("text", { x: 4, y: RAMP + 5 }, "H = 1"), svg("text", { x: 4, y: FLOOR + 5 }, "H = 0"),
    svg("text", { x: 4, y: 133 }, "exact"), svg("text", { x: 4, y: 173 }, "buckets"),
    svg("line", { x1: 10, x2: 470, y1: 208, y2: 208, stroke: "currentColor" }));
  for (let tick = LEFT + 1; tick < RIGHT; tick++) picture.append(svg("text", { x: x(tick), y: 227, ...middle }, `${tick}`));
  POS.forEach((s, i) => picture.append(
    svg("line", { x1: x(s), x2: x(s), y1: FLOOR, y2: 208, stroke: POSITIVE, "stroke-dasharray": "3 4" }),
    svg("circle", { cx: x(s), cy: 96, r: 9, fill: POSITIVE }), svg("text", { x: x(s) + 20, y: 101, ...middle }, `p${i + 1}`)));
  NEG.forEach((s) => picture.append(svg("rect", { x: x(s) - 5, y: 123, width: 10, height: 10, fill: NEGATIVE })));
  [...new Set(MEANS)].forEach((s) => picture.append(
    svg("rect", { x: x(s) - 11, y: 156, width: 22, height: 22, rx: 3, fill: NEGATIVE }),
    svg("text", { x: x(s), y: 172, class: "light", ...middle }, `${MEANS.filter((m) => m === s).length}`)));

  function redraw() {
    const { exact, buckets, off } = compared(delta);
    const line = [[LEFT + 0.95, 0], [POS[1] - delta, 0], [POS[1] + delta, 1], [RIGHT, 1]];
    set(ramp, { points: line.map(([s, h]) => `${x(s)},${FLOOR - (FLOOR - RAMP) * h}`).join(" ") });
    const row = (name, of) => [name, digits(of(exact)), digits(of(buckets)), digits(Math.abs(of(exact) - of(buckets)))];
    numbers.fill([
      ...POS.map((_, i) => row(`N_FP of p${i + 1}`, (loss) => loss.rows[i].nFP)),
      row("AP Loss", (loss) => loss.value),
      ["gradient, share of its sum", "", "", `${digits(100 * off, 1)} %`],
    ], ["AP Loss"]);
    el.dataset.delta = delta;
  }

  const moved = slider("half width of the step", { min: 0.02, max: 2, step: 0.02, value: delta,
    text: (value) => `${digits(value, 2)} logits` }, (value) => ((delta = value), redraw()));
  redraw();
  frame(el, picture, moved,
    html("p", {}, "Small squares: negatives. Large squares: their buckets, at the mean, with the number of negatives in them. " +
      "The line is H as p2 sees the axis."), numbers.node);
}

export default { render };
