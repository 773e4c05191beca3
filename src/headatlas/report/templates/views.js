// The other views: functions, tasks, methods, findings, about. Each gives the children of its section.

const picker = (of) => el("nav", { class: "picker", "aria-label": "Function" }, DATA.functions.map((f) =>
  goer({ v: of, f: f.id }, text(short(f.title)), { "aria-current": f.id === DATA.functions[functionAt()].id ? "true" : null })));
const methodPicker = () => (DATA.methods.length < 2 ? null : el("label", { class: "inline" }, "Method ",
  (() => { const select = el("select", { onchange: (event) => go({ m: event.target.value }) }, DATA.methods.map((m) => el("option", { value: m.id }, short(m.id, 40)))); select.value = method().id; return select; })()));
const openHead = (at, f) => go({ h: headKey(at), f: DATA.functions[f].id }, { push: true });
const headLink = (at, f) => goer({ h: headKey(at), f: DATA.functions[f].id }, named(at));

// -- functions --------------------------------------------------------------------------------------------------

function functionsView() {
  const f = functionAt(), fn = DATA.functions[f], m = method();
  const said = DATA.findings.sections.find((s) => s.method === m.id)?.findings.find((one) => one.id === `function.${fn.id}`);
  return [picker("functions"), methodPicker(), el("h2", {}, text(short(fn.title, 80))),
    fn.unable ? el("p", { class: "warn" }, "The model does not do this: its answers are no better than chance. Its map shows something else.") : null,
    said ? el("p", {}, text(shown(said.text, 1200))) : null, doesView(fn),
    el("div", { class: "columns" }, layersFigure(m, f), sortedFigure(m, f), specificFigure(m, f), controlsFigure(m, f)),
    topHeads(m, f), examplesView(fn), ...validationOf(fn)];
}

function doesView(fn) {
  const rows = DATA.asked.filter((row) => row.function === fn.id);
  if (rows.length) return el("section", {}, el("h3", {}, "Its tasks: what the model does, and what not"), askedTable(rows, fn.id));
  return fn.accuracy && Number.isFinite(fn.accuracy[0] ?? NaN)
    ? el("p", {}, `The model finds the right answer likelier than a foil in ${percent(fn.accuracy[0])} of ${fn.items ?? "its"} items (95% interval ${range(fn.accuracy, percent)}; chance 50%).`) : null;
}
function askedTable(rows, name) {
  return table(`tasks-${name}`, [
    ["Task", (row) => goer({ v: "tasks", a: row.task, b: "" }, text(short(row.task, 40)))],
    ["Does it", (row) => el("span", { class: row.done ? "yes" : "no" }, row.done === null ? "–" : row.done ? "yes" : "no")],
    ["Prefers answer to foil", (row) => el("span", {}, meter(row.accuracy?.[0]), " ", percent(row.accuracy?.[0]))],
    ["95% interval", (row) => range(row.accuracy, percent), true], ["Answers it itself", (row) => percent(row.exact), true],
    ["Form", (row) => short(row.form, 20)], ["Answer is a", (row) => short(row.kind, 20)],
  ], rows, rows.map((row) => ({ task: row.task, function: row.function, done: row.done, accuracy: row.accuracy?.[0], low: row.accuracy?.[1], high: row.accuracy?.[2], exact: row.exact, items: row.items, form: row.form, kind: row.kind })));
}
const meter = (value) => el("span", { class: "meter", "aria-hidden": "true" }, el("i", { style: { width: percent(value ?? 0) } }));

function examplesView(fn) {
  const rows = DATA.examples?.rows.filter((row) => row.function === fn.id) ?? [];
  if (!rows.length) return null;
  return el("section", {}, el("h3", {}, "One example each"), el("ul", { class: "items" }, rows.map((row) => el("li", {},
    el("b", {}, text(short(row.task || row.id, 50))), ": ", row.passage ? el("q", { class: "faint", dir: "auto" }, shown(row.passage, 300)) : null, " ",
    el("q", { dir: "auto" }, shown(row.text, 300)), " → ", el("b", {}, text(short(row.answer, 80))), row.foil ? el("span", { class: "faint" }, ", not ", text(short(row.foil, 80))) : null,
    row.says ? el("span", { class: row.says.trim() === row.answer.trim() ? "yes" : "no" }, ` (the model: “`, text(short(row.says, 80)), `”)`) : null))),
    el("p", { class: "faint" }, "The model's words are its likeliest token at every place of the answer, the tokens before it given; demonstrations that stood before the item are left out here."));
}

