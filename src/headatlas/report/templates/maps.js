// The grid of heat maps: one panel a function, linked; and a single map wherever another view wants one.

const SVG = "http://www.w3.org/2000/svg";
const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
const FDRS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3];
const WHATS = { importance: "importance", specific: "specific part (minus the mean over functions)" };
const SIGNS = { signed: "signed", absolute: "absolute values", positive: "positive part" };

// 256 colours, as bytes: diverging about 0 (blue works against, red supports), or rising.
const tables = new Map();
function colours(signed) {
  const key = `${signed}${isDark()}`;
  if (!tables.has(key)) {
    const ramp = signed ? diverging() : d3.interpolateViridis;
    const bytes = new Uint8ClampedArray(256 * 3);
    for (let i = 0; i < 256; i++) {
      const c = d3.rgb(ramp(i / 255));
      bytes.set([c.r, c.g, c.b], 3 * i);
    }
    tables.set(key, bytes);
  }
  return tables.get(key);
}

function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * power >= value * (1 - 1e-9)) ?? 10);
}
// The end of a colour scale: a round number over the largest value; over the 99.5% quantile, where one head is far above it.
function endOf(values) {
  const sizes = Float32Array.from(values, Math.abs).sort();
  const largest = sizes[sizes.length - 1] ?? 0;
  const tail = sizes[Math.floor(0.995 * (sizes.length - 1))] ?? 0;
  return nice(tail > 0 && largest > 3 * tail ? tail : largest);
}

const ends = new Map(); // sorting 41,000 values for every step of a slider would be felt
function endFor(m, what, sign, values) {
  const key = [m.id, what, sign].join("\u0001");
  if (!ends.has(key)) ends.set(key, endOf(values ?? of(m, what)));
  return ends.get(key);
}

