// The system's processes and links as they are now.
import { Panel, chip, h, put, short, whole } from "./kit.js";

const LAYERS = [
  ["Edge", ["gateway"]], ["Services", ["api", "chat", "sequencer", "push", "provider"]],
  ["Log and store", ["kafka", "cassandra"]], ["Registry", ["redis", "sentinel", "shard"]], ["Links", ["toxiproxy"]],
];
const NAMES = {
  connections: "connections", sockets: "sockets", unstored: "lag, records not stored", behind: "partitions behind",
  routes_waiting: "routes waiting", appended: "appended", applied: "applied", reads_waiting: "reads waiting",
  stalls: "event-loop stalls", resyncs: "told to resync",
};
const GOOD = ["running", "external"];

class Topology extends Panel {
  build() {
    this.head = h("div", { class: "card head" });
    this.layers = h("div", { class: "layers" });
    this.links = h("section", { class: "card" });
    return h("div", {}, this.head, this.layers, this.links);
  }
  show({ parts }) {
    const { topology, problem } = parts;
    if (!topology) {
      put(this.head, h("p", { class: "quiet" }, problem || "The desk is looking for the first time."));
      return;
    }
    const services = topology.services, up = services.filter((one) => GOOD.includes(one.status)).length;
    const sum = (name) => services.reduce((all, one) => all + (one.stats[name] ?? 0), 0);
    put(this.head, h("h2", {}, `${up} of ${services.length} services run `, up === services.length ? chip("good", "all up") : chip("bad", `${services.length - up} down`)),
      h("p", { class: "quiet" }, `${whole(sum("connections"))} connections, lag ${whole(sum("unstored"))} records, ${whole(services.reduce((all, one) => all + one.restarts, 0))} restarts, ${short(services.reduce((all, one) => all + (one.cpu ?? 0), 0))} cores`));
    const known = LAYERS.flatMap(([, kinds]) => kinds);
    const rest = services.filter((one) => !known.includes(one.kind)).map((one) => one.kind);
    put(this.layers, [...LAYERS, ["Others", [...new Set(rest)]]].map(([name, kinds]) => {
      const here = services.filter((one) => kinds.includes(one.kind));
      return here.length ? h("section", { class: "layer" }, h("h3", {}, name), h("div", { class: "services" }, here.map((one) => this.service(one)))) : null;
    }));
    const broken = topology.links.filter((one) => one.toxics.length).length;
    put(this.links, h("h2", {}, "Links "), topology.links.length
      ? h("div", {}, h("p", { class: "quiet" }, broken ? `${broken} of ${topology.links.length} are broken now.` : `All ${topology.links.length} are clear.`),
        h("ul", { class: "wires" }, [...topology.links].sort((a, b) => b.toxics.length - a.toxics.length).map((one) =>
          h("li", {}, `${one.source} → ${one.target}`, one.toxics.length ? chip("bad", one.toxics.join(", ")) : chip("good", "clear")))))
      : h("p", { class: "quiet" }, "This system has no link with a proxy."));
  }
  service(one) {
    const runs = GOOD.includes(one.status), silent = one.answers === false;
    const kind = !runs ? "bad" : silent ? "open" : "good";
    const rows = Object.entries(NAMES).filter(([name]) => name in one.stats && (one.stats[name] || ["connections", "unstored", "appended", "applied"].includes(name)))
      .map(([name, said]) => [said, whole(one.stats[name])]);
    if (one.rss_bytes !== null) rows.push(["memory", `${whole(one.rss_bytes / 1048576)} MiB`]);
    if (one.cpu !== null) rows.push(["CPU, cores", one.cpu.toFixed(2)]);
    rows.push(["restarts", one.restarts ? `${one.restarts} (${one.ended})` : "0"]);
    return h("article", { class: runs ? "" : "down" },
      h("header", {}, h("b", {}, one.name), chip(kind, silent && runs ? "no answer" : one.status)),
      h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  }
}
customElements.define("petrel-topology", Topology);