function layersFigure(m, f) {
  if (!m.layers) return null;
  const share = unpack(m.layers._value), low = unpack(m.layers._low), high = unpack(m.layers._high), n = DATA.layers.length;
  const rows = DATA.layers.map((layer, i) => ({ layer, share: share[f * n + i], low: low?.[f * n + i], high: high?.[f * n + i] }));
  return figure(`layers-${DATA.functions[f].id}`, "Share of the map's mass in every layer, with its 95% interval; dashed: an even spread.", plot({
    width: wide(440), height: 220, x: { label: "layer" }, y: { label: "share", grid: true, tickFormat: "%" }, ariaLabel: `Layer profile of ${short(DATA.functions[f].title)}`,
    marks: [low ? Plot.areaY(rows, { x: "layer", y1: "low", y2: "high", fillOpacity: 0.2, fill: "var(--accent)" }) : null, Plot.ruleY([1 / n], { strokeDasharray: "3 3" }),
      Plot.lineY(rows, { x: "layer", y: "share", stroke: "var(--accent)", strokeWidth: 2 }), Plot.ruleY([0]),
      Plot.tip(rows, Plot.pointerX({ x: "layer", y: "share", title: (r) => `layer ${r.layer}: ${percent(r.share)} (${percent(r.low)} to ${percent(r.high)})` }))],
  }), rows);
}

function sortedFigure(m, f) {
  const own = Array.from(of(m, "importance").subarray(f * N, (f + 1) * N), (value, at) => ({ value: m.sign === "absolute" ? Math.abs(value) : value, at }));
  own.sort((a, b) => b.value - a.value);
  const low = m.null && unpack(m.null.low), high = m.null && unpack(m.null.high);
  const rows = own.map((row, i) => ({ rank: i + 1, ...row, low: low ? low[f * N + i] : NaN, high: high ? high[f * N + i] : NaN }));
  const beyond = rows.findIndex((row) => !(row.value > row.high));
  const said = !high ? "" : m.null.own ? " Band: the range of refits on shuffled labels." : " Band: 95% of maps in which each task's effect has the sign of a coin toss.";
  const drawn = plot({
    width: wide(440), height: 220, marginLeft: 50, x: { type: "log", label: "rank of the head" }, y: { label: short(m.label || "importance", 40), grid: true }, ariaLabel: `Sorted importance of ${short(DATA.functions[f].title)}`,
    marks: [high ? Plot.areaY(rows, { x: "rank", y1: "low", y2: "high", fill: "currentColor", fillOpacity: 0.15 }) : null, Plot.ruleY([0]),
      Plot.lineY(rows, { x: "rank", y: "value", stroke: "var(--accent)", strokeWidth: 1.5 }), Plot.dot(rows.slice(0, 30), { x: "rank", y: "value", r: 2.5, fill: "var(--accent)" }),
      Plot.tip(rows, Plot.pointerX({ x: "rank", y: "value", title: (r) => `${named(r.at)}: ${number(r.value)}, rank ${r.rank}` }))],
  });
  drawn.addEventListener("click", () => drawn.value && openHead(drawn.value.at, f));
  return figure(`sorted-${DATA.functions[f].id}`, `Heads from the highest down.${said}${high && beyond > 0 ? ` The curve lies above it up to rank ${beyond}, which is said of the whole curve, not of one head.` : ""}`, drawn, rows.map((r) => ({ rank: r.rank, head: named(r.at), value: r.value, null_low: r.low, null_high: r.high })));
}

