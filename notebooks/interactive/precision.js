// A list of three positives and four negatives. One negative moves: how much it counts, and the precision at each positive.
import { ranks, step, sum } from "./losses.js";
import { NEGATIVE, POSITIVE, axis, canvas, clip, digits, frame, handle, html, levels, points, scale, set, slider, svg, table }
  from "./draw.js";

const POS = [3, 1.2, 0]; // the list of chapter 01
const OTHERS = [0.9, -1, -2.5];
const [LEFT, RIGHT] = [-3, 5];
const DASHES = ["none", "8 5", "2 5"];
const PLACES = Array.from({ length: 401 }, (_, k) => LEFT + ((RIGHT - LEFT) * k) / 400);

/** Of each positive: how much the moved negative counts, false positives, rank and precision. */
export function counts(negative, delta) {
  return ranks(POS, [negative, ...OTHERS], delta).map(({ negatives, nFP, rankPos, rank }) => (
    { h: negatives[0], nFP, rank, precision: rankPos / rank }));
}

function render({ el }) {
  const picture = canvas(480, 352, "Seven scores on an axis; below it the step function and the precision of each positive");
  const numbers = table(["", "H of n1", "N_FP", "rank", "precision"]);
  let [moved, delta] = [2, 1];
  const x = scale([LEFT, RIGHT], [44, 466]);
  const [h, precision] = [scale([0, 1], [150, 104]), scale([0.4, 1], [310, 186])];
  const middle = { "text-anchor": "middle" };
  const line = (_, i) => svg("polyline", { fill: "none", stroke: POSITIVE, "stroke-width": 2.5, "stroke-dasharray": DASHES[i] });
  const bands = POS.map(() => svg("rect", { y: 92, height: 218, fill: POSITIVE, "fill-opacity": 0.1 }));
  const [steps, curves] = [POS.map(line), POS.map(line)];
  const dots = POS.map(() => svg("circle", { r: 5, fill: POSITIVE }));
  const cursor = svg("line", { y1: 62, y2: 310, stroke: NEGATIVE, "stroke-width": 1.5 });
  const n1 = handle("score of the negative n1", {
    move: (dx) => drag(dx / (x(1) - x(0))), key: (right, down) => drag(0.05 * (right - down)), range: [LEFT, RIGHT] },
  svg("rect", { x: -9, y: -9, width: 18, height: 18, rx: 3, fill: NEGATIVE }), svg("text", { x: 17, y: 6 }, "n1"));

  picture.append(...bands, axis(x, 310, [-3, -2, -1, 0, 1, 2, 3, 4, 5], "score of n1 (logits)"),
    levels(h, 44, 466, [0, 1]), levels(precision, 44, 466, [0.4, 0.6, 0.8, 1]),
    svg("text", { x: 48, y: 88 }, "H: how much n1 counts"), svg("text", { x: 48, y: 180 }, "precision"),
    ...POS.flatMap((s, i) => [svg("circle", { cx: x(s), cy: 30, r: 9, fill: POSITIVE }),
      svg("text", { x: x(s), y: 16, ...middle }, `p${i + 1}`)]),
    ...OTHERS.map((s) => svg("rect", { x: x(s) - 7, y: 47, width: 14, height: 14, rx: 2, fill: "#d55e0099" })),
    cursor, ...steps, ...curves, ...dots, n1.node);

  const drag = (by) => ((moved = clip(moved + by, LEFT, RIGHT)), redraw());
  function redraw() {
    const now = counts(moved, delta);
    const path = PLACES.map((place) => counts(place, delta));
    POS.forEach((s, i) => {
      set(bands[i], { x: x(Math.max(LEFT, s - delta)), width: x(Math.min(RIGHT, s + delta)) - x(Math.max(LEFT, s - delta)) });
      set(steps[i], { points: points(PLACES.map((place) => [place, step(place - s, delta)]), x, h) });
      set(curves[i], { points: points(PLACES.map((place, k) => [place, path[k][i].precision]), x, precision) });
      set(dots[i], { cx: x(moved), cy: precision(now[i].precision) });
    });
    set(cursor, { x1: x(moved), x2: x(moved) });
    n1.place(x(moved), 54, moved, `${digits(moved, 2)} logits`);
    numbers.fill([
      ...now.map((row, i) => [`p${i + 1} at ${POS[i]}`, ...[row.h, row.nFP, row.rank, row.precision].map((v) => digits(v))]),
      ["mean precision", "", "", "", digits(sum(now.map((row) => row.precision)) / POS.length)],
    ], ["mean precision"]);
    el.dataset.list = JSON.stringify({ negative: moved, delta });
  }

  const width = slider("half width δ of the step", { min: -2, max: 0.7, step: 0.05, value: 0,
    text: (power) => `${digits(10 ** power, 2)} logits` }, (power) => ((delta = 10 ** power), redraw()));
  redraw();
  frame(el, picture, width,
    html("p", {}, "Drag the square n1, or focus it and use the arrow keys. Solid: p1, dashed: p2, dotted: p3. " +
      "Each blue band reaches from δ below a positive to δ above it. The mean is 1 − AP Loss."), numbers.node);
}

export default { render };
