// Several models: matrices side by side, pairs of tasks, one picture of the tasks, functions, layers.

const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "star", "wye"];

const likeness = (m, i, j) => unpack(DATA.similarity)[(m * DATA.tasks.length + i) * DATA.tasks.length + j];

function matrices() {
  const n = DATA.tasks.length, names = DATA.tasks.map((t) => t.name);
  const off = [];
  DATA.models.forEach((_, m) => { for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off.push(Math.abs(likeness(m, i, j))); });
  const paint = painter(d3.quantile(off.sort(d3.ascending), 0.99) || 1), size = Math.min(wide(560), Math.max(280, wide(2000) / Math.min(2, DATA.models.length) - 30));
  return DATA.models.map((model, m) => {
    const rows = DATA.tasks.flatMap((s, i) => DATA.tasks.map((t, j) => ({ a: s.name, b: t.name, i, j, value: likeness(m, i, j) })));
    const tell = (r) => `${short(r.a, 40)} (${short(titleOf(DATA.tasks[r.i].function), 30)})\n${short(r.b, 40)} (${short(titleOf(DATA.tasks[r.j].function), 30)})\n` + DATA.models.map((one, k) => `${short(one, 30)}: ${number(likeness(k, r.i, r.j), 1)}`).join("\n");
    const drawn = plot({
      width: size, height: size + 10, marginLeft: 14, marginBottom: 14, marginTop: 4, marginRight: 4, x: { axis: null, domain: names, padding: 0 }, y: { axis: null, domain: names, padding: 0 }, color: { type: "identity" },
      ariaLabel: `Similarity of every two tasks' maps in ${short(model)}`,
      marks: [Plot.cell(rows, { x: "b", y: "a", fill: (r) => paint(r.value) }), Plot.dot(DATA.tasks, { y: "name", frameAnchor: "left", dx: -6, r: 3, fill: (t) => tint(t.function) }),
        Plot.dot(DATA.tasks, { x: "name", frameAnchor: "bottom", dy: 6, r: 3, fill: (t) => tint(t.function) }), Plot.tip(rows, Plot.pointer({ x: "b", y: "a", title: tell }))],
    });
    return figure(`similarity-${m + 1}`, el("b", {}, text(short(model, 60))), drawn, rows.map((r) => ({ model, task: r.a, other_task: r.b, similarity: r.value })));
  });
}
const legend = () => el("p", { class: "legend" }, DATA.functions.filter((f) => DATA.tasks.some((t) => t.function === f.id)).map((f) => el("span", {}, el("i", { style: { backgroundColor: tint(f.id) } }), text(short(f.title)))));

function pairsFigure(pair) {
  const [a, b] = pair.at, rows = [];
  DATA.tasks.forEach((s, i) => DATA.tasks.forEach((t, j) => { if (i < j) rows.push({ s, t, x: likeness(a, i, j), y: likeness(b, i, j), same: s.function === t.function }); }));
  const drawn = plot({
    width: wide(440), height: 400, marginLeft: 50, x: { label: `similarity in ${short(DATA.models[a], 40)}`, grid: true }, y: { label: `in ${short(DATA.models[b], 40)}`, grid: true }, ariaLabel: "How alike two tasks are in one model against the other",
    marks: [Plot.ruleX([0]), Plot.ruleY([0]), Plot.dot(rows.filter((r) => !r.same), { x: "x", y: "y", r: 2.2, fill: "currentColor", fillOpacity: 0.4 }), Plot.dot(rows.filter((r) => r.same), { x: "x", y: "y", r: 3, fill: "var(--strong)" }),
      Plot.tip(rows, Plot.pointer({ x: "x", y: "y", title: (r) => `${short(r.s.name, 40)}\n${short(r.t.name, 40)}\n${number(r.x, 1)}, ${number(r.y, 1)}` }))],
  });
  return figure(`pairs-${a + 1}-${b + 1}`, `Every pair of tasks. Red: both of one function. r = ${number(pair.agreement[0], 1)}.`, drawn, rows.map((r) => ({ task: r.s.name, other_task: r.t.name, [DATA.models[a]]: r.x, [DATA.models[b]]: r.y })));
}

function picture() {
  const rows = DATA.models.flatMap((model, m) => DATA.tasks.map((t, i) => ({ model, m, ...t, x: DATA.places[m][i][0], y: DATA.places[m][i][1] })));
  const drawn = plot({
    width: wide(560), height: 460, inset: 12, x: { axis: null }, y: { axis: null }, symbol: { domain: DATA.models, range: SHAPES.slice(0, DATA.models.length) }, ariaLabel: "Tasks in one picture",
    marks: [Plot.line(rows, { x: "x", y: "y", z: (r) => `${r.function}|${r.name}`, stroke: (r) => tint(r.function), strokeOpacity: 0.5 }), Plot.dot(rows, { x: "x", y: "y", symbol: "model", fill: (r) => tint(r.function), r: 4 }),
      Plot.tip(rows, Plot.pointer({ x: "x", y: "y", title: (r) => `${short(r.name, 40)}\n${short(titleOf(r.function), 40)}\n${short(r.model, 40)}` }))],
    color: { type: "identity" },
  });
  return figure("picture", [`Tasks that share heads lie close; a line joins one task's points in the models (${DATA.models.map((m, i) => `${SHAPES[i]}: ${short(m, 40)}`).join(", ")}). The two axes hold ${percent(DATA.share)} of what the models have in common.`], drawn, rows.map((r) => ({ model: r.model, task: r.name, function: r.function, x: r.x, y: r.y })));
}