function specificFigure(m, f) {
  if (!m.maps.specific || !m.maps.general) return null;
  const general = of(m, "general"), specific = of(m, "specific").subarray(f * N, (f + 1) * N), q = m.maps.q_specific ? of(m, "q_specific").subarray(f * N, (f + 1) * N) : null;
  const rows = Array.from(general, (x, at) => ({ general: x, specific: specific[at], at, shown: !!q && q[at] < 0.05 && specific[at] > 0 }));
  const drawn = plot({
    width: wide(440), height: 260, x: { label: "general: mean over functions", grid: true }, y: { label: "beyond it, for this function", grid: true }, ariaLabel: "General against specific importance",
    marks: [Plot.ruleX([0]), Plot.ruleY([0]), Plot.dot(rows.filter((r) => !r.shown), { x: "general", y: "specific", r: 2, fill: "currentColor", fillOpacity: 0.35 }),
      Plot.dot(rows.filter((r) => r.shown), { x: "general", y: "specific", r: 4, fill: "var(--strong)" }),
      Plot.text(rows.filter((r) => r.shown), { x: "general", y: "specific", text: (r) => named(r.at), dy: -9, fill: "currentColor" }),
      Plot.tip(rows, Plot.pointer({ x: "general", y: "specific", title: (r) => `${named(r.at)}: general ${number(r.general)}, specific ${number(r.specific)}` }))],
  });
  drawn.addEventListener("click", () => drawn.value && openHead(drawn.value.at, f));
  return figure(`specific-${DATA.functions[f].id}`, `Every head: what it does for all functions against what it does for this one beyond that.${q ? " Red: specific, q < 0.05 over tasks." : ""}`, drawn, rows.map((r) => ({ head: named(r.at), general: r.general, specific: r.specific })));
}

function controlsFigure(m, f) {
  const fn = DATA.functions[f];
  const rows = (fn.controls ?? []).map((c) => ({ name: short(c.name, 34), value: c.accuracy[0], low: c.accuracy[1], high: c.accuracy[2], ours: false }));
  for (const one of DATA.methods) if (one.probe_accuracy?.[f]) rows.push({ name: short(`${one.id} (activations)`, 34), value: one.probe_accuracy[f][0], low: one.probe_accuracy[f][1], high: one.probe_accuracy[f][2], ours: true });
  if (!rows.length) return null;
  return figure(`controls-${fn.id}`, "How well the questions' surface alone tells this function from the others: what a probe reads beyond that is the heads' own.", plot({
    width: wide(440), height: 28 * rows.length + 50, marginLeft: 190, x: { label: "held-out accuracy", domain: [0, 1], tickFormat: "%", grid: true }, y: { label: null, domain: rows.map((r) => r.name) }, ariaLabel: `Controls of ${short(fn.title)}`,
    marks: [Plot.ruleX([1 / DATA.functions.length], { strokeDasharray: "3 3" }), Plot.link(rows, { x1: "low", x2: "high", y1: "name", y2: "name", stroke: "currentColor", strokeOpacity: 0.6 }),
      Plot.dot(rows, { x: "value", y: "name", r: 4, fill: (r) => (r.ours ? "var(--accent)" : "currentColor") })],
  }), rows.map(({ name, value, low, high }) => ({ seen: name, value, low, high })));
}

function topHeads(m, f) {
  const rank = rankOf(m, f), at = Array.from(rank.keys()).sort((a, b) => rank[a] - rank[b]).slice(0, 12);
  const get = (name, i) => (m.maps[name] ? of(m, name)[f * N + i] : null);
  const rows = at.map((i) => ({ i, value: get("importance", i), low: get("low", i), high: get("high", i), q: get("q_specific", i), s: get("specific", i) }));
  const top = Math.abs(rows[0]?.value ?? 0);
  return el("section", {}, el("h3", {}, `Its highest heads by ${short(m.id)}`), table(`heads-${DATA.functions[f].id}`, [
    ["Head", (r) => headLink(r.i, f)], ["Value", (r) => number(r.value, top), true], ["95% interval", (r) => (Number.isFinite(r.low ?? NaN) ? `${number(r.low, top)} to ${number(r.high, top)}` : "–"), true],
    ["Beyond the mean", (r) => number(r.s, top), true], ["q, specific", (r) => (Number.isFinite(r.q ?? NaN) ? r.q.toFixed(3) : "–"), true],
  ], rows, rows.map((r) => ({ head: named(r.i), value: r.value, low: r.low, high: r.high, specific: r.s, q_specific: r.q }))));
}

