// Detections in a picture under a score threshold, and the three parts of the LRP error.
import { boxError, lrp } from "./losses.js";
import { BOXES, NEGATIVE, POSITIVE, canvas, digits, frame, html, set, slider, svg, table } from "./draw.js";

const OBJECTS = [[25, 40, 135, 150], [165, 25, 255, 165], [300, 60, 450, 150], [215, 175, 300, 225], [30, 172, 110, 222]];
const DETECTIONS = [ // score, box
  [0.93, [28, 42, 139, 147]], [0.86, [304, 52, 459, 158]], [0.74, [150, 168, 205, 232]], [0.66, [172, 33, 248, 180]],
  [0.52, [390, 165, 460, 220]], [0.41, [222, 180, 306, 232]], [0.27, [95, 20, 165, 85]], [0.16, [36, 168, 103, 216]],
  [0.08, [260, 20, 300, 70]],
];
const found = DETECTIONS.map(([score, box]) => ({ score, box, iou: Math.max(...OBJECTS.map((o) => boxError(box, o).iou)) }));
const at = (threshold) => lrp(found.filter((d) => d.score >= threshold).map((d) => (d.iou >= 0.5 ? d.iou : 0)), OBJECTS.length);
const PARTS = { loc: [BOXES, "boxes"], fp: [NEGATIVE, "false positives"], fn: ["#7f7f7f", "misses"] };
const [CURVE, FLOOR] = [262, 372]; // top and bottom of the curve

function render({ el }) {
  const picture = canvas(480, 400, "Five objects, nine detections, and LRP over the score threshold");
  const numbers = table(["LRP at this threshold", "number", "part"]);
  let threshold = 0.5;
  const y = (value) => FLOOR - (FLOOR - CURVE) * value;
  const [stack, cursor] = [svg("g"), svg("line", { y1: CURVE, y2: FLOOR, stroke: "currentColor", "stroke-width": 2 })];

  picture.append(svg("rect", { x: 4, y: 4, width: 472, height: 236, rx: 4, fill: "#7f7f7f22" }));
  OBJECTS.forEach((o) => picture.append(svg("rect", { x: o[0], y: o[1], width: o[2] - o[0], height: o[3] - o[1], rx: 8, fill: "#7f7f7f55" })));
  const drawn = found.map(({ score, box: [x1, y1, x2, y2], iou }) => {
    const colour = iou >= 0.5 ? POSITIVE : NEGATIVE;
    const dashes = iou >= 0.5 ? "none" : "6 4";
    const node = svg("g", {},
      svg("rect", { x: x1, y: y1, width: x2 - x1, height: y2 - y1, fill: "none", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dashes }),
      svg("text", { x: x1 + 3, y: y1 + 15, style: "font-size: 13px" }, `${digits(score, 2)}`));
    picture.append(node);
    return node;
  });
  for (let k = 0; k < 100; k++) { // the parts of LRP, stacked, at each threshold
    const out = at(k / 100);
    let below = 0;
    for (const [name, [colour]] of Object.entries(PARTS)) {
      const share = out[name] / (out.tp + out.fp + out.fn);
      picture.append(svg("rect", { x: 20 + 4.4 * k, y: y(below + share), width: 4.6, height: (FLOOR - CURVE) * share, fill: colour }));
      below += share;
    }
  }
  picture.append(stack, cursor, svg("text", { x: 20, y: 392 }, "0"), svg("text", { x: 455, y: 392 }, "1"),
    svg("text", { x: 240, y: 392, "text-anchor": "middle" }, "score threshold"));

  function redraw() {
    const out = at(threshold);
    const all = out.tp + out.fp + out.fn;
    drawn.forEach((node, k) => set(node, { opacity: found[k].score >= threshold ? 1 : 0.15 }));
    set(cursor, { x1: 20 + 440 * threshold, x2: 20 + 440 * threshold });
    const best = Math.min(...found.map((d) => at(d.score).value));
    const row = (name, number) => [PARTS[name][1], number, digits(out[name] / all)];
    numbers.fill([row("loc", `${out.tp} true positives`), row("fp", `${out.fp}`), row("fn", `${out.fn}`),
      ["LRP", "", digits(out.value)], ["oLRP, the smallest", "", digits(best)]], ["LRP"]);
    el.dataset.threshold = threshold;
  }

  const moved = slider("score threshold", { min: 0, max: 1, step: 0.01, value: threshold },
    (value) => ((threshold = value), redraw()));
  redraw();
  frame(el, picture, moved,
    html("p", {}, "Grey areas: objects. Blue: detections with an IoU of .5 or more. Orange, dashed: false positives. Below: LRP " +
      "at each threshold, made of the errors of the boxes (green), false positives (orange) and misses (grey)."), numbers.node);
}

export default { render };
