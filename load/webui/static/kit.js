// What all tabs share: the feed of the page's parts, the base of a panel, small ways to make elements, and charts.
// Everything is text that is set, never markup that is parsed: what a run says cannot become part of the page.

const ROOT = new URL("..", import.meta.url); // .../petrel/
const EVERY_MS = 1000;
const SVG = "http://www.w3.org/2000/svg";

// Returns the address of something below /petrel.
export const at = (path) => new URL(path, ROOT).href;

async function get(path) {
  const answer = await fetch(at(path), { credentials: "same-origin" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

// Has the server do something; returns {ok, text}.
export async function order(path, body) {
  try {
    const answer = await fetch(at(path), {
      method: "POST", credentials: "same-origin", headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    try { return JSON.parse(text); } catch { return { ok: false, text: text.trim() || `status ${answer.status}` }; }
  } catch {
    return { ok: false, text: "the page's server does not answer" };
  }
}

// Asks for everything once a second while a panel is on the screen, and tells all panels.
class Feed {
  constructor() {
    this.panels = new Set();
    this.parts = null;
    this.series = { begin_s: 0, made: 0, points: [] };
    this.problem = "";
    this.timer = 0;
  }
  add(panel) {
    this.panels.add(panel);
    if (this.panels.size === 1) this.poll();
    else if (this.parts) panel.show(this);
  }
  drop(panel) {
    this.panels.delete(panel);
  }
  async poll() {
    clearTimeout(this.timer);
    try {
      this.parts = await get("parts");
      const kept = this.series;
      const told = await get(`series?since=${kept.points.length}&made=${kept.made}`);
      const goes = told.begin_s === kept.begin_s && told.since === kept.points.length;
      this.series = { ...told, points: goes ? kept.points.concat(told.points) : told.points };
      if (!goes && told.since > 0) this.series.points = [];
      this.problem = "";
    } catch {
      this.problem = "The page's server does not answer.";
    }
    for (const panel of this.panels) if (this.parts) panel.refresh(this);
    if (this.panels.size) this.timer = setTimeout(() => this.poll(), EVERY_MS);
  }
}
export const feed = new Feed();

// Returns an element. Properties that begin with "on" are listeners; others are attributes.
export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function s(name, properties = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(properties)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export const whole = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
export const short = (value) =>
  value === null || value === undefined ? "–"
    : value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
export const span = (seconds) => {
  const all = Math.max(0, Math.round(seconds));
  return all < 120 ? `${all} s` : `${Math.floor(all / 60)} min ${all % 60} s`;
};

const SIGNS = { good: "✓", bad: "✕", open: "?", busy: "●", off: "–" };
// Returns a state in a word, with a sign of its own: a state is never told by its colour alone.
export const chip = (kind, word) => h("span", { class: `chip ${kind}` }, h("i", { "aria-hidden": "true" }, SIGNS[kind]), word);

// Returns rows of cells as a table that becomes a list of cards on a phone.
export function table(heads, rows, { caption = "", numbers = [] } = {}) {
  const kind = (place) => (numbers.includes(place) ? "n" : "");
  return h("div", { class: heads.length === 2 ? "scroll pair" : "scroll" }, h("table", {},
    h("caption", { class: "quiet" }, caption),
    h("thead", {}, h("tr", {}, heads.map((head, place) => h("th", { scope: "col", class: kind(place) }, head)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, place) =>
      h(place ? "td" : "th", { ...(place ? {} : { scope: "row" }), class: kind(place), "data-head": heads[place] }, cell)))))));
}

const sheet = (async () => {
  const made = new CSSStyleSheet();
  made.replaceSync(await (await fetch(at("assets/petrel.css"))).text());
  return made;
})();

// The base of a tab: its own styles, the page's light or dark, and the feed while it is on the screen.
export class Panel extends HTMLElement {
  async connectedCallback() {
    if (!this.shadowRoot) {
      this.attachShadow({ mode: "open" });
      this.shadowRoot.adoptedStyleSheets = [await sheet];
      this.state = h("p", { class: "problem", role: "status", hidden: true });
      this.shadowRoot.append(h("div", { class: "panel" }, this.state, this.build()));
    }
    if (!this.isConnected) return;
    this.theme();
    feed.add(this);
  }
  disconnectedCallback() {
    feed.drop(this);
  }
  theme() {
    const colour = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g)?.map(Number) ?? [255, 255, 255];
    const seen = colour[3] === 0 ? [255, 255, 255] : colour;
    this.dataset.theme = 0.299 * seen[0] + 0.587 * seen[1] + 0.114 * seen[2] < 128 ? "dark" : "light";
  }
  refresh(news) {
    this.theme();
    this.state.hidden = !news.problem;
    this.state.textContent = news.problem;
    this.show(news);
  }
}

// Replaces the children only where they differ in text or shape, so that focus and selection stay.
export function put(place, ...children) {
  const made = h("div", {}, ...children);
  if (place.innerHTML !== made.innerHTML) place.replaceChildren(...made.childNodes);
}

// Returns when faults were in force, in seconds since the first point of the series.
export function windows(parts, begin_s, now_s) {
  const run = (parts.ledger.run || "").split("/").pop();
  return (parts.injections || []).filter((one) => one.run === run && one.injected_s)
    .map((one, place) => ({
      label: `${place + 1}`, name: `${one.name} ${one.target}`, from: one.injected_s - begin_s,
      to: (one.healed_s ?? now_s) - begin_s, missed: one.state === "no effect",
    }));
}

const LEFT = 46, RIGHT = 10, TOP = 20, BOTTOM = 24;

function ticks(low, high, wanted) {
  const rough = (high - low) / Math.max(1, wanted) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

// Lines over time with the windows of faults behind them. The pointer or the arrow keys read a moment.
export class Chart {
  constructor({ title, unit, lines, log = false, height = 200 }) {
    Object.assign(this, { title, unit, lines, log, height, at: null, data: null });
    this.places = lines.map(() => h("b"));
    this.clock = h("span", { class: "clock" });
    this.svg = s("svg", { role: "img", tabindex: "0", "aria-label": title });
    this.told = h("p", { class: "quiet", "aria-live": "off" });
    this.element = h("figure", {},
      h("figcaption", {}, h("h2", {}, title), h("ul", { class: "legend" },
        lines.map((line, place) => {
          const key = s("svg", { viewBox: "0 0 26 12", "aria-hidden": "true" }, s("path", { class: `line ${line.style}`, d: "M1 6H25" }));
          return h("li", {}, key, line.name, " ", this.places[place]);
        }), h("li", {}, this.clock))),
      this.svg, this.told);
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.read(this.nearest(event.clientX - box.left));
    });
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("blur", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step || !this.data?.x.length) return;
      event.preventDefault();
      const last = this.data.x.length - 1;
      this.read(Math.min(last, Math.max(0, (this.at ?? (step > 0 ? -1 : last + 1)) + step)));
    });
    new ResizeObserver(() => this.data && this.draw()).observe(this.svg);
  }
  // x: seconds; values: one list a line; bands: windows().
  update(x, values, bands = []) {
    this.data = { x, values, bands };
    this.draw();
  }
  draw() {
    const width = this.svg.clientWidth || 640, { x, values, bands } = this.data;
    const known = values.flat().filter((value) => value !== null && value !== undefined && (!this.log || value > 0));
    const high = Math.max(this.log ? 10 : 1, ...known), low = this.log ? Math.min(1, ...known) : 0;
    const start = x[0] ?? 0, stop = Math.max(x[x.length - 1] ?? 1, start + 10);
    const base = this.height - BOTTOM, across = width - LEFT - RIGHT;
    this.px = (value) => LEFT + ((value - start) / (stop - start)) * across;
    const scale = this.log ? (v) => Math.log(Math.max(v, low) / low) / Math.log((high * 1.15) / low) : (v) => v / (high * 1.08);
    const py = (value) => base - scale(value) * (base - TOP);
    const parts = bands.filter((band) => band.to >= start && band.from <= stop).flatMap((band) => this.band(band, start, stop, base));
    const marks = this.log
      ? Array.from({ length: 9 }, (_, i) => 10 ** (i - 2)).filter((value) => value >= low && value <= high * 1.15)
      : ticks(0, high, 4);
    for (const value of marks) {
      parts.push(s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: py(value), y2: py(value) }));
      parts.push(text(short(value), { class: "y", x: LEFT - 6, y: py(value) + 4 }));
    }
    parts.push(text(this.unit, { class: "y", x: LEFT - 6, y: 11 }));
    parts.push(s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: base, y2: base }));
    for (const value of ticks(start, stop, Math.max(2, Math.floor(width / 110))))
      parts.push(text(`${short(value)} s`, { class: "x", x: Math.min(this.px(value), width - 22), y: base + 17 }));
    [...this.lines.keys()].reverse().forEach((place) =>
      parts.push(s("path", { class: `line ${this.lines[place].style}`, d: path(x, values[place], this.px, py, this.log) })));
    this.cursor = s("line", { class: "cursor", y1: TOP, y2: base, visibility: "hidden" });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.style.height = `${this.height}px`;
    this.svg.replaceChildren(...parts, this.cursor);
    const last = this.lines.map((line, place) => `${line.name} ${short(values[place].findLast((v) => v !== null && v !== undefined))}`);
    this.svg.setAttribute("aria-label", x.length ? `${this.title}. Now: ${last.join(", ")} ${this.unit}.` : `${this.title}. Nothing yet.`);
    this.told.textContent = x.length ? "" : "Nothing yet: start a test.";
    this.read(this.at);
  }
  band(band, start, stop, base) {
    const left = this.px(Math.max(band.from, start)), right = this.px(Math.min(band.to, stop));
    const kind = band.missed ? "missed" : "fault";
    return [
      s("rect", { class: `band ${kind}`, x: left, y: TOP, width: Math.max(2, right - left), height: base - TOP }, s("title", {}, band.name)),
      s("line", { class: "edge", x1: left, x2: left, y1: TOP, y2: base }), text(band.label, { class: "label", x: left + 3, y: TOP - 4 }),
    ];
  }
  nearest(x) {
    const all = this.data?.x ?? [];
    let best = null;
    all.forEach((value, place) => {
      if (best === null || Math.abs(this.px(value) - x) < Math.abs(this.px(all[best]) - x)) best = place;
    });
    return best;
  }
  read(place) {
    this.at = place;
    const { x, values } = this.data ?? { x: [], values: [] };
    const now = place ?? x.length - 1;
    this.places.forEach((b, line) => { b.textContent = now >= 0 ? short(values[line]?.[now]) : ""; });
    this.clock.textContent = place === null ? "" : `at ${short(x[place])} s`;
    if (!this.cursor) return;
    this.cursor.setAttribute("visibility", place === null ? "hidden" : "visible");
    if (place !== null) for (const end of ["x1", "x2"]) this.cursor.setAttribute(end, this.px(x[place]));
  }
}