// A heat map: layer 0 at the bottom, as published. `onpick(head)`, `onhover(head, event)`.
class HeatMap {
  constructor({ label, onpick, onhover, width = 190 }) {
    const ratio = Math.min(1.45, Math.max(0.85, DATA.layers.length / DATA.heads.length));
    this.inner = [width - 34, Math.round((width - 34) * ratio)];
    this.size = [width, this.inner[1] + 34];
    this.canvas = el("canvas", { width: DATA.heads.length, height: DATA.layers.length });
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(DATA.heads.length, DATA.layers.length);
    this.pixels.data.fill(255);
    const [w, h] = this.inner;
    this.image = svg("image", { width: w, height: h, preserveAspectRatio: "none", class: "cells" });
    this.outline = svg("path", { class: "outline" });
    this.mark = svg("rect", { class: "mark", width: 0, height: 0 });
    this.chosen = svg("rect", { class: "chosen", width: 0, height: 0 });
    const axes = [svg("g", { class: "axis", transform: `translate(0,${h})` }), svg("g", { class: "axis" })];
    const plane = svg("g", { transform: "translate(30,4)" }, this.image, this.outline, this.mark, this.chosen, ...axes);
    this.node = svg("svg", { viewBox: `0 0 ${this.size[0]} ${this.size[1]}`, width: this.size[0], class: "heatmap", role: "img", "aria-label": label }, plane);
    plane.append(svg("text", { x: w / 2, y: h + 28, "text-anchor": "middle", class: "label" }, "head"),
      svg("text", { transform: `translate(-22,${h / 2}) rotate(-90)`, "text-anchor": "middle", class: "label" }, "layer"));
    this.x = d3.scaleLinear([0, DATA.heads.length], [0, w]);
    this.y = d3.scaleLinear([0, DATA.layers.length], [h, 0]);
    const ticks = (labels, scale, make) => {
      const every = Math.max(1, Math.ceil(labels.length / 6));
      const at = d3.range(0, labels.length, every);
      return make(scale.copy()).tickValues(at.map((i) => i + 0.5)).tickFormat((i) => labels[Math.floor(i)]).tickSize(3);
    };
    d3.select(axes[0]).call(ticks(DATA.heads, this.x, d3.axisBottom));
    d3.select(axes[1]).call(ticks(DATA.layers, this.y, d3.axisLeft));
    const at = (event) => {
      const box = this.image.getBoundingClientRect();
      const head = Math.floor((event.clientX - box.left) / box.width * DATA.heads.length);
      const layer = Math.floor((box.bottom - event.clientY) / box.height * DATA.layers.length);
      return head >= 0 && layer >= 0 && head < DATA.heads.length && layer < DATA.layers.length ? layer * DATA.heads.length + head : null;
    };
    this.node.addEventListener("pointermove", (event) => onhover?.(at(event), event));
    this.node.addEventListener("pointerleave", (event) => onhover?.(null, event));
    this.node.addEventListener("click", (event) => { const head = at(event); if (head !== null) onpick?.(head, event); });
  }
  draw(values, end, signed) {
    const bytes = colours(signed), data = this.pixels.data;
    const [heads, layers] = [DATA.heads.length, DATA.layers.length];
    const scale = (signed ? 127.5 : 255) / end, shift = signed ? 127.5 : 0;
    for (let layer = 0; layer < layers; layer++) {
      let pixel = (layers - 1 - layer) * heads * 4;
      for (let i = layer * heads; i < (layer + 1) * heads; i++, pixel += 4) {
        const value = values[i];
        const place = 3 * Math.max(0, Math.min(255, Math.round(value * scale + shift)));
        if (value === value) { data[pixel] = bytes[place]; data[pixel + 1] = bytes[place + 1]; data[pixel + 2] = bytes[place + 2]; }
        else data[pixel] = data[pixel + 1] = data[pixel + 2] = 128;
      }
    }
    this.context.putImageData(this.pixels, 0, 0);
    this.image.setAttribute("href", this.canvas.toDataURL());
  }
  box(at) {
    const [head, layer] = [at % DATA.heads.length, Math.floor(at / DATA.heads.length)];
    return [this.x(head), this.y(layer + 1), this.x(1), this.y(0) - this.y(1)];
  }
  frame(heads) {
    let path = "";
    for (const at of heads) {
      const [x, y, w, h] = this.box(at);
      path += `M${x.toFixed(2)} ${y.toFixed(2)}h${w.toFixed(2)}v${h.toFixed(2)}h${(-w).toFixed(2)}z`;
    }
    this.outline.setAttribute("d", path);
  }
  place(rect, at) {
    const [x, y, w, h] = at === null ? [0, 0, 0, 0] : this.box(at);
    rect.setAttribute("x", x); rect.setAttribute("y", y); rect.setAttribute("width", w); rect.setAttribute("height", h);
  }
}

// -- the grid ---------------------------------------------------------------------------------------------------

const grid = { panels: [], cursor: null };

function chosenWhat(m) { return state.w === "specific" && m.maps.specific ? "specific" : "importance"; }
function chosenSign(m) { return SIGNS[state.g] ? state.g : chosenWhat(m) === "specific" ? "signed" : m.sign; }
function readAs(values, sign) {
  return sign === "absolute" ? values.map(Math.abs) : sign === "positive" ? values.map((v) => Math.max(0, v)) : values;
}
function outlineBy(m) {
  if (state.o === "off") return null;
  if (state.o === "own") return m.maps.q ? "q" : null;
  return m.maps.q_specific ? "q_specific" : m.maps.q ? "q" : null;
}
function passing(m, f) {
  const by = outlineBy(m), least = Number(state.t) || 0, values = of(m, chosenWhat(m));
  if (!by && !least) return [];
  const q = by ? of(m, by) : null, own = by === "q_specific" ? of(m, "specific") : null, bound = Number(state.q) || 0.05;
  const found = [];
  for (let i = 0; i < N; i++) {
    const at = f * N + i;
    if (Math.abs(values[at]) < least) continue;
    if (q && !(q[at] < bound && (!own || own[at] > 0))) continue;
    found.push(i);
  }
  return found;
}