function validationOf(fn) {
  const v = DATA.validation;
  const f = v ? v.functions.findIndex((one) => one.id === fn.id) : -1;
  if (f < 0) return [el("p", { class: "faint" }, "Whether heads chosen on some tasks carry others is not tested here: headatlas validate ATLAS.")];
  const [W, F, M, K] = v.effect.shape, effect = unpack(v.effect), low = unpack(v.effect_low), high = unpack(v.effect_high);
  const at = (what, of, measured, k) => ((what * F + of) * M + measured) * K + k;
  const names = { specific: "its specific heads", whole: "its highest heads", least: "its lowest heads", random: "random heads" };
  const curve = v.what.flatMap((what, w) => v.ks.map((k, j) => ({ what: names[what] ?? what, k, value: effect[at(w, f, f, j)], low: low[at(w, f, f, j)], high: high[at(w, f, f, j)] })));
  const tints = ["var(--strong)", "var(--accent)", "#999999", "currentColor"];
  const middle = v.ks.indexOf(v.k), row = v.functions.map((one, j) => ({ measured: short(one.title, 26), own: j === f, value: effect[at(0, f, j, middle)], low: low[at(0, f, j, middle)], high: high[at(0, f, j, middle)] }));
  return [el("section", {}, el("h3", {}, "Put to the test: heads chosen on some tasks, removed on others"), el("div", { class: "columns" },
    figure(`deletion-${fn.id}`, `What its held-out tasks lose when k heads are removed together, with 95% intervals: ${Object.values(names).slice(0, W).join(", ")}.`, plot({
      width: wide(440), height: 240, x: { label: "heads removed", type: "log", ticks: v.ks, tickFormat: String }, y: { label: "loss, logits", grid: true }, color: { domain: curve.map((r) => r.what).filter((w, i, all) => all.indexOf(w) === i), range: tints },
      marginRight: 110, ariaLabel: `Deletion curves of ${short(fn.title)}`,
      marks: [Plot.ruleY([0]), Plot.link(curve, { x1: "k", x2: "k", y1: "low", y2: "high", stroke: "what", strokeOpacity: 0.5 }), Plot.line(curve, { x: "k", y: "value", stroke: "what", strokeWidth: 2 }), Plot.dot(curve, { x: "k", y: "value", fill: "what", r: 3 }),
        Plot.text(curve.filter((r) => r.k === v.ks[v.ks.length - 1]), { x: "k", y: "value", text: "what", textAnchor: "start", dx: 6, fill: "what" })],
    }), curve),
    figure(`dissociation-${fn.id}`, `What each function's held-out tasks lose without this one's ${v.k} most specific heads. Red: its own.`, plot({
      width: wide(440), height: 26 * row.length + 50, marginLeft: 150, x: { label: "loss, logits", grid: true }, y: { label: null, domain: row.map((r) => r.measured) }, ariaLabel: `Dissociation of ${short(fn.title)}`,
      marks: [Plot.ruleX([0]), Plot.link(row, { x1: "low", x2: "high", y1: "measured", y2: "measured", strokeOpacity: 0.6 }), Plot.dot(row, { x: "value", y: "measured", r: 4.5, fill: (r) => (r.own ? "var(--strong)" : "currentColor") })],
    }), row)))];
}

// -- tasks ------------------------------------------------------------------------------------------------------

