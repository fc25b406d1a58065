// Two boxes to drag: IoU, the smallest box around both, GIoU, both errors, and the pull on each side.
import { boxError, pull } from "./losses.js";
import { BOXES, NEGATIVE, POSITIVE, arrow, canvas, choice, clip, digits, draggable, frame, handle, html, set, svg, table } from "./draw.js";

const [WIDTH, HEIGHT, LEAST] = [480, 280, 20];
const spot = ([x1, y1, x2, y2]) => ({ x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) });

function render({ el }) {
  const picture = canvas(WIDTH, HEIGHT, "A predicted box and an object's box, with their intersection and the box around both");
  const numbers = table(["", "value", "error E_loc"]);
  const boxes = { prediction: [70, 60, 230, 190], object: [170, 110, 350, 230] };
  let by = "GIoU";
  const buttons = choice(["IoU", "GIoU"], (name) => ((by = name), redraw()));
  const hull = svg("rect", { fill: "none", stroke: "currentColor", "stroke-dasharray": "5 5" });
  const both = svg("rect", { fill: "#7f7f7f66" });
  const arrows = svg("g", { "pointer-events": "none" });
  picture.append(hull);

  const parts = Object.fromEntries(Object.entries({ object: BOXES, prediction: POSITIVE }).map(([name, colour]) => {
    const body = svg("rect", { fill: colour, "fill-opacity": 0.18, stroke: colour, "stroke-width": 2.5 });
    const shift = (dx, dy) => {
      const [x1, y1, x2, y2] = boxes[name];
      const [mx, my] = [clip(dx, 4 - x1, WIDTH - 4 - x2), clip(dy, 4 - y1, HEIGHT - 4 - y2)];
      boxes[name] = [x1 + mx, y1 + my, x2 + mx, y2 + my];
      redraw();
    };
    const stretch = (dx, dy) => {
      const [x1, y1, x2, y2] = boxes[name];
      boxes[name] = [x1, y1, clip(x2 + dx, x1 + LEAST, WIDTH - 4), clip(y2 + dy, y1 + LEAST, HEIGHT - 4)];
      redraw();
    };
    draggable(body, `place of the ${name}`, { move: shift, key: (x, y) => shift(5 * x, 5 * y), range: [0, WIDTH] });
    const corner = handle(`size of the ${name}`, {
      move: stretch, key: (x, y) => stretch(5 * x, 5 * y), range: [LEAST, WIDTH] }, svg("circle", { r: 9, fill: colour }));
    picture.append(body, corner.node);
    return [name, { body, corner }];
  }));
  picture.append(set(both, { "pointer-events": "none" }), arrows);

  function redraw() {
    for (const [name, box] of Object.entries(boxes)) {
      set(parts[name].body, { ...spot(box), "aria-valuenow": Math.round(box[0]), "aria-valuetext": box.map(Math.round).join(", ") });
      const sides = [box[2] - box[0], box[3] - box[1]].map(Math.round);
      parts[name].corner.place(box[2], box[3], sides[0], sides.join(" by "));
    }
    const [a, b] = [boxes.prediction, boxes.object];
    const out = boxError(a, b);
    set(hull, spot(out.hull));
    set(both, spot(out.both));
    const g = pull(a, b, by === "IoU" ? "iouError" : "giouError").map((v) => clip(-6000 * v, -70, 70));
    const [x1, y1, x2, y2] = a;
    const [cx, cy] = [(x1 + x2) / 2, (y1 + y2) / 2];
    arrows.replaceChildren(arrow(x1, cy, g[0], 0, NEGATIVE), arrow(cx, y1, 0, g[1], NEGATIVE),
      arrow(x2, cy, g[2], 0, NEGATIVE), arrow(cx, y2, 0, g[3], NEGATIVE));
    numbers.fill([["IoU", digits(out.iou), digits(out.iouError)], ["GIoU", digits(out.giou), digits(out.giouError)]], [by]);
    el.dataset.boxes = JSON.stringify(boxes);
  }

  buttons.press(by);
  redraw();
  frame(el, html("div", {}, "arrows: pull by the error of ", buttons.node), picture,
    html("p", {}, "Blue: the predicted box. Green: the object. Dashed: the smallest box around both. Drag a box, or its dot to " +
      "change the size; arrow keys work, too. Where the boxes are apart, IoU pulls nothing and GIoU still does."), numbers.node);
}

export default { render };