function tell(m, f, at) {
  // What is known of a head for a function, as rows of a name and a text.
  const what = chosenWhat(m), i = f * N + at, value = of(m, what)[i];
  const rows = [[WHATS[what].split(" (")[0], number(value)]];
  if (what === "importance" && m.maps.low) rows.push(["95% interval", `${number(of(m, "low")[i])} to ${number(of(m, "high")[i])}`]);
  rows.push(["rank", `${rankOf(m, f, what, chosenSign(m))[at]} of ${N}`]);
  if (what === "importance" && m.maps.q && Number.isFinite(of(m, "q")[i])) rows.push(["q, important", quality(of(m, "q")[i])]);
  if (m.maps.q_specific && Number.isFinite(of(m, "q_specific")[i])) rows.push(["q, specific", quality(of(m, "q_specific")[i])]);
  if (m.maps.stability) rows.push(["stability", number(of(m, "stability")[i], 1)]);
  return rows;
}

function hover(f, at, event) {
  const tip = $("tip");
  for (const panel of grid.panels) panel.map.place(panel.map.mark, at);
  if (at === null || !event) { tip.hidden = true; return; }
  const m = method();
  tip.replaceChildren(
    el("strong", {}, named(at)), " · ", text(short(DATA.functions[f].title, 40)),
    el("dl", {}, tell(m, f, at).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  tip.hidden = false;
  const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
  let x = event.clientX + 14, y = event.clientY + 14;
  if (x + box.width > room - 6) x = event.clientX - box.width - 14;
  if (y + box.height > innerHeight - 6) y = event.clientY - box.height - 14;
  tip.style.transform = `translate(${Math.max(4, x)}px,${Math.max(4, y)}px)`;
}

function say(f, at) {
  $("said").textContent = `${named(at)}, ${short(DATA.functions[f].title, 60)}: ${tell(method(), f, at).map((row) => row.join(" ")).join(", ")}`;
}

function keys(f, event) {
  const panel = grid.panels[f], heads = DATA.heads.length;
  let at = grid.cursor ?? headAt(state.h) ?? rankOf(method(), f).indexOf(1);
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: heads, ArrowDown: -heads };
  if (event.key in moves) {
    const head = at % heads;
    if ((event.key === "ArrowLeft" && !head) || (event.key === "ArrowRight" && head === heads - 1)) { /* the edge */ }
    else if (at + moves[event.key] >= 0 && at + moves[event.key] < N) at += moves[event.key];
  } else if (event.key === "Home") at = rankOf(method(), f, chosenWhat(method()), chosenSign(method())).indexOf(1);
  else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); go({ h: headKey(at), f: DATA.functions[f].id }, { push: true }); $("card").focus(); return; }
  else if (event.key === "Escape") { grid.cursor = null; hover(f, null); return; }
  else return;
  event.preventDefault();
  grid.cursor = at;
  const box = panel.map.image.getBoundingClientRect(), [x, y, w] = panel.map.box(at), k = box.width / panel.map.inner[0];
  hover(f, at, { clientX: box.left + (x + w) * k, clientY: box.top + y * k });
  say(f, at);
}

function buildGrid() {
  const width = innerWidth < 520 ? 168 : 190;
  const holder = $("grid");
  holder.replaceChildren();
  grid.panels = DATA.functions.map((f, i) => {
    const map = new HeatMap({
      label: `Heat map of ${short(f.title, 60)}, layer by head`, width,
      onhover: (at, event) => { grid.cursor = null; hover(i, at, event); },
      onpick: (at) => { hover(i, null); go({ h: headKey(at), f: f.id }, { push: true }); },
    });
    const note = el("span", { class: "note" });
    const node = el("div", {
      class: "panel", tabindex: "0", role: "group", "aria-roledescription": "heat map",
      "aria-label": `${short(f.title, 60)}: arrow keys move over the heads, Home goes to the highest, Enter opens its card`,
      onkeydown: (event) => { if (event.target === node) keys(i, event); }, onblur: () => hover(i, null),
    }, el("h3", {}, goer({ v: "functions", f: f.id }, text(short(f.title, 46)))), f.unable ? el("span", { class: "warn" }, "model at chance") : null, map.node, note);
    holder.append(node);
    return { map, note, node };
  });
  for (const f of DATA.absent) {
    holder.append(el("div", { class: "panel absent" }, el("h3", {}, text(short(f.title, 46))), el("p", {}, "Not mapped: the model does too few of its tasks.")));
  }
}