function tasksView() {
  const m = [method(), ...DATA.methods].find((one) => one.tasks?.similar) ?? [method(), ...DATA.methods].find((one) => one.tasks);
  if (!m) return [el("p", {}, "This atlas's questions name no tasks, so that nothing can be said of whether a function is one thing."), dissociationFigure()];
  const s = m.tasks.similar, parts = [];
  if (s) {
    parts.push(el("h2", {}, "Is a function one thing?"), el("p", {}, s.within ? `Two tasks of one function depend on like heads with a similarity of ${number(s.within[0], 1)} (${range(s.within, (v) => number(v, 1))}), tasks of different functions ${number(s.between[0], 1)}${s.p === null ? "" : ` (p ${quality(s.p)}, tasks shuffled over functions)`}.` : ""));
    parts.push(matrixFigure(m, s));
  }
  const [a, b] = [state.a, state.b].map((name) => m.tasks.names.indexOf(name));
  parts.push(el("section", { id: "pair" }, el("h3", {}, a < 0 ? "Click a cell, or a task below, to see the maps of its tasks" : "Maps of tasks"),
    el("div", { class: "pair" }, [a, b].filter((i, k, all) => i >= 0 && all.indexOf(i) === k).map((i) => taskMap(m, i)))));
  parts.push(taskPickers(m), dissociationFigure(), el("h3", {}, "All tasks that were asked"), DATA.asked.length ? askedTable(DATA.asked, "all") : null);
  return parts;
}
function taskPickers(m) {
  const make = (key, label) => { const select = el("select", { onchange: (event) => go({ [key]: event.target.value }) }, [el("option", { value: "" }, "–"), ...m.tasks.names.map((name) => el("option", { value: name }, short(name, 50)))]); select.value = state[key]; return el("label", { class: "inline" }, label, select); };
  return el("p", {}, make("a", "Task "), make("b", " beside "));
}
function matrixFigure(m, s) {
  const n = s.names.length, matrix = unpack(s.matrix), names = s.order.map((i) => s.names[i]);
  const rows = [];
  for (const i of s.order) for (const j of s.order) rows.push({ a: s.names[i], b: s.names[j], fa: s.function[i], fb: s.function[j], value: i === j ? s.reliability[i] : matrix[i * n + j], same: i === j });
  const top = d3.quantile(rows.map((r) => Math.abs(r.value)).filter(Number.isFinite).sort(d3.ascending), 0.99) || 1;
  const side = Math.max(320, Math.min(wide(860), 13 * n + 220)), label = 190;
  const paint = painter(top);
  const drawn = plot({
    width: side, height: side - label + 30, marginLeft: label, marginTop: 8, marginBottom: 16, x: { axis: null, domain: names, padding: 0 }, y: { label: null, domain: names, padding: 0, tickFormat: (t) => short(t, 30), tickSize: 0 }, color: { type: "identity" },
    ariaLabel: "Similarity of every two tasks' maps, tasks in the order of their clusters",
    marks: [Plot.cell(rows, { x: "b", y: "a", fill: (r) => paint(r.value) }),
      Plot.dot(s.order.map((i) => ({ t: s.names[i], f: s.function[i] })), { y: "t", frameAnchor: "left", dx: -4, r: 3, fill: (r) => tint(r.f), clip: false }),
      Plot.tip(rows, Plot.pointer({ x: "b", y: "a", title: (r) => `${short(r.a, 40)} (${short(titleOf(r.fa), 30)})\n${short(r.b, 40)} (${short(titleOf(r.fb), 30)})\n${r.same ? "reliability" : "similarity"} ${number(r.value, 1)}` }))],
  });
  drawn.addEventListener("click", () => drawn.value && go({ a: drawn.value.a, b: drawn.value.a === drawn.value.b ? "" : drawn.value.b }, { push: true }));
  const legend = el("p", { class: "legend" }, DATA.functions.filter((f) => s.function.includes(f.id)).map((f) => el("span", {}, el("i", { style: { backgroundColor: tint(f.id) } }), text(short(f.title)))));
  return el("div", {}, legend, figure("task-similarity", "How alike two tasks' maps are (red: alike, blue: opposite); neighbours are clustered by their maps alone. If functions were one thing each, the dots' colours would stand together. Diagonal: reliability.", drawn, rows.map((r) => ({ task: r.a, function: r.fa, other_task: r.b, other_function: r.fb, similarity: r.value }))));
}

function taskMap(m, i) {
  const values = unpack(m.tasks.maps).subarray(i * N, (i + 1) * N), f = m.tasks.function[i];
  const readout = el("p", { class: "note" }, "Hover a head; click for its card.");
  const map = new HeatMap({ label: `Map of the task ${short(m.tasks.names[i])}`, width: 210, onpick: (at) => openHead(at, f), onhover: (at) => { map.place(map.mark, at); readout.textContent = at === null ? "" : `${named(at)}: ${number(values[at])}`; } });
  map.draw(values, endOf(values), true);
  map.place(map.chosen, headAt(state.h));
  const top = Array.from(values.keys()).sort((x, y) => values[y] - values[x]).slice(0, 5);
  const asked = DATA.asked.find((row) => row.task === m.tasks.names[i] && row.function === DATA.functions[f].id);
  const example = DATA.examples?.rows.find((row) => row.task === m.tasks.names[i] && row.function === DATA.functions[f].id);
  return el("div", { class: "panel" }, el("h3", {}, text(short(m.tasks.names[i], 40))), el("p", {}, goer({ v: "functions", f: DATA.functions[f].id }, text(short(DATA.functions[f].title))), asked ? `: right in ${percent(asked.accuracy?.[0])}` : ""),
    map.node, readout, el("p", {}, "Highest: ", top.map((at, k) => [k ? ", " : "", headLink(at, f)])),
    example ? el("p", { class: "faint" }, el("q", { dir: "auto" }, shown(example.text, 200)), " → ", text(short(example.answer, 60))) : null);
}

