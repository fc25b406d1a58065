// Two positives share one negative. The target of the second passes its error, and the balance of Theorem 2 is lost.
import { sum } from "./losses.js";
import { NEGATIVE, POSITIVE, arrow, axis, canvas, digits, frame, html, levels, points, scale, set, slider, svg, table }
  from "./draw.js";

const ERRORS = [0.5, 0.2]; // made up, as in chapter 03
const [LONG, PLACES] = [240, Array.from({ length: 101 }, (_, k) => k / 100)]; // length of an arrow for an update of 1

/** Updates of the positives, what the negative gets from each, and both sides of Theorem 2. */
export function sides(target) {
  const up = [ERRORS[0], ERRORS[1] - target].map((u) => u / ERRORS.length);
  const down = up.map((u) => -u);
  return { up, down, positives: sum(up.map(Math.abs)), negatives: Math.abs(sum(down)), holds: up.every((u) => u >= 0) };
}

function render({ el }) {
  const picture = canvas(480, 366, "Updates of two positives and one negative, and the sums of both sides over the target");
  const numbers = table(["", "from p1", "from p2", "sum", "sum of sizes"]);
  let target = 0.6;
  const [x, y] = [scale([0, 1], [44, 440]), scale([0, 0.7], [312, 150])];
  const [scores, middle] = [[90, 262, 372], { "text-anchor": "middle" }];
  const line = (value, stroke, dashes) => svg("polyline", { fill: "none", stroke, "stroke-width": 2.5, "stroke-dasharray": dashes,
    points: points(PLACES.map((t) => [t, value(sides(t))]), x, y) });
  const [arrows, cursor] = [svg("g"), svg("line", { y1: 150, y2: 312, stroke: "currentColor" })];
  const dots = [POSITIVE, NEGATIVE].map((fill) => svg("circle", { r: 6, fill }));
  const inside = svg("rect", { x: x(0), width: x(ERRORS[1]) - x(0), y: 150, height: 162, fill: "#7f7f7f33" });

  picture.append(...["p1", "p2", "n"].map((name, k) => svg("text", { x: scores[k] + 22, y: 77, ...middle }, name)),
    ...[0, 1].map((i) => svg("circle", { cx: scores[i], cy: 72, r: 10, fill: POSITIVE })),
    svg("rect", { x: scores[2] - 9, y: 63, width: 18, height: 18, rx: 3, fill: NEGATIVE }),
    svg("text", { x: 474, y: 18, "text-anchor": "end" }, "from p1 and from p2 (pale), and their sum"),
    inside, levels(y, 44, 440, [0, 0.2, 0.4, 0.6]), axis(x, 312, [0, 0.2, 0.4, 0.6, 0.8, 1], "target ℓ* of p2 (its error ℓ is 0.2)"),
    svg("text", { x: 44, y: 138 }, "sum of sizes of the updates"),
    line((s) => s.positives, POSITIVE, "none"), line((s) => s.negatives, NEGATIVE, "7 4"), cursor, ...dots, arrows);

  function redraw() {
    const now = sides(target);
    const signed = (value) => `${value < 0 ? "−" : "+"}${digits(Math.abs(value))}`;
    const pale = now.down.map((u, i) => svg("g", { opacity: 0.5 }, arrow(scores[2], 36 + 15 * i, LONG * u, 0, NEGATIVE)));
    arrows.replaceChildren(...now.up.map((u, i) => arrow(scores[i], 50, LONG * u, 0, POSITIVE)), ...pale,
      arrow(scores[2], 94, LONG * sum(now.down), 0, NEGATIVE, 4));
    set(cursor, { x1: x(target), x2: x(target) });
    [now.positives, now.negatives].forEach((side, k) => set(dots[k], { cx: x(target), cy: y(side) }));
    numbers.fill([
      ["p1", signed(now.up[0]), "", signed(now.up[0]), ""], ["p2", "", signed(now.up[1]), signed(now.up[1]), ""],
      ["positives", "", "", "", digits(now.positives)],
      ["n", ...now.down.map(signed), signed(sum(now.down)), ""], ["negatives", "", "", "", digits(now.negatives)],
      [`balance ${now.positives - now.negatives < 1e-9 ? "holds" : "is lost"}: difference`, "", "", "",
        digits(now.positives - now.negatives)],
    ], ["positives", "negatives"]);
    el.dataset.target = target;
  }

  const moved = slider("target error of the second positive", { min: 0, max: 1, step: 0.02, value: target },
    (value) => ((target = value), redraw()));
  redraw();
  frame(el, picture, moved,
    html("p", {}, "Arrows are updates of scores. Blue line: positives. Orange, dashed: negatives. In the grey part the error of p2 " +
      "is above its target, the sign condition holds, and both lines are the same."), numbers.node);
}

export default { render };
