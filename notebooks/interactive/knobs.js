// Three positives and five negatives: the gradients of aLRP Loss on scores and boxes, under other boxes and another negative.
import { alrpLoss, sum } from "./losses.js";
import { BOXES, NEGATIVE, POSITIVE, arrow, axis, canvas, clip, digits, frame, handle, html, levels, scale, set, svg, table }
  from "./draw.js";

const POS = [3, 1, -1]; // the list of chapter 06
const OTHERS = [1.6, 0.4, -0.2, -2.5];
const [LEFT, RIGHT, MOST] = [-3, 4.5, 2]; // of the score; of an error

/** The gradients, and the lift of each positive in its two parts: by negatives and by boxes above it. */
export function gradients(errors, negative) {
  const out = alrpLoss(POS, [negative, ...OTHERS], errors);
  const byNegatives = out.rows.map(({ nFP, rank }) => nFP / rank / POS.length);
  const byBoxes = out.rows.map(({ positives, rank }) => sum(positives.map((h, k) => h * errors[k])) / rank / POS.length);
  return { ...out, byNegatives, byBoxes };
}

function render({ el }) {
  const picture = canvas(480, 358, "Scores of three positives and five negatives with their updates, and the pull on three boxes");
  const numbers = table(["", "E_loc", "lift by negatives", "by boxes above", "pull on the box"]);
  const errors = [0.8, 0.3, 0.2];
  let negative = 2.2;
  const x = scale([-3.5, 5], [14, 466]);
  const [y, pull] = [scale([0, MOST], [330, 220]), scale([0, 0.6], [330, 220])];
  const [column, middle] = [(i) => 120 + 120 * i, { "text-anchor": "middle" }];
  const [arrows, bars] = [svg("g", { "pointer-events": "none" }), POS.map(() => svg("rect", { width: 28, fill: BOXES }))];
  const square = (fill) => svg("rect", { x: -9, y: -9, width: 18, height: 18, rx: 3, fill });
  const score = (by) => ((negative = clip(negative + by, LEFT, RIGHT)), redraw());
  const n1 = handle("score of the negative n1", {
    move: (dx) => score(dx / (x(1) - x(0))), key: (right, down) => score(0.05 * (right - down)), range: [LEFT, RIGHT] },
  square(NEGATIVE), svg("text", { y: 27, ...middle }, "n1"));
  const boxes = POS.map((_, i) => {
    const error = (by) => ((errors[i] = clip(errors[i] + by, 0, MOST)), redraw());
    return handle(`error of the box of p${i + 1}`, {
      move: (_, dy) => error(dy / (y(1) - y(0))), key: (right, down) => error(0.05 * (right - down)), range: [0, MOST] },
    svg("rect", { x: -13, y: -6, width: 26, height: 12, rx: 3, fill: "white", stroke: BOXES, "stroke-width": 2 }));
  });

  picture.append(axis(x, 152, [-3, -2, -1, 0, 1, 2, 3, 4, 5]), levels(y, 60, 440, [0, 1, 2]),
    svg("text", { x: 30, y: 204 }, "error of the box (left axis)"),
    svg("text", { x: 466, y: 204, "text-anchor": "end", fill: BOXES }, "pull on the box (right axis)"),
    ...[0, 0.3, 0.6].map((g) => svg("text", { x: 446, y: pull(g) + 5 }, `${g}`)),
    ...OTHERS.map((s, j) => svg("g", { transform: `translate(${x(s)} 112)`, opacity: 0.6 }, square(NEGATIVE),
      svg("text", { y: 27, ...middle }, `n${j + 2}`))),
    ...POS.flatMap((s, i) => [svg("circle", { cx: x(s), cy: 46, r: 10, fill: POSITIVE }),
      svg("text", { x: x(s), y: 74, ...middle }, `p${i + 1}`),
      svg("text", { x: column(i), y: 350, ...middle }, `p${i + 1}`),
      svg("line", { x1: column(i) - 20, x2: column(i) - 20, y1: y(0), y2: y(MOST), stroke: BOXES })]),
    ...bars, ...boxes.map(({ node }) => node), n1.node, arrows);

  function redraw() {
    const out = gradients(errors, negative);
    n1.place(x(negative), 112, negative);
    errors.forEach((error, i) => {
      boxes[i].place(column(i) - 20, y(error), error);
      set(bars[i], { x: column(i) + 4, y: pull(out.boxes[i]), height: pull(0) - pull(out.boxes[i]) });
    });
    arrows.replaceChildren(...POS.map((s, i) => arrow(x(s), 26, -200 * out.pos[i], 0, POSITIVE)),
      ...[negative, ...OTHERS].map((s, j) => arrow(x(s), 98 - 11 * (j % 2), -200 * out.neg[j], 0, NEGATIVE)));
    numbers.fill([
      ...POS.map((_, i) => [`p${i + 1}`, digits(errors[i], 2),
        ...[out.byNegatives[i], out.byBoxes[i], out.boxes[i]].map((v) => digits(v))]),
      ["sum", "", digits(sum(out.byNegatives)), digits(sum(out.byBoxes)), digits(sum(out.boxes))],
      ["aLRP Loss", "", "", "", digits(out.value)],
    ], ["aLRP Loss"]);
    el.dataset.list = JSON.stringify({ errors, negative });
  }

  redraw();
  frame(el, picture,
    html("p", {}, "Drag the square n1 or a white handle, or focus it and use the arrow keys. An arrow is the update of a score: " +
      "positives (circles) go up, negatives (squares) go down."), numbers.node);
}

export default { render };
