// Detector R1 with another IoU of two boxes: the LRP error at each positive, aLRP Loss, and cross entropy + smooth L1.
import { IOUS, POSITIVES, SCORES } from "./anchors.js";
import { alrpLoss, crossEntropy, sum } from "./losses.js";
import { ALRP_LOSS, BOXES, CROSS_ENTROPY, NEGATIVE, POSITIVE, canvas, digits, frame, html, levels, scale, set, slider, svg, table }
  from "./draw.js";

const HARD = 0.05; // half the distance of two scores: the hard step
const parts = (wanted) => SCORES.filter((_, k) => POSITIVES.includes(k) === wanted);
const logit = (p) => Math.log(p) - Math.log(1 - p);
const smoothL1 = (d) => (d < 1 ? (d * d) / 2 : d - 0.5);

/** Both losses of R1's scores and boxes with these IoUs, and the LRP error at each positive in its three parts. */
export function losses(ious) {
  const out = alrpLoss(parts(true), parts(false), ious.map((v) => 2 * (1 - v)), { delta: HARD });
  const shifts = ious.map((v) => (1 - v) / (1 + v) / 0.1); // as in the notebook: one of four deltas, divided by 0.1
  const boxes = sum(shifts.map(smoothL1)) / (4 * ious.length);
  const errors = out.rows.map(({ nFP, rank }, i) => (
    { negatives: nFP / rank, above: out.ell[i] - nFP / rank - out.target[i], own: out.target[i] }));
  const usual = crossEntropy(parts(true).map(logit), parts(false).map(logit)).value + boxes;
  return { cls: out.cls, loc: out.loc, alrp: out.value, usual, errors };
}

function render({ el }) {
  const picture = canvas(480, 372, "Ten anchors of R1, below each positive its LRP error, and the change of two losses");
  const numbers = table(["", "R1", "yours", "change"]);
  const ious = [0.55, ...IOUS.R1.slice(1, 3), 0.5];
  const [y, error, change] = [scale([0, 1], [130, 24]), scale([0, 1], [268, 168]), scale([-50, 60], [170, 400])];
  const [x, wide, middle] = [(k) => 40 + 44 * k, 36, { "text-anchor": "middle" }];
  const bar = (fill, more = {}) => svg("rect", { width: wide, fill, ...more });
  const colours = { negatives: [NEGATIVE, 1], above: [BOXES, 0.45], own: [BOXES, 1] };

  picture.append(levels(y, 34, 470, [0, 0.5, 1]), levels(error, 34, 470, [0, 0.5, 1]),
    svg("text", { x: 470, y: 16, "text-anchor": "end" }, "score; blue: times IoU"),
    svg("text", { x: 470, y: 160, "text-anchor": "end" }, "LRP error at the positive"));
  SCORES.forEach((score, k) => picture.append(set(bar("#7f7f7f55"), { x: x(k), y: y(score), height: y(0) - y(score) })));
  const columns = POSITIVES.map((k) => {
    const column = { fill: bar(POSITIVE, { x: x(k) }), outline: bar("none", { x: x(k), stroke: POSITIVE, y: y(SCORES[k]) }),
      iou: svg("text", { x: x(k) + wide / 2, y: y(SCORES[k]) - 4, ...middle }),
      parts: Object.values(colours).map(([colour, opacity]) => bar(colour, { x: x(k), "fill-opacity": opacity })) };
    set(column.outline, { height: y(0) - y(SCORES[k]) });
    picture.append(column.outline, column.fill, column.iou, ...column.parts,
      svg("text", { x: x(k) + wide / 2, y: 286, ...middle }, `a${k + 1}`));
    return column;
  });
  const changes = [["aLRP Loss", ALRP_LOSS], ["cross entropy + smooth L1", CROSS_ENTROPY]].map(([name, fill], k) => {
    const [rect, text] = [svg("rect", { y: 304 + 32 * k, height: 22, fill, stroke: "currentColor" }), svg("text", { y: 320 + 32 * k })];
    picture.append(svg("text", { x: 4, y: 320 + 32 * k }, name), rect, text);
    return { rect, text };
  });
  picture.append(svg("line", { x1: change(0), x2: change(0), y1: 298, y2: 364, stroke: "currentColor" }));

  function redraw() {
    const [before, now] = [losses(IOUS.R1), losses(ious)];
    columns.forEach(({ fill, iou, parts: stacked }, i) => {
      const score = SCORES[POSITIVES[i]];
      set(fill, { y: y(score * ious[i]), height: y(0) - y(score * ious[i]) });
      iou.textContent = digits(ious[i], 2);
      let below = 0;
      Object.keys(colours).forEach((name, k) => {
        const part = Math.max(0, now.errors[i][name]);
        set(stacked[k], { y: error(below + part), height: error(0) - error(part) });
        below += part;
      });
    });
    const percent = (name) => 100 * (now[name] / before[name] - 1);
    const words = (value) => `${value < 0 ? "−" : "+"}${digits(Math.abs(value), 0)}\u00a0%`;
    ["alrp", "usual"].forEach((name, k) => {
      const [from, to] = [0, percent(name)].map(change).sort((a, b) => a - b);
      set(changes[k].rect, { x: from, width: to - from });
      set(changes[k].text, { x: to + 6 });
      changes[k].text.textContent = words(percent(name));
    });
    const row = (title, name) => [title, digits(before[name]), digits(now[name]), words(percent(name))];
    numbers.fill([row("L_cls", "cls"), row("L_loc", "loc"), row("aLRP Loss", "alrp"), row("cross entropy + smooth L1", "usual")],
      ["aLRP Loss", "cross entropy + smooth L1"]);
    el.dataset.ious = JSON.stringify(ious);
  }

  const box = (name, i) => slider(`IoU of the box with the ${name} score`, { min: 0.5, max: 1, step: 0.01, value: ious[i] },
    (value) => ((ious[i] = value), redraw()));
  redraw();
  frame(el, picture, box("best", 0), box("worst", 3),
    html("p", {}, "An LRP error is false positives (orange), boxes above (pale green) and the own box (green), over the rank. " +
      "The lower bars: change of both losses against R1."), numbers.node);
}

export default { render };