function drawGrid() {
  const m = method(), what = chosenWhat(m), sign = chosenSign(m), values = readAs(of(m, what), sign);
  const signed = sign === "signed" && state.s !== "rank";
  const sharedEnd = state.s === "shared" ? endFor(m, what, sign, values) : null;
  const picked = headAt(state.h);
  let total = 0;
  grid.panels.forEach((panel, f) => {
    const own = values.subarray(f * N, (f + 1) * N);
    const end = sharedEnd ?? endOf(own);
    if (state.s === "rank") {
      const rank = rankOf(m, f, what, sign);
      panel.map.draw(Float32Array.from(rank, (r) => 1 - (r - 1) / Math.max(1, N - 1)), 1, false);
    } else panel.map.draw(own, end, signed);
    const heads = passing(m, f);
    total += heads.length;
    panel.map.frame(heads);
    panel.map.outline.classList.toggle("light", !signed);
    panel.map.place(panel.map.chosen, picked);
    panel.note.textContent = `${state.s === "panel" ? `colours to ${number(end)} · ` : ""}${heads.length ? `${heads.length} outlined` : ""}`;
  });
  drawBar(sharedEnd, signed, m, what, sharedEnd !== null && values.some((v) => Math.abs(v) > sharedEnd * (1 + 1e-6)));
  const by = outlineBy(m), names = { q_specific: "specific to the function", q: "important for the function" };
  $("outlined").textContent = `${total} heads outlined${by ? `: ${names[by]}, q < ${Number(state.q) || 0.05}` : ""}${Number(state.t) ? `, at least ${number(Number(state.t))}` : ""}.`;
}

function drawBar(end, signed, m, what, beyond) {
  const bytes = colours(signed), canvas = el("canvas", { width: 256, height: 1 }), context = canvas.getContext("2d");
  const pixels = context.createImageData(256, 1);
  for (let i = 0; i < 256; i++) pixels.data.set([bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2], 255], 4 * i);
  context.putImageData(pixels, 0, 0);
  const ends = state.s === "rank" ? ["lowest", "", "highest"] : end === null ? [signed ? "against" : "0", "", signed ? "supports" : "panel's highest"] : signed ? [number(-end) + (beyond ? " and below" : ""), "0", number(end) + (beyond ? " and above" : "")] : ["0", number(end / 2), number(end) + (beyond ? " and above" : "")];
  const bar = svg("svg", { viewBox: "0 0 300 34", width: 300, class: "bar", role: "img", "aria-label": "Colour scale" },
    svg("image", { x: 20, y: 2, width: 260, height: 12, preserveAspectRatio: "none", href: canvas.toDataURL() }),
    ...ends.map((label, i) => svg("text", { x: 20 + 130 * i, y: 28, "text-anchor": ["start", "middle", "end"][i] }, label)));
  const unit = state.s === "rank" ? "rank of the head" : `${WHATS[what]}; ${m.label || "unit not named"}`;
  $("bar").replaceChildren(bar, el("span", {}, text(unit)));
}

function gridRows() {
  // Every head of every function by every method.
  const rows = [];
  for (const m of DATA.methods) DATA.functions.forEach((f, i) => {
    for (let at = 0; at < N; at++) {
      const row = { method: m.id, function: f.id, layer: DATA.layers[Math.floor(at / DATA.heads.length)], head: DATA.heads[at % DATA.heads.length] };
      for (const name of ["importance", "low", "high", "p", "q", "specific", "q_specific", "stability"]) row[name] = m.maps[name] ? of(m, name)[i * N + at] : null;
      row.rank = rankOf(m, i)[at];
      rows.push(row);
    }
  });
  return rows;
}
function gridSvg() {
  // All panels in one SVG, for the download.
  const columns = Math.min(4, grid.panels.length), [w, h] = grid.panels[0].map.size;
  const rows = Math.ceil(grid.panels.length / columns);
  const whole = svg("svg", { viewBox: `0 0 ${columns * (w + 10)} ${rows * (h + 24) + 50}`, width: columns * (w + 10), class: "heatmap" });
  grid.panels.forEach((panel, i) => {
    const [x, y] = [(i % columns) * (w + 10), Math.floor(i / columns) * (h + 24)];
    const copy = panel.map.node.cloneNode(true);
    for (const [name, value] of Object.entries({ x, y: y + 20, width: w, height: h })) copy.setAttribute(name, value);
    whole.append(svg("text", { x: x + 34, y: y + 14, class: "title" }, short(DATA.functions[i].title, 30)), copy);
  });
  const bar = $("bar").firstChild.cloneNode(true);
  for (const [name, value] of Object.entries({ x: 20, y: rows * (h + 24) + 10, width: 300, height: 34 })) bar.setAttribute(name, value);
  whole.append(bar, svg("text", { x: 330, y: rows * (h + 24) + 24, class: "label" }, short(`${method().id}: ${method().label}`, 110)));
  document.body.append(whole);
  return whole;
}

