// How long deliveries take, from the moment the plan wanted the send until the recipient's display.
import { Chart, Panel, h, put, short, table, whole, windows } from "./kit.js";

const ROWS = 34; // half octaves, as load/history/latency.py has them
const lower = (row) => (row === 0 ? 0 : 2 ** ((row - 1) / 2));

class Latency extends Panel {
  build() {
    this.lines = new Chart({ title: "Percentiles, by the time of the display", unit: "ms", log: true, height: 260, lines: [
      { name: "p99", style: "a" }, { name: "p50", style: "b" }, { name: "p95", style: "c" }, { name: "max", style: "d" }] });
    this.canvas = h("canvas", { role: "img", tabindex: "0", height: "300" });
    this.read = h("p", { class: "quiet" }, "Point at a cell to read it.");
    this.numbers = h("div", { class: "card" });
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { this.read.textContent = "Point at a cell to read it."; });
    return h("div", {},
      h("section", { class: "card" }, h("p", { class: "quiet" }, "Sender to receiver, from the planned time of the send: a client that waits cannot hide a stall. Amber: a fault is in force."), this.lines.element),
      h("section", { class: "card" }, h("figure", {}, h("figcaption", {}, h("h2", {}, "All deliveries"), h("span", { class: "quiet" }, "darker: more of that second's deliveries")), this.canvas, this.read)),
      this.numbers);
  }
  show({ parts, series }) {
    const { ledger } = parts, points = series.points, x = points.map((point) => point[0]);
    const bands = windows(parts, series.begin_s, series.begin_s + (x[x.length - 1] ?? 0));
    this.lines.update(x, [10, 8, 9, 11].map((field) => points.map((point) => point[field])), bands);
    this.heat(points, bands);
    const row = (name, of) => [name, short(of.p50), short(of.p99), short(of.max)];
    put(this.numbers, h("h2", {}, "Since the start, in ms"), table(["From the planned send", "p50", "p99", "max"],
      [row("to the ack", ledger.ack_ms), row("to the display", ledger.show_ms)], { numbers: [1, 2, 3] }),
    h("p", { class: "quiet" }, `${whole(ledger.shown)} displays. A message that waited for a device that was away as planned is not counted.`));
  }
  heat(points, bands) {
    const width = this.canvas.clientWidth || 640, height = 300, scale = devicePixelRatio || 1;
    this.canvas.width = width * scale; this.canvas.height = height * scale; this.canvas.style.height = `${height}px`;
    const pen = this.canvas.getContext("2d"), style = getComputedStyle(this);
    const ink = style.getPropertyValue("--line-1"), soft = style.getPropertyValue("--soft"), amber = style.getPropertyValue("--fault");
    pen.scale(scale, scale); pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    const left = 66, base = height - 24, across = width - left - 10;
    const most = Math.max(8, ...points.map((point) => point[12].length));
    const columns = Math.min(points.length, Math.max(1, Math.floor(across / 5)));
    const cells = Array.from({ length: columns }, () => new Array(most).fill(0));
    points.forEach((point, place) => {
      const column = Math.min(columns - 1, Math.floor((place * columns) / points.length));
      point[12].forEach((count, row) => { cells[column][row] += count; });
    });
    this.shape = { left, across, base, most, columns, cells, points };
    const tall = (base - 8) / most;
    cells.forEach((rows, column) => {
      const top = Math.max(1, ...rows);
      rows.forEach((count, row) => {
        if (!count) return;
        pen.globalAlpha = 0.15 + 0.85 * Math.sqrt(count / top);
        pen.fillStyle = ink;
        pen.fillRect(left + (column / columns) * across, base - (row + 1) * tall, Math.ceil(across / columns), tall - 0.5);
      });
    });
    pen.globalAlpha = 1; pen.fillStyle = soft; pen.strokeStyle = soft;
    for (let row = 1; row < most; row += Math.max(2, 2 * Math.ceil(most / 14))) {
      pen.textAlign = "right"; pen.fillText(lower(row) < 1000 ? `${short(lower(row))} ms` : `${short(lower(row) / 1000)} s`, left - 6, base - row * tall + 4);
    }
    const first = points[0]?.[0] ?? 0, last = points[points.length - 1]?.[0] ?? 1;
    pen.textAlign = "left"; pen.fillText(`${short(first)} s`, left, height - 7);
    pen.textAlign = "right"; pen.fillText(`${short(last)} s`, width - 10, height - 7);
    pen.fillStyle = amber;
    for (const band of bands) {
      const from = left + (Math.max(band.from, first) - first) / Math.max(1, last - first) * across;
      const to = left + (Math.min(band.to, last) - first) / Math.max(1, last - first) * across;
      pen.fillRect(from, base + 1, Math.max(2, to - from), 4);
    }
    const said = points.length ? `${whole(points.reduce((sum, point) => sum + point[12].reduce((a, b) => a + b, 0), 0))} deliveries over ${short(last - first)} s` : "nothing yet";
    this.canvas.setAttribute("aria-label", `Heat map of the latency over time: ${said}`);
  }
  point(event) {
    const { left, across, base, most, columns, cells, points } = this.shape ?? {};
    if (!columns) return;
    const box = this.canvas.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left - left) / across) * columns);
    const row = Math.floor((base - (event.clientY - box.top)) / ((base - 8) / most));
    const count = cells[column]?.[row];
    if (count === undefined) return;
    const second = points[Math.floor((column / columns) * points.length)]?.[0];
    const upper = row === ROWS - 1 ? "and more" : `to ${short(lower(row + 1))} ms`;
    this.read.textContent = `At ${short(second)} s, ${short(lower(row))} ${upper}: ${whole(count)} deliveries.`;
  }
}
customElements.define("petrel-latency", Latency);
