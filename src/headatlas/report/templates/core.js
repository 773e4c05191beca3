// What all views use: the content, its arrays, numbers as text, elements, the state in the address's fragment.
// Data reaches the document as text only: el() sets textContent, never markup.

const DATA = JSON.parse(document.getElementById("content").textContent);
const $ = (id) => document.getElementById(id);

const TYPES = { float32: Float32Array, int32: Int32Array, int16: Int16Array, uint8: Uint8Array };
function unpack(packed) {
  if (!packed) return null;
  if (!packed.values) {
    const text = atob(packed.data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    packed.values = new TYPES[packed.type](bytes.buffer);
    if (packed.step) packed.values = Float32Array.from(packed.values, (whole) => whole * packed.step);
    packed.data = "";
  }
  return packed.values;
}

// -- elements ---------------------------------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "style") Object.assign(node.style, value);
    else if (value === true) node.setAttribute(name, "");
    else node.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined) node.append(child);
  return node;
}
const text = (value) => el("bdi", {}, shown(value)); // in its own writing direction
function shown(value, length = 600) {
  // control characters and marks that turn the writing direction are spelled, not obeyed
  const clean = String(value).replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
  return clean.length <= length ? clean : clean.slice(0, length - 1) + "…";
}
const short = (value, length = 30) => shown(value, length);

// -- numbers ----------------------------------------------------------------------------------------------------

function number(value, size = Math.abs(value)) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (size === 0) return "0";
  const places = size < 1e-4 ? null : size < 0.05 ? 4 : size < 5 ? 2 : size < 50 ? 1 : 0;
  const written = places === null ? value.toExponential(1) : value.toFixed(places);
  return Number(written) === 0 ? written.replace("-", "") : written.replace("-", "−");
}
const three = (value) => (Number.isFinite(value ?? NaN) ? value.toFixed(3) : "–");
const percent = (value) => (value === null || value === undefined || !Number.isFinite(value) ? "–" : `${Math.round(100 * value)}%`);
const quality = (q) => (q < 0.001 ? "< 0.001" : "= " + q.toFixed(3));
const range = (ends, write = number) => (ends && Number.isFinite(ends[1] ?? NaN) ? `${write(ends[1])} to ${write(ends[2])}` : "");
const named = (at) => `L${DATA.layers[Math.floor(at / DATA.heads.length)]}H${DATA.heads[at % DATA.heads.length]}`;

// -- state ------------------------------------------------------------------------------------------------------

const DEFAULTS = {};
const KEYS = ["v", "m", "w", "s", "g", "o", "q", "t", "f", "h", "a", "b", "n", "theme"];
const state = {};
function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of KEYS) state[key] = given.get(key) ?? DEFAULTS[key] ?? "";
}
function link(changes) {
  const next = new URLSearchParams();
  for (const key of KEYS) {
    const value = key in changes ? changes[key] : state[key];
    if (value !== "" && value !== undefined && value !== DEFAULTS[key]) next.set(key, value);
  }
  return "#" + next.toString();
}
function go(changes, { push = false } = {}) {
  const to = link(changes);
  Object.assign(state, changes);
  try {
    history[push ? "pushState" : "replaceState"](null, "", to || "#");
  } catch {
    // a page in a notebook's frame has no address of its own
  }
  render();
}
const goer = (changes, content, attributes = {}) =>
  el("a", { href: link(changes), ...attributes, onclick: (event) => { event.preventDefault(); go(changes, { push: true }); } }, content);

// -- downloads --------------------------------------------------------------------------------------------------