function buildControls() {
  const choice = (key, label, options, about) => el("label", { title: about },
    el("span", {}, label), el("select", { "data-key": key, onchange: (event) => go({ [key]: event.target.value }) },
      options.map(([value, name]) => el("option", { value }, shown(name, 40)))));
  const slider = (key, label, attributes, about) => el("label", { title: about }, el("span", {}, label, " ", el("output", {})), el("input", { type: "range", "data-key": key, ...attributes }));
  const q = slider("q", "FDR", { min: 0, max: FDRS.length - 1, step: 1 }, "Heads are outlined whose q-value is below this: of those outlined, at most this share is expected to be false.");
  q.lastChild.addEventListener("input", (event) => go({ q: String(FDRS[Number(event.target.value)]) }));
  const t = slider("t", "at least", { min: 0, max: 100, step: 1 }, "Heads are outlined only if their value is at least this large.");
  t.lastChild.addEventListener("input", (event) => {
    const top = endFor(method(), chosenWhat(method()), "signed");
    go({ t: event.target.value === "0" ? "" : String(Number((Number(event.target.value) / 100 * top).toPrecision(2))) });
  });
  const saves = el("span", { class: "tools" },
    ["SVG", "PNG"].map((kind) => el("button", { type: "button", "aria-label": `Download the maps as ${kind}`, onclick: async () => {
      const whole = gridSvg();
      await (kind === "SVG" ? saveSvg : savePng)("heads_importance", whole);
      whole.remove();
    } }, kind)),
    el("button", { type: "button", "aria-label": "Download all heads as CSV", onclick: () => saveCsv("heads", gridRows()) }, "CSV"));
  $("controls").replaceChildren(
    choice("m", "Method", DATA.methods.map((m) => [m.id, m.id]), "How importance is measured"),
    choice("w", "Show", [["importance", "importance"], ["specific", "specific part"]], "A function's map, or what it has beyond the mean over functions"),
    choice("s", "Colours", [["shared", "one scale"], ["panel", "a scale each"], ["rank", "ranks"]], "One colour scale for all panels, one each, or ranks"),
    choice("g", "Sign", [["", "as the method says"], ...Object.entries(SIGNS)], "How signs are read"),
    choice("o", "Outline", [["", "specific heads"], ["own", "important heads"], ["off", "none by q"]], "Which heads get a frame"),
    q, t, saves);
}
function setControls() {
  const m = method();
  for (const node of $("controls").querySelectorAll("[data-key]")) {
    const key = node.dataset.key;
    if (key === "q") { node.value = FDRS.indexOf(Number(state.q) || 0.05); node.previousSibling.querySelector("output").textContent = `q < ${Number(state.q) || 0.05}`; }
    else if (key === "t") {
      const top = endFor(m, chosenWhat(m), "signed");
      node.value = Math.round((Number(state.t) || 0) / top * 100);
      node.previousSibling.querySelector("output").textContent = Number(state.t) ? number(Number(state.t)) : "any value";
    } else node.value = key === "m" ? m.id : state[key];
    if (key === "w") node.disabled = !m.maps.specific;
    if (key === "o") node.options[0].textContent = m.maps.q_specific ? "specific heads" : "important heads";
  }
}
