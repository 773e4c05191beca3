// The state decides what is drawn: each view is made when it is first looked at, and again when its part of the state changes.

const VIEWS = { maps: null, functions: functionsView, tasks: tasksView, methods: methodsView, findings: findingsView, about: aboutView };
const READS = { functions: ["f", "m", "theme"], tasks: ["m", "a", "b", "h", "theme"], methods: ["f", "m", "b", "theme"], findings: [], about: [] };
const made = {};

function drawView(view) {
  const key = READS[view].map((name) => state[name]).join("|") + isDark() + wide(2000);
  if (made[view] === key) return;
  made[view] = key;
  $(`view-${view}`).replaceChildren(...VIEWS[view]().flat().filter(Boolean));
}
let printing = false; // all views are shown; what the browser resizes for paper must not hide them again
function render() {
  if (printing) return;
  if (!(state.v in VIEWS)) state.v = "maps";
  for (const view of Object.keys(VIEWS)) {
    $(`view-${view}`).hidden = view !== state.v;
    const tab = document.querySelector(`nav.views a[data-view="${view}"]`);
    tab.toggleAttribute("aria-current", view === state.v);
    if (view === state.v) tab.setAttribute("aria-current", "page");
    tab.setAttribute("href", link({ v: view }));
  }
  setTheme();
  if (state.v === "maps") { setControls(); drawGrid(); } else drawView(state.v);
  drawCard();
}

Object.assign(DEFAULTS, { v: "maps", m: DATA.methods[0].id, w: "importance", s: "shared", q: "0.05" });
readState();
buildGrid();
buildControls();
for (const tab of document.querySelectorAll("nav.views a")) {
  tab.addEventListener("click", (event) => { event.preventDefault(); go({ v: tab.dataset.view }, { push: true }); scrollTo(0, 0); });
}
watchTheme(render);
addEventListener("hashchange", () => { readState(); render(); });
addEventListener("popstate", () => { readState(); render(); });
addEventListener("resize", () => render());
addEventListener("keydown", (event) => { if (event.key === "Escape" && state.h && !event.target.closest(".panel")) go({ h: "", n: "" }); });
addEventListener("beforeprint", () => { printing = true; for (const view of Object.keys(VIEWS)) { if (view !== "maps") drawView(view); $(`view-${view}`).hidden = false; } document.querySelectorAll("main details").forEach((one) => { one.open = true; }); });
addEventListener("afterprint", () => { printing = false; render(); });
render();
document.documentElement.dataset.ready = "true";
