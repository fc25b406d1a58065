// What the pictures share: elements, colours, tables, and handles that a mouse, a finger or the arrow keys can move.

export const POSITIVE = "#0072B2"; // as in alrp_ref/palette.py
export const NEGATIVE = "#D55E00";
export const BOXES = "#009E73";
export const [ALRP_LOSS, AP_LOSS, CROSS_ENTROPY] = ["#332288", "#AA3377", "#8899AA"];

const STYLE = `
.alrp-picture { color: inherit; font: 15px/1.4 system-ui, sans-serif; max-width: 620px; margin: 0 auto; }
.alrp-picture svg { display: block; width: 100%; height: auto; touch-action: pan-y; user-select: none; }
.alrp-picture svg text { fill: currentColor; font-size: 14px; }
.alrp-picture svg text.light { fill: white; }
.alrp-picture .handle { cursor: grab; touch-action: none; outline: none; }
.alrp-picture rect.handle:focus-visible { stroke: currentColor; stroke-width: 4; }
.alrp-picture .handle .room { fill: transparent; }
.alrp-picture .handle:focus-visible .room { stroke: currentColor; stroke-width: 2.5; }
.alrp-picture .chip { transition: transform .35s; }
.alrp-picture p { margin: .4em 0; font-size: 14px; }
.alrp-picture button { font: inherit; color: inherit; background: transparent; border: 1px solid #7f7f7f; border-radius: 4px;
  padding: .2em .8em; margin: 0 .4em .4em 0; cursor: pointer; }
.alrp-picture button[aria-pressed=true] { background: #7f7f7f55; }
.alrp-picture :is(button, input):focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
.alrp-picture input[type=range] { display: block; width: 100%; height: 28px; margin: 0; accent-color: #7f7f7f; }
.alrp-picture .spoken { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
.alrp-picture label { display: block; }
.alrp-picture table { border-collapse: collapse; width: 100%; margin: .4em 0; font-size: 14px; }
.alrp-picture th, .alrp-picture td { padding: .15em .4em; text-align: right; font-weight: normal; border: 0;
  font-variant-numeric: tabular-nums; color: inherit; background: none; }
.alrp-picture th:first-child { text-align: left; }
.alrp-picture tr { border-bottom: 1px solid #7f7f7f40; background: none; }
.alrp-picture .strong th, .alrp-picture .strong td { font-weight: 600; }
`;

/** An HTML element with attributes and children, which may be text. */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  set(node, attributes).append(...children);
  return node;
}

export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  return node;
}

/** The picture's frame. Keys end here: JupyterLab would take the arrow keys for its cells. */
export function frame(el, ...children) {
  const root = html("div", { class: "alrp-picture", "data-lm-suppress-shortcuts": "true",
    onkeydown: (event) => event.stopPropagation() });
  root.append(html("style", {}, STYLE), ...children);
  el.append(root);
}

export function canvas(width, height, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
}

export const digits = (value, number = 4) => (Number.isFinite(value) ? (value + 0).toFixed(number) : "∞");

/** A table of numbers: `fill` takes its rows, [name, ...texts]. Screen readers say the strong rows when they have changed. */
export function table(head) {
  const body = html("tbody");
  const spoken = html("p", { class: "spoken", "aria-live": "polite" });
  const row = (cells, tag) => html("tr", {}, ...cells.map((cell, k) => html(k ? tag : "th", {}, cell)));
  const node = html("div", {}, html("table", {}, html("thead", {}, row(head, "th")), body), spoken);
  const words = (cells) => {
    const alone = cells.filter(Boolean).length === 2; // a number that belongs to no column
    return cells.map((cell, k) => (cell && k && !alone ? `${head[k]} ${cell}` : cell)).filter(Boolean).join(", ");
  };
  let [timer, last] = [null, null];
  const fill = (rows, strong = []) => {
    body.replaceChildren(...rows.map((cells) => row(cells, "td")));
    rows.forEach(([name], k) => set(body.children[k], { "data-row": name, class: strong.includes(name) ? "strong" : "" }));
    const text = rows.filter(([name]) => strong.includes(name)).map(words).join("; ");
    clearTimeout(timer);
    // Not while a handle moves, and not when the page opens.
    if (last !== null) timer = setTimeout(() => (spoken.textContent = text), 500);
    last = text;
  };
  return { node, fill };
}