function text(what, properties) {
  const made = s("text", properties);
  made.textContent = what;
  return made;
}

function path(x, values, px, py, log) {
  let written = "", pen = false;
  x.forEach((t, place) => {
    const value = values[place];
    if (value === null || value === undefined || (log && value <= 0)) { pen = false; return; }
    written += `${pen ? "L" : "M"}${px(t).toFixed(1)} ${py(value).toFixed(1)}${pen ? "" : "h.1"}`;
    pen = true;
  });
  return written;
}

// Lanes over time: one row a fault, its planned time as a frame, its real one as a bar.
export function lanes(items, { from, to, now, width }) {
  const row = 26, height = row * items.length + 26, name = Math.min(230, width * 0.42);
  const px = (value) => name + ((value - from) / Math.max(1, to - from)) * (width - name - 12);
  const parts = [];
  items.forEach((item, place) => {
    const middle = row * place + row / 2;
    parts.push(s("line", { class: "grid", x1: name, x2: width - 12, y1: middle, y2: middle }));
    const label = text(item.name, { class: "lane", x: 0, y: middle + 4 });
    const most = Math.floor(name / 6.4);
    if (item.name.length > most) label.textContent = `${item.name.slice(0, most - 1)}…`;
    label.append(s("title", {}, item.name));
    parts.push(label);
    if (item.planned) parts.push(s("rect", { class: "planned", x: px(item.planned[0]), y: middle - 8, width: Math.max(3, px(item.planned[1]) - px(item.planned[0])), height: 16, rx: 3 }));
    if (item.real) parts.push(s("rect", { class: `bar ${item.kind}`, x: px(item.real[0]), y: middle - 6, width: Math.max(3, px(item.real[1]) - px(item.real[0])), height: 12, rx: 3 }));
  });
  const base = row * items.length;
  parts.push(s("line", { class: "axis", x1: name, x2: width - 12, y1: base, y2: base }));
  for (const value of ticks(from, to, Math.max(2, Math.floor((width - name) / 90))))
    parts.push(text(`${short(value)} s`, { class: "x", x: Math.min(px(value), width - 20), y: base + 17 }));
  if (now !== null && now >= from && now <= to) parts.push(s("line", { class: "now", x1: px(now), x2: px(now), y1: 0, y2: base }));
  const said = items.map((item) => item.name).join(", ");
  return s("svg", { role: "img", "aria-label": `Timeline of faults: ${said}`, viewBox: `0 0 ${width} ${height}`, style: `height:${height}px` }, ...parts);
}
