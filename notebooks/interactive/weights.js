// A constant weight of the boxes, moved over the measured curve of a detector, beside self-balance, which has none.
import MEASURED from "./measured.js";
import { sum } from "./losses.js";
import { BOXES, canvas, choice, digits, frame, html, levels, points, scale, set, slider, svg, table } from "./draw.js";

const METRICS = ["AP", "AP50", "AP75", "AP90", "oLRP"];
const [LEFT, RIGHT, TOP, FLOOR] = [44, 462, 24, 206];

/** The runs of an error of the boxes: those with a constant weight, and those with self-balance. */
export function curve(error) {
  const rows = MEASURED.filter((row) => row.error === error);
  return { constants: rows.filter((row) => row.weight), balanced: rows.find((row) => !row.weight) };
}

export const mean = (values) => sum(values) / values.length;

function render({ el }) {
  const picture = canvas(480, 262, "AP of a detector over the constant weight of its boxes, and a line for self-balance");
  let [error, metric, place] = ["giou", "AP", 5];
  const errors = choice(["GIoU", "IoU"], (name) => ((error = name.toLowerCase()), (place = 0), rebuild()));
  const metrics = choice(METRICS, (name) => ((metric = name), redraw()));
  const [plot, moved] = [svg("g"), html("div")];
  const numbers = table(["points", "constant", "self-balance", "difference"]);
  picture.append(plot);

  /** Another error has other constants: a slider over them. */
  function rebuild() {
    const { constants } = curve(error);
    moved.replaceChildren(slider("constant weight of the boxes", { min: 0, max: constants.length - 1, step: 1, value: place,
      text: (k) => `${constants[k].weight}` }, (value) => ((place = value), redraw())));
    redraw();
  }

  function redraw() {
    const { constants, balanced } = curve(error);
    const all = [...constants, balanced].flatMap((row) => row[metric]);
    const unit = [1, 2, 5].find((one) => Math.max(...all) - Math.min(...all) < 6 * one) ?? 10;
    const [low, high] = [Math.floor(Math.min(...all) / unit) * unit, Math.ceil(Math.max(...all) / unit) * unit];
    const ticks = Array.from({ length: (high - low) / unit + 1 }, (_, k) => low + unit * k);
    const [x, y] = [scale([0, Math.log(50)], [LEFT + 16, RIGHT - 16]), scale([low, high], [FLOOR, TOP])];
    const at = ({ weight }) => x(Math.log(weight));
    const line = constants.map((row) => [Math.log(row.weight), mean(row[metric])]);
    const [here, level] = [constants[place], y(mean(balanced[metric]))];
    const dots = (row, left) => row[metric].map((value) => svg("circle", { cx: left, cy: y(value), r: 3, fill: "currentColor" }));
    plot.replaceChildren(levels(y, LEFT, RIGHT, ticks),
      svg("rect", { x: LEFT, width: RIGHT - LEFT, y: y(Math.max(...balanced[metric])), fill: "currentColor", "fill-opacity": 0.12,
        height: y(Math.min(...balanced[metric])) - y(Math.max(...balanced[metric])) }),
      svg("line", { x1: LEFT, x2: RIGHT, y1: level, y2: level, stroke: "currentColor", "stroke-width": 2, "stroke-dasharray": "7 4" }),
      svg("polyline", { fill: "none", stroke: BOXES, "stroke-width": 2.5, points: points(line, x, y) }),
      svg("line", { x1: at(here), x2: at(here), y1: level, y2: y(mean(here[metric])), stroke: BOXES, "stroke-width": 2 }),
      ...constants.flatMap((row, k) => [svg("circle", { cx: at(row), cy: y(mean(row[metric])), r: k === place ? 9 : 5, fill: BOXES }),
        ...dots(row, at(row)), svg("text", { x: at(row), y: FLOOR + 22, "text-anchor": "middle" }, `${row.weight}`)]),
      ...dots(balanced, LEFT), svg("text", { x: LEFT, y: 14 },
        `${metric}, points; dashed: self-balance, its ${balanced[metric].length} runs at the left edge`),
      svg("text", { x: (LEFT + RIGHT) / 2, y: FLOOR + 42, "text-anchor": "middle" }, "constant weight of the boxes"));
    const row = (name) => {
      const [constant, other] = [here, balanced].map((runs) => mean(runs[name]));
      const signed = `${constant < other ? "−" : "+"}${digits(Math.abs(constant - other), 1)}`;
      return [name, digits(constant, 1), digits(other, 1), signed];
    };
    numbers.fill([...METRICS.map(row), ["number of seeds", `${here[metric].length}`, `${balanced[metric].length}`, ""]], [metric]);
    el.dataset.weight = here.weight;
  }

  errors.press("GIoU");
  metrics.press(metric);
  rebuild();
  frame(el, html("div", {}, "error of the boxes from ", errors.node), metrics.node, picture, moved,
    html("p", {}, "Each small dot is a run of 10,000 steps on shapes. The band reaches from the lowest to the highest run with " +
      "self-balance. A low oLRP is good."), numbers.node);
}

export default { render };