function dissociationFigure() {
  const v = DATA.validation;
  if (!v) return null;
  const [, F, M, K] = v.effect.shape, effect = unpack(v.effect), low = unpack(v.effect_low), high = unpack(v.effect_high), k = v.ks.indexOf(v.k);
  const rows = [];
  v.functions.forEach((f, i) => v.functions.forEach((g, j) => { const at = (i * M + j) * K + k; rows.push({ removed: short(f.title, 24), asked: short(g.title, 24), value: effect[at], low: low[at], high: high[at], q: v.double_q[i][j] }); }));
  const paint = painter(d3.max(rows, (r) => Math.abs(r.value)) || 1), names = v.functions.map((f) => short(f.title, 24));
  const bright = (value) => { const c = d3.lab(paint(value)); return c.l > 55 ? "#111" : "#fff"; };
  const size = wide(700);
  const drawn = plot({
    width: size, height: size * 0.55 + 60, marginLeft: 150, marginBottom: 100, color: { type: "identity" }, x: { label: null, domain: names, tickRotate: -35, padding: 0 }, y: { label: null, domain: names, padding: 0 }, ariaLabel: "Dissociation matrix",
    marks: [Plot.cell(rows, { x: "asked", y: "removed", fill: (r) => paint(r.value) }), Plot.text(rows, { x: "asked", y: "removed", text: (r) => number(r.value, 1), fill: (r) => bright(r.value) }),
      Plot.tip(rows, Plot.pointer({ x: "asked", y: "removed", title: (r) => `without the heads of ${r.removed},\n${r.asked} loses ${number(r.value, 1)} (${number(r.low, 1)} to ${number(r.high, 1)})` }))],
  });
  return el("section", {}, el("h3", {}, "Removing a function's heads: what every function loses"), figure("dissociation", `The ${v.k} most specific heads of each function (rows), chosen on half of its tasks and removed together, on each function's other tasks (columns): loss in logits.`, drawn, rows));
}

// -- methods ----------------------------------------------------------------------------------------------------

function methodsView() {
  const f = functionAt(), a = DATA.agreement;
  if (DATA.methods.length < 2) return [el("p", {}, "This atlas has one method, ", text(short(DATA.methods[0].id)), "; methods can be compared where a map is made with several.")];
  const one = method(), other = DATA.methods.find((m) => m.id === state.b && m.id !== one.id) ?? DATA.methods.find((m) => m.id !== one.id);
  const parts = [picker("methods"), methodPicker(), el("h2", {}, "Do the methods agree?")];
  if (a) {
    const rows = [];
    a.methods.forEach((x, i) => a.methods.forEach((y, j) => { if (i < j) DATA.functions.forEach((fn, k) => rows.push({ pair: `${short(x, 24)} and ${short(y, 24)}`, function: short(fn.title, 26), value: a.values[i][j][k], top: a.top?.[i][j][k] })); }));
    parts.push(figure("agreement", `Rank correlation over heads of two methods' maps (1: the same order, 0: none); in brackets the share of the top tenth of the heads that they have in common (chance ${percent(a.chance)}).`, plot({
      width: wide(720), marginLeft: 150, height: 60 + 24 * DATA.functions.length, x: { label: "Spearman correlation", domain: [Math.min(-0.2, d3.min(rows, (r) => r.value)), 1], grid: true }, y: { label: null, domain: DATA.functions.map((fn) => short(fn.title, 26)) }, ariaLabel: "Agreement of the methods",
      color: { legend: false, domain: [...new Set(rows.map((r) => r.pair))], range: TINTS }, marks: [Plot.ruleX([0]), Plot.dot(rows, { x: "value", y: "function", fill: "pair", r: 5 }),
        Plot.text(rows, { x: "value", y: "function", text: (r) => (r.top === undefined ? "" : `(${percent(r.top)})`), dx: 10, textAnchor: "start" }), Plot.tip(rows, Plot.pointer({ x: "value", y: "function", title: (r) => `${r.pair}\n${r.function}: ${number(r.value, 1)}` }))],
    }), rows), el("p", { class: "legend" }, [...new Set(rows.map((r) => r.pair))].map((pair, i) => el("span", {}, el("i", { style: { backgroundColor: TINTS[i % TINTS.length] } }), text(pair)))));
  }
  const x = of(one, "importance"), y = of(other, "importance");
  const rows = d3.range(N).map((at) => ({ at, x: x[f * N + at], y: y[f * N + at] }));
  const drawn = plot({ width: wide(560), height: 420, marginLeft: 60, x: { label: short(`${one.id}: ${one.label}`, 70), grid: true }, y: { label: short(`${other.id}: ${other.label}`, 70), grid: true }, ariaLabel: `Heads by ${short(one.id)} and ${short(other.id)}`,
    marks: [Plot.ruleX([0]), Plot.ruleY([0]), Plot.dot(rows, { x: "x", y: "y", r: 3, fill: "var(--accent)", fillOpacity: 0.6 }), Plot.tip(rows, Plot.pointer({ x: "x", y: "y", title: (r) => `${named(r.at)}: ${number(r.x)}, ${number(r.y)}` }))] });
  drawn.addEventListener("click", () => drawn.value && openHead(drawn.value.at, f));
  const select = el("select", { onchange: (event) => go({ b: event.target.value }) }, DATA.methods.filter((m) => m.id !== one.id).map((m) => el("option", { value: m.id }, short(m.id, 40))));
  select.value = other.id;
  parts.push(el("h3", {}, "Head by head: ", text(short(DATA.functions[f].title))), el("label", { class: "inline" }, "Against ", select), figure(`methods-${DATA.functions[f].id}`, "Every head by both; click one for its card.", drawn, rows.map((r) => ({ head: named(r.at), [one.id]: r.x, [other.id]: r.y }))));
  return parts;
}

