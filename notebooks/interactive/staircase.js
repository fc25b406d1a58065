// The number of negatives above a score is a staircase; N_FP of a positive is its mean over the ramp of the positive.
import { step, sum } from "./losses.js";
import { NEGATIVE, POSITIVE, axis, canvas, clip, digits, frame, handle, html, levels, points, scale, set, slider, svg, table }
  from "./draw.js";

const NEG = [-1.6, -0.4, 0.3, 0.5, 1.7]; // the negatives of chapter 08
const [LEFT, RIGHT, MOST] = [-5, 5, 2.5]; // the axis; the highest score of the positive and the widest step
const above = (t) => NEG.filter((s) => s >= t).length; // C(t)

/** The mean of the staircase from `s - delta` to `s + delta`, from its edges, and the sum of H over the negatives. */
export function counts(s, delta) {
  const edges = [s - delta, ...NEG.filter((t) => Math.abs(t - s) < delta), s + delta];
  const areas = edges.slice(1).map((edge, k) => (edge - edges[k]) * above(edge));
  return { mean: sum(areas) / (2 * delta), nFP: sum(NEG.map((t) => step(t - s, delta))), hard: above(s) };
}

function render({ el }) {
  const picture = canvas(480, 268, "The number of negatives at or above a score, as a staircase, and its mean over a ramp");
  const numbers = table(["", "N_FP"]);
  let [s, delta] = [0, 1];
  const [x, y] = [scale([LEFT, RIGHT], [40, 466]), scale([0, 5.5], [210, 18])];
  const corners = [...NEG].flatMap((t, k) => [[t, NEG.length - k], [t, NEG.length - k - 1]]);
  const stairs = [[LEFT, NEG.length], ...corners, [RIGHT, 0]];
  const [area, mean] = [svg("polygon", { fill: "#7f7f7f55" }), svg("line", { stroke: POSITIVE, "stroke-width": 4 })];
  const [label, ramp] = [svg("text", {}), svg("rect", { y: 18, height: 192, fill: POSITIVE, "fill-opacity": 0.08 })];
  const dot = handle("score of the positive", {
    move: (dx) => drag(dx / (x(1) - x(0))), key: (right, down) => drag(0.05 * (right - down)), range: [-MOST, MOST] },
  svg("circle", { r: 8, fill: POSITIVE }));

  picture.append(ramp, levels(y, 40, 466, [0, 1, 2, 3, 4, 5]), axis(x, 210, [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5], "score t (logits)"),
    area, svg("polyline", { fill: "none", stroke: "currentColor", "stroke-width": 2.5, points: points(stairs, x, y) }),
    mean, label,
    svg("text", { x: 466, y: 34, "text-anchor": "end" }, "C(t): negatives at or above t"), dot.node,
    ...NEG.map((t) => svg("rect", { x: x(t) - 5, y: 205, width: 10, height: 10, fill: NEGATIVE, "pointer-events": "none" })));

  const drag = (by) => ((s = clip(s + by, -MOST, MOST)), redraw());
  function redraw() {
    const [from, to, out] = [s - delta, s + delta, counts(s, delta)];
    const over = [[from, above(from)], ...corners.filter(([t]) => t > from && t < to), [to, above(to)]];
    set(area, { points: points([[from, 0], ...over, [to, 0]], x, y) });
    set(ramp, { x: x(from), width: x(to) - x(from) });
    set(mean, { x1: x(from), x2: x(to), y1: y(out.mean), y2: y(out.mean) });
    set(label, { x: Math.min(x(to) + 6, 392), y: y(out.mean) - 6 });
    label.textContent = `mean ${digits(out.mean, 2)}`;
    dot.place(x(s), 198, s, `${digits(s, 2)} logits`);
    numbers.fill([["mean of C over the ramp", digits(out.mean)], ["sum of H over the negatives", digits(out.nFP)],
      ["C at the positive (hard step)", digits(out.hard)]], ["mean of C over the ramp", "sum of H over the negatives"]);
    el.dataset.list = JSON.stringify({ s, delta });
  }

  const width = slider("half width δ of the step", { min: 0.05, max: MOST, step: 0.05, value: delta,
    text: (v) => `${digits(v, 2)} logits` }, (value) => ((delta = value), redraw()));
  redraw();
  frame(el, picture, width,
    html("p", {}, "Drag the blue circle, the positive, or focus it and use the arrow keys. Squares: negatives. The mean of the " +
      "grey area over the ramp is the height of the blue line."), numbers.node);
}

export default { render };