/** A slider below its name and value. `changed` gets the value, `text` says it in words. */
export function slider(name, { min, max, step, value, text = (v) => digits(v, 2) }, changed) {
  const input = html("input", { type: "range", min, max, step, value, "aria-label": name });
  const shown = html("span");
  const show = () => {
    const words = text(Number(input.value));
    shown.textContent = `${name}: ${words}`;
    set(input, { "aria-valuetext": words });
  };
  input.addEventListener("input", () => (show(), changed(Number(input.value))));
  show();
  return html("label", {}, shown, input);
}

/** From values in [a, b] to places in the drawing. */
export const scale = ([a, b], [from, to]) => (value) => from + ((to - from) * (value - a)) / (b - a);

/** A line through `pairs`, [value, value], on two scales. */
export const points = (pairs, x, y) => pairs.map(([a, b]) => `${x(a)},${y(b)}`).join(" ");

/** An axis from left to right at the height `y`, with numbers below it. */
export function axis(x, y, ticks, title = "") {
  const middle = { "text-anchor": "middle" };
  const [from, to] = [ticks[0], ticks[ticks.length - 1]].map(x);
  return svg("g", {}, svg("line", { x1: from, x2: to, y1: y, y2: y, stroke: "currentColor" }),
    ...ticks.map((tick) => svg("text", { x: x(tick), y: y + 18, ...middle }, `${tick}`)),
    svg("text", { x: (from + to) / 2, y: y + 36, ...middle }, title));
}

/** Numbers of an axis from below to above, left of `x`, with a thin line for each. */
export function levels(y, x, right, ticks) {
  return svg("g", {}, ...ticks.flatMap((tick) => [
    svg("line", { x1: x, x2: right, y1: y(tick), y2: y(tick), stroke: "#7f7f7f55" }),
    svg("text", { x: x - 5, y: y(tick) + 5, "text-anchor": "end" }, `${tick}`)]));
}

/** Buttons of which one is pressed. */
export function choice(names, chosen) {
  const buttons = names.map((name) => html("button", { type: "button" }, name));
  const press = (name) => buttons.forEach((b) => set(b, { "aria-pressed": b.textContent === name }));
  buttons.forEach((b) => b.addEventListener("click", () => (press(b.textContent), chosen(b.textContent))));
  return { node: html("div", {}, ...buttons), press };
}

/** Let `node` be moved. `move(dx, dy)` gets steps in the units of the drawing; `key(x, y)` gets arrow keys as -1, 0 or 1. */
export function draggable(node, label, { move, key, range: [low, high] }) {
  set(node, { class: "handle", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": low, "aria-valuemax": high });
  let last = null;
  const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(
    node.ownerSVGElement.getScreenCTM().inverse());
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    node.focus();
    last = place(event);
    event.preventDefault();
  });
  node.addEventListener("pointermove", (event) => {
    if (!last) return;
    const now = place(event);
    move(now.x - last.x, now.y - last.y);
    last = now;
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (last = null));
  node.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by) return;
    event.preventDefault();
    key(...by);
  });
}

/**
 * A handle of `shapes` around 0, 0, with room for a finger: 24 pixels on a phone. `place` moves it, and says its value.
 * `lower` moves the room down, where another handle may lie above.
 */
export function handle(label, { lower = 0, ...moves }, ...shapes) {
  const node = svg("g", {}, svg("circle", { class: "room", cy: lower, r: 17 }), ...shapes);
  draggable(node, label, moves);
  const place = (x, y, value, text = digits(value, 2)) => set(node, {
    transform: `translate(${x} ${y})`, "aria-valuenow": digits(value, 2), "aria-valuetext": text });
  return { node, place };
}

/** An arrow from x, y by dx, dy; none where it would be shorter than its head. */
export function arrow(x, y, dx, dy, colour, width = 3) {
  const length = Math.hypot(dx, dy);
  if (length < 1) return svg("g");
  const head = Math.min(2.2 * width + 2, length);
  const [ux, uy] = [dx / length, dy / length];
  const [bx, by, half] = [x + dx - ux * head, y + dy - uy * head, head / 1.8];
  const tip = `${x + dx},${y + dy} ${bx - uy * half},${by + ux * half} ${bx + uy * half},${by - ux * half}`;
  return svg("g", { fill: colour, stroke: colour },
    svg("line", { x1: x, y1: y, x2: bx, y2: by, "stroke-width": width }),
    svg("polygon", { points: tip, stroke: "none" }));
}

export const clip = (value, low, high) => Math.min(high, Math.max(low, value));
