// A list of three positives and four negatives, whose scores can be dragged: ranks, precision, and three losses' gradients.
import { alrpLoss, apLoss, rankSortLoss } from "./losses.js";
import { NEGATIVE, POSITIVE, arrow, canvas, choice, clip, digits, frame, handle, html, svg, table } from "./draw.js";

const POS = [3, 1.2, 0]; // the list of chapters 01 and 02
const ERRORS = [0.8, 0.3, 0.2];
const IOUS = ERRORS.map((e) => 1 - e / 2);
const LOSSES = {
  "AP Loss": (pos, neg) => apLoss(pos, neg),
  "aLRP Loss": (pos, neg) => alrpLoss(pos, neg, ERRORS),
  "RS Loss": (pos, neg) => rankSortLoss(pos, neg, IOUS), // of a later paper, with half steps of .5 and not 1
};
const OTHERS = [0.9, -1, -2.5];
const [LEFT, RIGHT, UNIT] = [-4, 5, 50];
const x = (score) => 215 + UNIT * score;

function render({ el }) {
  const picture = canvas(480, 190, "A score axis with three positives and four negatives; arrows are the updates of the scores");
  const numbers = table(["", "score", "rank", "precision", "update"]);
  let [moved, loss] = [2, "AP Loss"];
  const pos = [...POS];
  const buttons = choice(Object.keys(LOSSES), (name) => ((loss = name), redraw()));
  const arrows = svg("g", { "pointer-events": "none" });
  const name = (text, y) => svg("text", { y, "text-anchor": "middle" }, text);
  const moves = (by) => ({ move: (dx) => by(dx / UNIT), key: (kx, ky) => by(0.1 * (kx - ky)), range: [LEFT, RIGHT] });
  const n1 = handle("score of the negative", moves((by) => ((moved = clip(moved + by, LEFT, RIGHT)), redraw())),
    svg("rect", { x: -11, y: -11, width: 22, height: 22, rx: 3, fill: NEGATIVE }), name("n1", 30));

  picture.append(svg("line", { x1: 10, x2: 470, y1: 165, y2: 165, stroke: "currentColor" }));
  for (let tick = LEFT; tick <= RIGHT; tick += 2) {
    picture.append(svg("text", { x: x(tick), y: 184, "text-anchor": "middle" }, `${tick}`));
  }
  const circles = POS.map((_, i) => {
    const circle = handle(`score of positive ${i + 1}`, moves((by) => ((pos[i] = clip(pos[i] + by, LEFT, RIGHT)), redraw())),
      svg("circle", { r: 11, fill: POSITIVE }), name(`p${i + 1}`, 30));
    picture.append(circle.node);
    return circle;
  });
  OTHERS.forEach((s, j) => picture.append(svg("rect", { x: x(s) - 11, y: 107, width: 22, height: 22, rx: 3, fill: "#d55e0099" }),
    svg("text", { x: x(s), y: 148, "text-anchor": "middle" }, `n${j + 2}`)));
  picture.append(n1.node, arrows);

  function redraw() {
    const neg = [moved, ...OTHERS];
    const out = LOSSES[loss](pos, neg);
    circles.forEach((circle, i) => circle.place(x(pos[i]), 50, pos[i]));
    n1.place(x(moved), 118, moved);
    const up = pos.map((s, i) => arrow(x(s), 28, -170 * out.pos[i], 0, POSITIVE));
    const down = neg.map((s, j) => arrow(x(s), 97, -170 * out.neg[j], 0, NEGATIVE));
    arrows.replaceChildren(...up, ...down);
    const of = (i) => out.rows[i];
    const signed = (gradient) => (gradient > 0 ? "−" : "+") + digits(Math.abs(gradient));
    numbers.fill([
      ...pos.map((s, i) => [`p${i + 1} (IoU ${IOUS[i]})`, digits(s, 2), digits(of(i).rank, 2),
        digits(of(i).rankPos / of(i).rank), signed(out.pos[i])]),
      ...neg.map((s, j) => [`n${j + 1}`, digits(s, 2), "", "", signed(out.neg[j])]),
      [loss, "", "", "", digits(out.value)],
    ], [loss]);
    el.dataset.scores = JSON.stringify({ pos, neg, errors: ERRORS });
  }

  buttons.press(loss);
  redraw();
  frame(el, buttons.node, picture,
    html("p", {}, "Drag n1 or a positive along the axis, or focus it and use the arrow keys. An arrow is the update of a score, " +
      "minus the gradient: positives (circles) go up, negatives (squares) go down. RS Loss also moves positives down."),
    numbers.node);
}

export default { render };
