// What was sent and what became of it: counters of the swarm, and of the history second by second.
import { Chart, Panel, at, chip, h, put, table, whole, windows } from "./kit.js";

const rate = (points, field) => points.map((point, place) => {
  const before = points[place - 1];
  return before && point[0] > before[0] ? Math.max(0, (point[field] - before[field]) / (point[0] - before[0])) : null;
});

function tile(name, value, said, kind = "") {
  return h("div", { class: kind }, h("dt", {}, name), h("dd", {}, whole(value), h("small", {}, said)));
}

// Returns the state of the test and links to what it left.
export function heading(ledger, rows) {
  const phase = rows.find(([name]) => name === "phase")?.[1] ?? "";
  const said = ledger.verdict.startsWith("verdict valid") ? chip("good", "valid")
    : ledger.verdict.startsWith("verdict invalid") ? chip("bad", "invalid")
      : ledger.verdict.startsWith("verdict unknown") ? chip("open", "unknown")
        : ledger.verdict ? chip("busy", ledger.verdict) : chip(ledger.run ? "busy" : "off", phase);
  const run = ledger.run.split("/").pop();
  const links = ledger.report ? [
    h("a", { href: at(ledger.report), id: "report" }, "The report of this run"),
    h("a", { href: at(`file/${run}/junit.xml`) }, "JUnit"), h("a", { href: at(`file/${run}/verdict.json`) }, "JSON"),
  ] : [];
  if (ledger.run) links.push(h("a", { href: at("ledger.csv") }, "CSV"));
  return h("div", { class: "card head" },
    h("div", {}, h("h2", {}, run ? `Test ${run} ` : "No test yet ", said),
      h("p", { class: "quiet" }, ledger.verdict || (run ? "It is judged when it is stopped." : "Start one on Locust's page, or an experiment in the tab Chaos."))),
    h("div", { class: "links" }, links));
}

class Ledger extends Panel {
  build() {
    this.head = h("div");
    this.tiles = h("dl", { class: "tiles" });
    this.rates = new Chart({ title: "Messages a second", unit: "1/s", lines: [
      { name: "shown", style: "a" }, { name: "invoked", style: "b" }, { name: "acked", style: "c" }] });
    this.open = new Chart({ title: "Deliveries under way", unit: "", lines: [
      { name: "outstanding", style: "a" }, { name: "suspicious", style: "c" }] });
    this.online = new Chart({ title: "Devices", unit: "", height: 150, lines: [
      { name: "online", style: "a" }, { name: "connections lost, in all", style: "c" }] });
    this.rows = h("div", { class: "card" });
    return h("div", {}, this.head, this.tiles,
      h("section", { class: "card" }, this.rates.element),
      h("div", { class: "two" }, h("section", { class: "card" }, this.open.element), h("section", { class: "card" }, this.online.element)),
      this.rows);
  }
  show({ parts, series }) {
    const { ledger, rows, checks } = parts;
    const run = ledger.run.split("/").pop();
    const judged = checks && checks.run === run && checks.ended;
    const lost = judged ? checks.lost : null;
    put(this.head, heading(ledger, rows));
    put(this.tiles,
      tile("Invoked", ledger.sends, "messages that devices sent"),
      tile("Acked", ledger.acked, `${whole(ledger.pending)} without an answer yet`),
      tile("Shown", ledger.shown, "deliveries on a screen"),
      tile("Outstanding", ledger.outstanding, "acked, not shown on devices online now"),
      tile("Suspicious", ledger.suspicious, "outstanding for more than 10 s", ledger.suspicious ? "doubt" : ""),
      tile("Lost", lost, judged ? "by the final reading" : "known after the final reading", lost ? "wrong" : ""));
    const points = series.points, x = points.map((point) => point[0]);
    const bands = windows(parts, series.begin_s, series.begin_s + (x[x.length - 1] ?? 0));
    this.rates.update(x, [rate(points, 3), rate(points, 1), rate(points, 2)], bands);
    this.open.update(x, [points.map((p) => p[6]), points.map((p) => p[7])], bands);
    this.online.update(x, [points.map((p) => p[4]), points.map((p) => p[5])], bands);
    const told = [...rows, ["reports of the swarm's processes", `${whole(ledger.reports)}, ${whole(ledger.reports_lost)} lost on the way`]];
    put(this.rows, h("h2", {}, "In detail"),
      h("p", { class: "quiet" }, "The swarm's processes report numbered totals every second, so a report that is lost costs nothing. Outstanding and suspicious are read from the history itself; so is the verdict."),
      table(["What", "Now"], told));
  }
}
customElements.define("petrel-ledger", Ledger);