// -- findings, about --------------------------------------------------------------------------------------------

const TOPICS = { validity: "Is a function one thing?", maps: "Over the functions", function: "Function by function", reach: "How far these numbers carry" };
function findingsView() {
  const asked = DATA.findings.tasks;
  return [el("h2", {}, "Findings"), el("p", {}, "Every sentence with its numbers; each leads to the view that shows it."), asked ? el("p", {}, text(shown(asked, 2000))) : null,
    ...DATA.findings.sections.map((section, i) => el("details", { open: i === 0 }, el("summary", {}, el("b", {}, "By ", text(short(section.method, 60))), section.unit ? el("span", { class: "faint" }, " ", text(short(section.unit, 120))) : null),
      Object.entries(TOPICS).map(([topic, title]) => {
        const own = section.findings.filter((one) => one.topic === topic);
        return own.length ? el("section", {}, el("h3", {}, title), el("ul", {}, own.map((one) => el("li", {}, text(shown(one.text, 4000)), " ", goer({ ...one.view, h: "" }, "show", { class: "show", "aria-label": `Show: ${short(one.text, 60)}` }))))) : null;
      }),
      section.unknown.length ? el("section", {}, el("h3", {}, "What is not known"), el("ul", {}, section.unknown.map((one) => el("li", {}, text(shown(one, 2000)))))) : null)),
    DATA.validation ? el("details", { open: true }, el("summary", {}, el("b", {}, "Put to the test")), el("ul", {}, DATA.validation.short.map((one) => el("li", {}, text(shown(one, 2000)), " ", goer({ v: "tasks", h: "" }, "show", { class: "show" }))))) : null];
}
function aboutView() {
  const saves = [
    ["heads", "Every head: method, function, layer, head, importance, interval, p, q, specific part, rank", gridRows],
    ["tasks-asked", "Tasks that were asked", () => DATA.asked.map((row) => ({ ...row, accuracy: row.accuracy?.[0], low: row.accuracy?.[1], high: row.accuracy?.[2] }))],
    ["items", "Mapped items", () => DATA.items],
    ["findings", "Findings", () => DATA.findings.sections.flatMap((s) => s.findings.map((one) => ({ method: s.method, id: one.id, topic: one.topic, statement: one.text })))],
    ["provenance", "How it was made", () => DATA.provenance.map(([name, value]) => ({ name, value }))],
  ];
  return [el("h2", {}, "How it was made"), table("provenance", [["What", (r) => short(r[0], 60)], ["Value", (r) => shown(r[1], 400)]], DATA.provenance, DATA.provenance.map(([name, value]) => ({ name, value }))),
    el("h3", {}, "Tables to keep"), el("ul", {}, saves.map(([name, about, rows]) => el("li", {}, el("button", { type: "button", onclick: () => saveCsv(name, rows()) }, `${name}.csv`), ` ${about}`))),
    el("p", { class: "faint" }, "Figures have their own buttons. Made by headatlas; drawn with D3 and Observable Plot (ISC licence).")];
}
