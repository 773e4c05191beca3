// One head: its importance for every function by every method, roles, tasks, items, and what it attends to.

function drawCard() {
  const card = $("card"), at = headAt(state.h);
  card.hidden = at === null;
  document.body.classList.toggle("carded", at !== null);
  if (at === null) { card.replaceChildren(); return; }
  const key = [state.h, state.f, state.m, state.n, isDark()].join("|");
  if (card.dataset.key === key) return;
  card.dataset.key = key;
  const head = DATA.heads[at % DATA.heads.length], f = functionAt();
  const group = DATA.kv_heads && DATA.kv_heads < DATA.heads.length ? DATA.heads.length / DATA.kv_heads : 0;
  const kv = Math.floor(head / group);
  card.replaceChildren(
    el("header", {}, el("h2", {}, `Head ${named(at)}`),
      el("button", { type: "button", class: "close", "aria-label": "Close the card", onclick: () => go({ h: "", n: "" }, { push: true }) }, "×")),
    el("p", {}, `Layer ${DATA.layers[Math.floor(at / DATA.heads.length)]} of ${DATA.layers.length}, query head ${head} of ${DATA.heads.length}`,
      group ? `; it shares its keys and values (KV head ${kv}) with heads ${kv * group} to ${kv * group + group - 1}.` : "."),
    ...DATA.methods.map((m) => importanceOf(m, at)),
    numbersOf(at), rolesOf(at), tasksOf(at), itemsOf(at, f), attentionOf(at));
}

function importanceOf(m, at) {
  const rows = DATA.functions.map((f, i) => ({
    function: short(f.title, 26), id: f.id, value: of(m, "importance")[i * N + at],
    low: m.maps.low ? of(m, "low")[i * N + at] : NaN, high: m.maps.high ? of(m, "high")[i * N + at] : NaN,
    specific: m.maps.q_specific ? of(m, "q_specific")[i * N + at] < 0.05 && of(m, "specific")[i * N + at] > 0 : false,
  }));
  const drawn = plot({
    width: cardWidth(), height: 26 * rows.length + 50, marginLeft: 150, marginRight: 12,
    x: { label: short(m.label || m.id, 60), grid: true, ticks: 5 }, y: { label: null, domain: rows.map((r) => r.function) },
    ariaLabel: `Importance of ${named(at)} for every function by ${short(m.id)}`,
    marks: [Plot.ruleX([0]), Plot.link(rows.filter((r) => Number.isFinite(r.low)), { x1: "low", x2: "high", y1: "function", y2: "function", stroke: "currentColor", strokeOpacity: 0.6 }),
      Plot.dot(rows, { x: "value", y: "function", r: 4.5, fill: (r) => (r.specific ? "var(--strong)" : "currentColor") })],
  });
  const any = rows.some((r) => r.specific);
  return figure(`${named(at)}-${short(m.id, 20)}`, `By ${short(m.id)}: value and 95% interval.${any ? " Red: specific to the function, q < 0.05." : ""}`, drawn,
    rows.map(({ id, value, low, high }) => ({ head: named(at), method: m.id, function: id, value, low, high })));
}
const cardWidth = () => Math.min(430, wide(430));

function numbersOf(at) {
  const rows = DATA.methods.flatMap((m) => DATA.functions.map((f, i) => ({ m, f, i })));
  const value = ({ m, i }, name) => (m.maps[name] ? of(m, name)[i * N + at] : null);
  const made = table(`${named(at)}-numbers`, [
    ["Function", ({ f }) => short(f.title)], ["Method", ({ m }) => short(m.id)],
    ["Value", (r) => number(value(r, "importance")), true], ["Rank", ({ m, i }) => String(rankOf(m, i)[at]), true],
    ["q", (r) => three(value(r, "q")), true], ["q, specific", (r) => three(value(r, "q_specific")), true],
  ], rows, rows.map((r) => ({ head: named(at), method: r.m.id, function: r.f.id, value: value(r, "importance"), low: value(r, "low"), high: value(r, "high"), rank: rankOf(r.m, r.i)[at], q: value(r, "q"), q_specific: value(r, "q_specific") })));
  return el("details", {}, el("summary", {}, "The same in numbers, with ranks and q-values"), made);
}