function functionsTable() {
  const rows = DATA.functions.flatMap((f, i) => DATA.models.map((model, m) => ({ f, model, within: DATA.within[m][i], between: DATA.between[m][i], q: DATA.within_q[m][i] })));
  return el("section", {}, el("h2", {}, "Which functions hang together"), el("p", { class: "faint" }, "How alike two tasks of the function are, against a task of it with one of another; q: tasks shuffled over functions."), table("functions", [
    ["Function", (r) => short(r.f.title)], ["Model", (r) => short(r.model, 40)], ["With each other", (r) => number(r.within, 1), true], ["With others", (r) => number(r.between, 1), true],
    ["q", (r) => el("span", { class: r.q !== null && r.q < 0.05 && r.within > r.between ? "yes" : null }, three(r.q)), true],
  ], rows, rows.map((r) => ({ function: r.f.id, model: r.model, within: r.within, between: r.between, q: r.q }))));
}

function layers() {
  const curves = DATA.functions.map((f, i) => {
    const rows = DATA.models.flatMap((model, m) => DATA.depth.map((x, k) => ({ model: short(model, 30), x, y: DATA.profiles[m][i][k] })));
    return figure(`depth-${f.id}`, text(short(f.title)), plot({ width: wide(330), height: 170, x: { label: "relative depth" }, y: { label: "share of mass", grid: true }, color: { domain: DATA.models.map((m) => short(m, 30)), range: TINTS }, ariaLabel: `Layers of ${short(f.title)}`,
      marks: [Plot.ruleY([0]), Plot.lineY(rows, { x: "x", y: "y", stroke: "model", strokeWidth: 2 })] }), rows.map((r) => ({ function: f.id, ...r })));
  });
  return el("section", {}, el("h2", {}, "Where in depth"), el("p", { class: "legend" }, DATA.models.map((m, i) => el("span", {}, el("i", { style: { backgroundColor: TINTS[i] } }), text(short(m, 60))))), el("div", { class: "columns" }, curves),
    DATA.pairs.map((pair) => moved(pair)));
}
function moved(pair) {
  const [a, b] = pair.at.map((k) => short(DATA.models[k], 40));
  const rows = DATA.functions.map((f, i) => ({ f, change: pair.change[i], layer: pair.layer[i], overlap: pair.overlap?.[i], heads: pair.heads?.[i] }));
  const columns = [["Function", (r) => short(r.f.title)], [`Centre moves, ${a} to ${b}`, (r) => number(r.change[0], 1), true], ["95% interval", (r) => range(r.change, (v) => number(v, 1)), true],
    ["Layer profiles' correlation", (r) => number(r.layer[0], 1), true], ["95% interval", (r) => range(r.layer, (v) => number(v, 1)), true]];
  if (pair.overlap) columns.push(["Top tenth in common", (r) => percent(r.overlap), true], ["Rank correlation over heads", (r) => number(r.heads, 1), true]);
  return table(`depth-${pair.at.join("-")}`, columns, rows, rows.map((r) => ({ function: r.f.id, change: r.change[0], change_low: r.change[1], change_high: r.change[2], profiles: r.layer[0], profiles_low: r.layer[1], profiles_high: r.layer[2], overlap: r.overlap, heads: r.heads })));
}
function agreements() {
  const names = { all: "all pairs of tasks", across: "pairs of different functions only", design: "function, form and kind of answer taken out" };
  const rows = DATA.pairs.flatMap((pair) => DATA.ways.map((way, w) => ({ pair, way, value: pair.agreement[w], clean: pair.corrected[w], p: pair.p[w], n: pair.n[w] })));
  return el("section", {}, el("h2", {}, "How far they agree"), table("agreement", [["Models", (r) => r.pair.at.map((k) => short(DATA.models[k], 40)).join(" and ")], ["Over", (r) => names[r.way]], ["Pairs", (r) => number(r.n, 100), true],
    ["Correlation", (r) => number(r.value, 1), true], ["Without noise", (r) => number(r.clean, 1), true], ["p", (r) => (r.p === null ? "–" : r.p < 0.001 ? "< 0.001" : three(r.p)), true]], rows,
  rows.map((r) => ({ one: DATA.models[r.pair.at[0]], other: DATA.models[r.pair.at[1]], over: r.way, correlation: r.value, corrected: r.clean, p: r.p, pairs: r.n }))));
}

function render() {
  setTheme();
  if (DATA.similarity) {
    $("matrices").replaceChildren(...matrices());
    $("rest").replaceChildren(legend(), agreements(), el("div", { class: "columns" }, picture(), ...DATA.pairs.slice(0, 6).map(pairsFigure)), functionsTable(), layers());
  } else $("rest").replaceChildren(agreements(), functionsTable(), layers());
}
readState();
watchTheme(render);
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; render(); } });
render();
document.documentElement.dataset.ready = "true";