function download(name, blob) {
  const url = URL.createObjectURL(blob);
  const anchor = el("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
function cell(value) {
  // a spreadsheet would run what begins like a formula
  if (value === null || value === undefined || (typeof value === "number" && !Number.isFinite(value))) return "";
  let written = typeof value === "number" ? String(Math.fround(value) === value ? Number(value.toPrecision(7)) : value) : String(value);
  if (typeof value !== "number" && /^[=+\-@\t\r]/.test(written)) written = "'" + written;
  return /[",\n\r]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
function csv(rows) {
  if (!rows.length) return "";
  const names = Object.keys(rows[0]);
  return [names.map(cell).join(","), ...rows.map((row) => names.map((name) => cell(row[name])).join(","))].join("\n") + "\n";
}
const saveCsv = (name, rows) => download(`${name}.csv`, new Blob([csv(rows)], { type: "text/csv" }));

function standalone(node) {
  // A copy of an SVG that looks the same outside this page: colours and fonts resolved, a background.
  const copy = node.cloneNode(true);
  const from = [node, ...node.querySelectorAll("*")];
  const to = [copy, ...copy.querySelectorAll("*")];
  const wanted = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "stroke-opacity", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline", "image-rendering"];
  from.forEach((one, i) => {
    const style = getComputedStyle(one);
    to[i].setAttribute("style", wanted.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    to[i].removeAttribute("class");
  });
  const box = node.viewBox.baseVal;
  const [width, height] = box && box.width ? [box.width, box.height] : [node.clientWidth, node.clientHeight];
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  paper.setAttribute("width", "100%");
  paper.setAttribute("height", "100%");
  paper.setAttribute("fill", getComputedStyle(document.body).backgroundColor);
  copy.prepend(paper);
  copy.querySelectorAll("style").forEach((style) => style.remove());
  return [new XMLSerializer().serializeToString(copy), width, height];
}
function saveSvg(name, node) {
  download(`${name}.svg`, new Blob([standalone(node)[0]], { type: "image/svg+xml" }));
}
async function savePng(name, node) {
  const [source, width, height] = standalone(node);
  const image = new Image();
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(source);
  await image.decode();
  const canvas = el("canvas", { width: 3 * width, height: 3 * height });
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, 3 * width, 3 * height);
  canvas.toBlob((blob) => download(`${name}.png`, blob));
}

// A figure with its caption and its downloads. `draw` gives an SVG.
function figure(name, caption, drawn, rows = null) {
  const tools = el("span", { class: "tools" },
    el("button", { type: "button", onclick: () => saveSvg(name, drawn), "aria-label": `Download figure ${name} as SVG` }, "SVG"),
    el("button", { type: "button", onclick: () => savePng(name, drawn), "aria-label": `Download figure ${name} as PNG` }, "PNG"),
    rows ? el("button", { type: "button", onclick: () => saveCsv(name, typeof rows === "function" ? rows() : rows), "aria-label": `Download the data of ${name} as CSV` }, "CSV") : null);
  return el("figure", { "data-figure": name }, el("div", { class: "scroll" }, drawn), el("figcaption", {}, caption, " ", tools));
}

// A table with its download. Columns: [title, row -> text or node, number?].
function table(name, columns, rows, data = null) {
  const head = el("tr", {}, columns.map(([title, , numeric]) => el("th", { scope: "col", class: numeric ? "n" : null }, title)));
  const body = rows.map((row) => el("tr", {}, columns.map(([, write, numeric], i) => {
    const made = write(row);
    return el(i ? "td" : "th", { scope: i ? null : "row", class: numeric ? "n" : null }, made instanceof Node || made === null ? made : text(made));
  })));
  const tools = data ? el("p", { class: "tools" }, el("button", { type: "button", onclick: () => saveCsv(name, data), "aria-label": `Download table ${name} as CSV` }, "CSV")) : null;
  return el("div", { class: "table", "data-table": name }, el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, body))), tools);
}

// -- plots ------------------------------------------------------------------------------------------------------

const wide = (most = 640) => Math.max(280, Math.min(most, document.documentElement.clientWidth - 40));
function plot(options) {
  const drawn = Plot.plot({ style: { background: "transparent", fontSize: "11px", overflow: "visible" }, ...options });
  drawn.setAttribute("role", "img");
  return drawn;
}

// -- colours ----------------------------------------------------------------------------------------------------

const TINTS = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777", "#EE8866", "#44BB99", "#BBBBBB"];
const tint = (id) => TINTS[Math.max(0, DATA.functions.findIndex((f) => f.id === id)) % TINTS.length];
const titleOf = (id) => DATA.functions.find((f) => f.id === id)?.title ?? id;

const isDark = () => {
  const told = document.documentElement.dataset.theme;
  return told ? told === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
// From blue over the paper's own tone to red, 0 to 1.
const DARK = d3.piecewise(d3.interpolateRgb, ["#b5d8ff", "#3d7fd0", "#1d242f", "#cf5044", "#ffc4ad"]);
const diverging = () => (isDark() ? DARK : (t) => d3.interpolateRdBu(1 - t));
// The colour of a value on a scale from -top to top.
function painter(top) {
  const ramp = diverging();
  return (value) => (Number.isFinite(value) ? ramp(Math.max(0, Math.min(1, 0.5 + value / top / 2))) : "gray");
}
function watchTheme(draw) {
  $("theme").addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    go({ theme: next });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
function setTheme() {
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
}

// -- what is asked for ------------------------------------------------------------------------------------------

const method = (id = state.m) => DATA.methods.find((m) => m.id === id) ?? DATA.methods[0];
const functionAt = (id = state.f) => Math.max(0, DATA.functions.findIndex((f) => f.id === id));
const N = DATA.page === "atlas" ? DATA.layers.length * DATA.heads.length : 0;
const of = (m, name) => unpack(m.maps[name]);
function headAt(written) {
  const [layer, head] = String(written).split(".").map(Number);
  const [i, j] = [DATA.layers?.indexOf(layer), DATA.heads?.indexOf(head)];
  return i >= 0 && j >= 0 ? i * DATA.heads.length + j : null;
}
const headKey = (at) => `${DATA.layers[Math.floor(at / DATA.heads.length)]}.${DATA.heads[at % DATA.heads.length]}`;

const ranks = new Map(); // method|function|sign -> Int32Array: the rank of every head, 1 = highest
function rankOf(m, f, what = "importance", sign = m.sign) {
  const key = [m.id, f, what, sign].join("\u0001");
  if (!ranks.has(key)) {
    const own = of(m, what).subarray(f * N, (f + 1) * N);
    const order = Array.from(own.keys());
    const size = sign === "absolute" ? (i) => Math.abs(own[i]) : (i) => own[i];
    order.sort((a, b) => size(b) - size(a) || a - b);
    const found = new Int32Array(N);
    order.forEach((at, place) => { found[at] = place + 1; });
    ranks.set(key, found);
  }
  return ranks.get(key);
}