function rolesOf(at) {
  if (!DATA.roles.length) return el("p", { class: "faint" }, "What it attends to by rule (previous token, induction, …) is not measured here. Type: headatlas roles MODEL --out ATLAS/roles.nc, then headatlas report ATLAS.");
  const rows = DATA.roles.map((role) => {
    const all = unpack(role.values), value = all[at];
    const above = all.reduce((n, v) => n + (v > value), 0);
    return { role, value, rank: above + 1, low: unpack(role.low)[at], high: unpack(role.high)[at] };
  }).filter((row) => Number.isFinite(row.value)).sort((a, b) => a.rank - b.rank);
  return el("section", {}, el("h3", {}, "Roles"), table(`${named(at)}-roles`, [
    ["Role", ({ role }) => el("span", { title: shown(role.definition) }, shown(role.title))], ["Score", ({ value }) => number(value, 1), true],
    ["95% interval", ({ low, high }) => `${number(low, 1)} to ${number(high, 1)}`, true], ["Rank", ({ rank }) => String(rank), true],
  ], rows, rows.map(({ role, value, low, high, rank }) => ({ head: named(at), role: role.id, value, low, high, rank }))));
}

function tasksOf(at) {
  const m = [method(), ...DATA.methods].find((one) => one.tasks);
  if (!m) return null;
  const maps = unpack(m.tasks.maps);
  const rows = m.tasks.names.map((name, i) => ({ task: short(name, 26), name, value: maps[i * N + at], function: DATA.functions[m.tasks.function[i]].title }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, 10);
  const drawn = plot({
    width: cardWidth(), height: 20 * rows.length + 46, marginLeft: 150, x: { label: short(m.label, 60), grid: true, ticks: 5 }, y: { label: null, domain: rows.map((r) => r.task) },
    ariaLabel: `The tasks that ${named(at)} matters most for`,
    marks: [Plot.barX(rows, { x: "value", y: "task", fill: (r) => (r.value < 0 ? "var(--against)" : "var(--supports)") }), Plot.ruleX([0]),
      Plot.tip(rows, Plot.pointerY({ x: "value", y: "task", title: (r) => `${short(r.name, 60)}\n${short(r.function, 40)}: ${number(r.value)}` }))],
  });
  drawn.addEventListener("click", () => drawn.value && go({ v: "tasks", a: drawn.value.name, b: "" }, { push: true }));
  return el("section", {}, el("h3", {}, "Tasks it matters most for"), figure(`${named(at)}-tasks`, `Mean effect on a task's items, by ${short(m.id)}. Click a bar to see what other tasks share.`, drawn,
    rows.map(({ name, value, function: f }) => ({ head: named(at), task: name, function: f, value }))));
}

function itemsOf(at, f) {
  const m = [method(), ...DATA.methods].find((one) => one.top_items);
  if (!m || !DATA.items.length) return null;
  const item = unpack(m.top_items.item), value = unpack(m.top_items.value), each = m.top_items.item.shape[2];
  const rows = [];
  for (let k = 0; k < each; k++) {
    const place = (f * N + at) * each + k;
    if (item[place] >= 0) rows.push({ item: DATA.items[item[place]], value: value[place] });
  }
  return el("section", {}, el("h3", {}, "Items it moves most: ", goer({ v: "functions", f: DATA.functions[f].id }, text(short(DATA.functions[f].title)))),
    el("ul", { class: "items" }, rows.map(({ item: one, value: moved }) => el("li", {},
      el("span", { class: "moved" }, number(moved)), " ", one.text ? el("q", { dir: "auto" }, shown(one.text, 320)) : text(short(one.id, 60)),
      one.answer ? el("span", {}, " → ", el("b", {}, text(short(one.answer, 60))), one.foil ? el("span", { class: "faint" }, " not ", text(short(one.foil, 60))) : null) : null))));
}

function attentionOf(at) {
  const shownIn = DATA.examples;
  const box = el("section", { class: "attention" }, el("h3", {}, "What it attends to"));
  if (!shownIn || !shownIn.rows.length) { box.append(el("p", { class: "faint" }, "No example was run with this atlas.")); return box; }
  if (!shownIn.attention) { box.append(el("p", { class: "faint" }, "Not known: ", text(shownIn.note || "no attention was kept"))); return box; }
  const [layer, head] = [Math.floor(at / DATA.heads.length), at % DATA.heads.length];
  const seen = shownIn.seen.findIndex(([l, h]) => l === layer && h === head);
  if (seen < 0) { box.append(el("p", { class: "faint" }, `Attention is kept for the ${shownIn.seen.length} heads that matter most to some function; this is none of them.`)); return box; }
  const known = shownIn.rows.map((row, i) => i).filter((i) => shownIn.rows[i].tokens.length && shownIn.rows[i].predicts.length);
  const wanted = known.find((i) => shownIn.rows[i].id === state.n) ?? bestExample(at, known);
  const [, places, heads, keys] = shownIn.attention.shape, all = unpack(shownIn.attention);
  const draw = (i) => {
    const row = shownIn.rows[i], line = el("p", { class: "tokens", dir: "auto" });
    const place = Math.max(0, row.predicts.findIndex((k) => (row.tokens[k] ?? "").trim())), start = ((i * places + place) * heads + seen) * keys, stop = row.predicts[place];
    const weights = Array.from(all.subarray(start, start + stop), (w) => w / 255);
    const rest = Math.max(...weights.slice(1), 0.01);
    row.tokens.slice(0, stop).forEach((token, k) => {
      const strength = k === 0 ? Math.min(1, weights[0]) : Math.min(1, weights[k] / rest);
      line.append(el("span", { class: "token", title: `${short(token, 40)}: ${weights[k].toFixed(2)}`, style: { backgroundColor: `color-mix(in srgb, var(--ink-of-attention) ${Math.round(75 * strength)}%, transparent)` } }, shown(token, 60)));
    });
    line.append(el("b", { class: "next" }, shown(row.tokens[stop] ?? "", 40)));
    const top = weights.map((w, k) => [w, k]).filter(([, k]) => k > 0).sort((a, b) => b[0] - a[0]).slice(0, 3);
    return [line, el("p", { class: "faint" }, `Where it predicts “`, text(short((row.tokens[stop] ?? "").trim(), 40)), `”: most to `,
      top.map(([w, k], n) => [n ? ", " : "", el("b", {}, text(`“${short(row.tokens[k].trim(), 30)}”`)), ` ${w.toFixed(2)}`]), `; first token ${weights[0].toFixed(2)}. Colours of the others are relative to the strongest of them.`)];
  };
  const body = el("div", {}, ...draw(wanted));
  const select = el("select", { "aria-label": "Which example", onchange: (event) => go({ n: event.target.value }) },
    known.map((i) => el("option", { value: shownIn.rows[i].id }, short(shownIn.rows[i].task || shownIn.rows[i].id, 50))));
  select.value = shownIn.rows[wanted].id;
  box.append(el("label", {}, "Example of task ", select), body);
  return box;
}

function bestExample(at, known) {
  // The example of the task that this head matters most for.
  const m = DATA.methods.find((one) => one.tasks);
  if (!m) return known.find((i) => DATA.examples.rows[i].function === DATA.functions[functionAt()].id) ?? known[0];
  const maps = unpack(m.tasks.maps);
  const size = new Map(m.tasks.names.map((name, i) => [name, Math.abs(maps[i * N + at])]));
  return known.reduce((best, i) => ((size.get(DATA.examples.rows[i].task) ?? -1) > (size.get(DATA.examples.rows[best].task) ?? -1) ? i : best), known[0]);
}
