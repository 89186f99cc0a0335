// What the checks find: in the history so far while the test goes on, and at its end.
import { Panel, at, chip, h, put, table, whole } from "./kit.js";

const WORD = { valid: ["good", "holds"], invalid: ["bad", "violated"], unknown: ["open", "open"] };
const RANK = { invalid: 0, unknown: 1, valid: 2 };

class Verdict extends Panel {
  build() {
    this.head = h("div");
    this.checks = h("section", { class: "card" });
    this.stories = h("div", { class: "panel" });
    return h("div", {}, this.head, this.checks, this.stories);
  }
  show({ parts }) {
    const { ledger, checks, problem } = parts, run = ledger.run.split("/").pop();
    const seen = checks && checks.run === run ? checks : null;
    put(this.head, this.heading(ledger, run, seen));
    put(this.checks, h("h2", {}, "Checks"), seen
      ? h("div", {}, h("p", { class: "quiet" }, seen.ended ? `The whole history: ${whole(seen.events)} events.`
        : `The first ${whole(seen.events)} events, as of ${new Date(seen.at_s * 1000).toLocaleTimeString()}. Nothing was read back yet, so some checks stay open until the test is stopped.`),
      table(["Check", "So far", "Why"], [...seen.checks].sort((a, b) => RANK[a.verdict] - RANK[b.verdict]).map((one) => [
        one.name, chip(WORD[one.verdict][0], seen.ended ? one.verdict : WORD[one.verdict][1]),
        h("div", {}, one.detail, one.examples.length ? h("details", {}, h("summary", {}, `${whole(one.all)} ${one.verdict === "invalid" ? "counterexample" : "place"}${one.all > 1 ? "s" : ""}`), h("ul", {}, one.examples.map((text) => h("li", {}, text)))) : null),
      ])))
      : h("p", { class: "quiet" }, problem || (run ? "The checks look at the history every ten seconds or so, when the machine has time." : "There is no test yet.")));
    put(this.stories, (seen?.stories ?? []).map((story) => this.story(story)));
  }
  heading(ledger, run, seen) {
    const ended = ledger.verdict.startsWith("verdict ");
    const word = ended ? ledger.verdict.split(/[ :;]/)[1] : "";
    const found = seen ? seen.checks.filter((one) => one.verdict === "invalid").length : 0;
    const kind = word ? WORD[word][0] : found ? "bad" : "busy";
    const title = word ? `${word[0].toUpperCase()}${word.slice(1)}` : !run ? "No test yet" : ledger.verdict ? ledger.verdict
      : found ? `${found} check${found > 1 ? "s are" : " is"} violated already` : "No counterexample so far";
    const why = ended ? ledger.verdict.replace(/^verdict \w+:? ?/, "").replace(/^; /, "") : run ? "The verdict comes when the test is stopped: everything is read back, and every check looks at the whole history." : "Each start of a test is a run of its own, with its own verdict.";
    return h("div", { class: `verdict ${run ? kind : "busy"}` }, h("h2", {}, title), h("p", {}, why),
      ledger.report ? h("p", {}, h("a", { href: at(ledger.report) }, "The report of this run")) : null);
  }
  story(story) {
    const width = story.columns.length;
    return h("section", { class: "card" }, h("h2", {}, `${story.check}: event by event`), h("p", { class: "quiet" }, story.text),
      h("div", { class: "scroll keep", tabindex: "0", role: "region", "aria-label": `Events of ${story.caption}` }, h("table", { class: "story" },
        h("caption", { class: "quiet" }, story.caption),
        h("thead", {}, h("tr", {}, ["Time", "Since sent", ...story.columns].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, story.rows.map((row) => h("tr", {}, h("td", { class: "n" }, row.time), h("td", { class: "n" }, row.since),
          row.world ? h("td", { colspan: width }, h("span", { class: `event ${row.kind}` }, row.world))
            : row.cells.map((cell) => h("td", {}, cell ? h("span", { class: `event ${row.kind}` }, cell) : ""))))))),
      story.notes.map((note) => h("p", { class: "quiet" }, note)));
  }
}
customElements.define("petrel-verdict", Verdict);
