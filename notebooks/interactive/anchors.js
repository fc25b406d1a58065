// Ten anchors, four of them positive: the example of the paper's Figure 1, whose scores and boxes can be moved.
import { alrpLoss, apLoss, averagePrecision, crossEntropy, sum } from "./losses.js";
import { NEGATIVE, POSITIVE, canvas, choice, clip, digits, frame, handle, html, set, svg, table } from "./draw.js";

export const SCORES = [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1];
export const POSITIVES = [0, 2, 5, 9];
export const IOUS = { R1: [0.95, 0.8, 0.65, 0.5], R2: [0.8, 0.65, 0.5, 0.95], R3: [0.5, 0.65, 0.8, 0.95] };
const OBJECTS = 5; // one of them has no anchor
const HARD = 0.005; // a step this narrow is the hard step for scores with two digits
const [TOP, HEIGHT, WIDE] = [22, 190, 46];

const middle = (k) => 6 + (k + 0.5) * WIDE;
const detector = (name) => SCORES.map((score, k) => ({ score, iou: IOUS[name][POSITIVES.indexOf(k)] }));

/** All losses and APs of a list of anchors. */
export function measures(anchors) {
  const [pos, neg] = [anchors.filter((a) => a.iou !== undefined), anchors.filter((a) => a.iou === undefined)];
  const scores = [pos, neg].map((part) => part.map((a) => a.score));
  const logits = scores.map((part) => part.map((p) => Math.log(p) - Math.log(1 - p)));
  const sorted = [...anchors].sort((a, b) => b.score - a.score);
  const ap = (t) => averagePrecision(sorted.map((a) => (a.iou >= t ? 1 : 0)), OBJECTS);
  const aps = [0.5, 0.65, 0.8, 0.95].map(ap);
  return {
    "cross entropy": crossEntropy(...logits).value,
    "IoU Loss": sum(pos.map((a) => 1 - a.iou)) / pos.length,
    "AP Loss": apLoss(...scores, { delta: HARD }).value,
    "aLRP Loss": alrpLoss(...scores, pos.map((a) => 2 * (1 - a.iou)), { delta: HARD }).value,
    AP50: aps[0], AP65: aps[1], AP80: aps[2], AP95: aps[3],
    AP: sum(aps) / 4,
  };
}

function render({ el }) {
  const picture = canvas(480, 255, "Ten anchors as bars; the height is the score, the filled part the IoU of the box");
  const numbers = table(["", "R1", "R2", "R3", "yours"]);
  const fixed = Object.keys(IOUS).map((name) => measures(detector(name)));
  let anchors = detector("R1");
  const buttons = choice(Object.keys(IOUS), (name) => ((anchors = detector(name)), redraw()));

  const bars = anchors.map(({ iou }, k) => {
    const [x, colour, kind] = [10 + k * WIDE, iou ? POSITIVE : NEGATIVE, iou ? "positive" : "negative"];
    const parts = {
      outline: svg("rect", { x, width: WIDE - 8, fill: iou ? "none" : "#7f7f7f55", stroke: iou ? POSITIVE : "none" }),
      fill: svg("rect", { x, width: WIDE - 8, fill: iou ? POSITIVE : "none" }),
      label: svg("text", { x: middle(k), "text-anchor": "middle" }),
      iou: svg("text", { x: middle(k), y: TOP + HEIGHT + 34, "text-anchor": "middle" }),
    };
    const score = (by) => ((anchors[k].score = clip(anchors[k].score + by, 0.01, 0.99)), redraw(true));
    const box = (by) => ((anchors[k].iou = clip(anchors[k].iou + by, 0, 1)), redraw(true));
    parts.score = handle(`score of anchor ${k + 1}, ${kind}`, {
      move: (_, dy) => score(-dy / HEIGHT), key: (x, y) => score(0.05 * (x - y)), range: [0, 1], lower: -9 },
    svg("circle", { r: 9, fill: colour }));
    parts.box = handle(`IoU of anchor ${k + 1}`, {
      move: (_, dy) => box(-dy / HEIGHT / anchors[k].score), key: (x, y) => box(0.05 * (x - y)), range: [0, 1], lower: 9 },
    svg("rect", { x: -10, y: -6, width: 20, height: 12, rx: 3, fill: "white", stroke: POSITIVE, "stroke-width": 2 }));
    picture.append(parts.outline, parts.fill, parts.label, parts.iou, ...(iou ? [parts.box.node] : []), parts.score.node);
    return parts;
  });

  function redraw(own = false) {
    anchors.forEach(({ score, iou = 0 }, k) => {
      const [parts, top] = [bars[k], TOP + HEIGHT * (1 - score)];
      const filled = HEIGHT * score * iou;
      set(parts.outline, { y: top, height: HEIGHT * score });
      set(parts.fill, { y: TOP + HEIGHT - filled, height: filled });
      parts.score.place(middle(k), top, score);
      parts.box.place(middle(k), TOP + HEIGHT - filled, iou);
      set(parts.label, { y: TOP + HEIGHT + 16 });
      parts.label.textContent = digits(score, 2);
      parts.iou.textContent = POSITIVES.includes(k) ? digits(iou, 2) : "";
    });
    if (own) buttons.press("");
    const yours = measures(anchors);
    const row = (name) => [name, ...fixed.map((m) => digits(m[name] + 1e-9, 2)), digits(yours[name])];
    numbers.fill(Object.keys(yours).map(row), ["aLRP Loss"]);
    el.dataset.anchors = JSON.stringify(anchors);
  }

  buttons.press("R1");
  redraw();
  frame(el, buttons.node, picture,
    html("p", {}, "Blue: positives, filled as far as the IoU of their box. Orange dots: negatives. Numbers: score, IoU. " +
      "Move a dot (score) or a white bar (IoU) with the mouse or the arrow keys."), numbers.node);
}

export default { render };
