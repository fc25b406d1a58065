// One list of ten examples, whose scores and boxes are trained by three losses, a step at a time.
import { alrpLoss, apLoss, averagePrecision, crossEntropy, sum } from "./losses.js";
import { NEGATIVE, POSITIVE, canvas, digits, frame, html, set, svg, table } from "./draw.js";

const START = { pos: [-1.4, 0.2, -2.2, -0.4], neg: [1.6, 0.9, -0.1, 0.5, -0.8, -1.8], ious: [0.55, 0.6, 0.65, 0.7] };
const { pos: POS, neg: NEG } = START;
export const [FIRST, BOX, LAST] = [1.6, 0.035, 30]; // what the first step moves all scores, each step all IoUs; number of steps

const alike = (ell) => ({ ...ell, boxes: ell.pos.map(() => 1) });
export const LOSSES = {
  "cross entropy": (s) => alike(crossEntropy(s.pos, s.neg)),
  "AP Loss": (s) => alike(apLoss(s.pos, s.neg)),
  "aLRP Loss": (s) => alrpLoss(s.pos, s.neg, s.ious.map((v) => 2 * (1 - v))),
};

const size = (gradient) => sum([...gradient.pos, ...gradient.neg].map(Math.abs));

/** The list after each step of one loss. Its rate is such that the first step moves the scores as far as any other's. */
export function run(loss, start = START) {
  let state = start;
  const rate = FIRST / size(loss(state));
  const states = [state];
  for (let k = 0; k < LAST; k++) {
    const gradient = loss(state);
    const whole = sum(gradient.boxes);
    state = {
      pos: state.pos.map((s, i) => s - rate * gradient.pos[i]),
      neg: state.neg.map((s, j) => s - rate * gradient.neg[j]),
      ious: state.ious.map((v, i) => Math.min(1, v + (BOX * gradient.boxes[i]) / whole)),
    };
    states.push(state);
  }
  return states;
}

/** The examples of a list, best score first. */
export const ranked = ({ pos, neg, ious }) => [
  ...pos.map((score, k) => ({ score, k, iou: ious[k] })),
  ...neg.map((score, j) => ({ score, k: pos.length + j, iou: 0 })),
].sort((a, b) => b.score - a.score);

function render({ el }) {
  const picture = canvas(480, 330, "Three ranked lists of ten examples, trained by cross entropy, AP Loss and aLRP Loss");
  const numbers = table(["", ...Object.keys(LOSSES)]);
  const runs = Object.values(LOSSES).map((loss) => run(loss));
  let [step, timer] = [0, null];
  const lists = Object.keys(LOSSES).map((name, column) => {
    const x = 5 + 160 * column;
    picture.append(svg("text", { x: x + 75, y: 18, "text-anchor": "middle", "font-weight": 600 }, name));
    return [...POS, ...NEG].map((_, k) => {
      const text = svg("text", { x: x + 75, y: 18, class: "light", "text-anchor": "middle" });
      const chip = svg("g", { class: "chip" },
        svg("rect", { x, width: 150, height: 26, rx: 4, fill: k < POS.length ? POSITIVE : NEGATIVE }), text);
      picture.append(chip);
      return { chip, text };
    });
  });

  function redraw() {
    runs.forEach((states, column) => ranked(states[step]).forEach(({ k, iou }, place) => {
      const { chip, text } = lists[column][k];
      chip.style.transform = `translateY(${28 + 30 * place}px)`;
      text.textContent = k < POS.length ? `positive, IoU ${digits(iou, 2)}` : "negative";
    }));
    const row = (name, value) => [name, ...runs.map((states) => digits(value(states[step]), 2))];
    const ap = (t) => (s) => averagePrecision(ranked(s).map(({ iou }) => (iou >= t ? 1 : 0)), POS.length);
    const ious = Array.from({ length: 10 }, (_, k) => (50 + 5 * k) / 100);
    numbers.fill([row("AP", (s) => sum(ious.map((t) => ap(t)(s))) / ious.length), row("AP50", ap(0.5)), row("AP75", ap(0.75)),
      row("AP90", ap(0.9)), row("mean IoU", (s) => sum(s.ious) / POS.length)], ["AP"]);
    count.textContent = `step ${step} of ${LAST}`;
    set(play, { "aria-pressed": timer !== null });
    el.dataset.step = step;
  }

  const stop = () => (clearInterval(timer), (timer = null));
  const forward = () => ((step = Math.min(LAST, step + 1)), step === LAST && stop(), redraw());
  const again = () => (stop(), (step = 0), redraw());
  const toggle = () => {
    if (timer !== null) return stop(), redraw();
    if (step === LAST) step = 0;
    timer = setInterval(() => (el.isConnected ? forward() : stop()), 500);
    redraw();
  };
  const play = html("button", { type: "button", onclick: toggle }, "play");
  const count = html("span");
  redraw();
  frame(el, html("div", {}, play, html("button", { type: "button", onclick: () => (stop(), forward()) }, "step"),
    html("button", { type: "button", onclick: again }, "reset"), count), picture,
    html("p", {}, "All three begin with the same list. Their first steps move the scores by the same total, and each step raises " +
      "the IoUs by the same total, less what would pass 1. Cross entropy and AP Loss raise all alike; aLRP Loss gives the " +
      "boxes on top more."),
    numbers.node);
}

export default { render };
