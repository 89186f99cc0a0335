// Breaks the system by hand or by an experiment, shows what is broken and the proof of it, and heals it.
import { Panel, chip, h, lanes, order, put, span, table } from "./kit.js";

const ACTIVE = ["injecting", "in force", "healing"];
const KIND = { planned: "off", injecting: "busy", "in force": "bad", healing: "busy", healed: "good", "not healed": "bad", "no effect": "open", skipped: "open" };

class Chaos extends Panel {
  build() {
    this.now = h("section", { class: "card", "aria-live": "polite" });
    this.said = h("p", { class: "said", role: "status" });
    this.fault = h("select", { name: "fault", onchange: () => this.choose() });
    this.target = h("select", { name: "target" });
    this.for_s = h("input", { name: "for", type: "number", min: "0.5", max: "3600", step: "0.5", value: "10" });
    this.options = h("div", { class: "fields" });
    this.text = h("p", { class: "quiet" });
    this.none = h("details", { hidden: true }, h("summary", {}), h("div"));
    this.form = h("form", { onsubmit: (event) => { event.preventDefault(); this.ask(); } },
      h("div", { class: "fields" }, h("label", {}, "Fault", this.fault), h("label", {}, "Target", this.target),
        h("label", { class: "small" }, "For, seconds", this.for_s), h("button", { class: "danger", type: "submit", id: "inject" }, "Inject…")),
      this.options, this.text);
    this.experiment = h("select", { name: "experiment", onchange: () => this.chooseExperiment() });
    this.users = h("input", { name: "users", type: "number", min: "1", step: "1", value: "200" });
    this.duration = h("input", { name: "duration", type: "number", min: "20", step: "5", value: "120" });
    this.seed = h("input", { name: "seed", type: "number", min: "0", step: "1", value: "1" });
    this.summary = h("p", { class: "quiet" });
    this.planned = h("p", { class: "said", role: "status" });
    this.times = h("section", { class: "card lanes" });
    this.past = h("section", { class: "card" });
    this.dialog = h("dialog", { "aria-labelledby": "sure" });
    return h("div", {}, this.now,
      h("section", { class: "card" }, h("h2", {}, "Inject a fault"),
        h("p", { class: "quiet" }, "It is proven from outside that it took effect and that it was healed. What is injected while a test goes on is in its history and its report."),
        this.form, this.said, this.none),
      h("section", { class: "card" }, h("h2", {}, "Start a whole experiment"),
        h("p", { class: "quiet" }, "A test with the faults of an experiment, drawn from the seed for this system. It starts, breaks, heals, ends by itself and is judged."),
        h("form", { onsubmit: (event) => { event.preventDefault(); this.start(); } }, h("div", { class: "fields" },
          h("label", {}, "Experiment", this.experiment), h("label", { class: "small" }, "Users", this.users),
          h("label", { class: "small" }, "Seconds", this.duration), h("label", { class: "small" }, "Seed", this.seed),
          h("button", { type: "button", id: "draw", onclick: () => this.draw() }, "Show the schedule"),
          h("button", { class: "main", type: "submit", id: "start" }, "Start…")), this.summary, this.planned)),
      this.times, this.past, this.dialog);
  }
  show({ parts }) {
    const { offers, injections = [], plan, problem, ledger } = parts;
    this.ledger = ledger;
    for (const control of this.shadowRoot.querySelectorAll("form button")) control.disabled = !offers;
    if (!offers) this.said.textContent = problem || "The desk is being started.";
    else if (offers.profile !== this.profile) this.offer(offers);
    this.broken(injections);
    this.timeline(injections, plan, parts);
    const ended = injections.filter((one) => !ACTIVE.includes(one.state) && one.state !== "planned").reverse();
    put(this.past, h("h2", {}, "What was injected"), ended.length ? table(["Fault", "Target", "Test", "End", "It took effect", "It was healed"],
      ended.map((one) => [one.name, one.target, one.run || "none", chip(KIND[one.state], one.state), one.proof, one.healed])) : h("p", { class: "quiet" }, "Nothing yet."));
  }
  offer(offers) {
    this.profile = offers.profile;
    this.offers = new Map(offers.faults.map((one) => [one.name, one]));
    const possible = offers.faults.filter((one) => !one.why_not);
    const kinds = [...new Set(possible.map((one) => one.kind))].sort();
    this.fault.replaceChildren(...kinds.map((kind) => h("optgroup", { label: kind },
      possible.filter((one) => one.kind === kind).map((one) => h("option", { value: one.name }, one.name)))));
    const not = offers.faults.filter((one) => one.why_not);
    this.none.hidden = !not.length;
    this.none.firstChild.textContent = `${not.length} faults cannot be injected here`;
    this.none.lastChild.replaceChildren(table(["Fault", "Why not"], not.map((one) => [one.name, one.why_not])));
    this.experiments = new Map(offers.experiments.map((one) => [one.name, one]));
    this.experiment.replaceChildren(...offers.experiments.map((one) => h("option", { value: one.name, selected: one.name === "quick" }, one.name)));
    this.said.textContent = "";
    this.choose();
    this.chooseExperiment();
  }
  choose() {
    const one = this.offers.get(this.fault.value);
    this.target.replaceChildren(...one.targets.map((target) => h("option", {}, target)));
    this.text.textContent = one.text.replace(/\s*\n\s*/g, " ");
    this.options.replaceChildren(...Object.entries(one.options).map(([name, value]) =>
      h("label", { class: "small" }, name.replaceAll("_", " "), h("input", { type: "number", step: "any", name, value }))));
  }
  chooseExperiment() {
    const one = this.experiments.get(this.experiment.value);
    if (!one) return;
    this.duration.value = Math.max(20, Math.round(one.duration_s));
    this.summary.textContent = `${one.summary} It is made for ${one.users} users; ${Math.ceil(one.least_s)} s hold all of its faults.`;
  }
  // Asks whether something is really meant.
  sure(title, text, word, act) {
    const close = () => this.dialog.close();
    this.dialog.replaceChildren(h("h2", { id: "sure" }, title), h("p", {}, text),
      h("div", { class: "foot" }, h("button", { type: "button", onclick: close, autofocus: true }, "Cancel"),
        h("button", { type: "button", class: "danger", id: "confirm", onclick: () => { close(); act(); } }, word)));
    this.dialog.showModal();
  }
  ask() {
    const [fault, target, for_s] = [this.fault.value, this.target.value, Number(this.for_s.value)];
    const options = {};
    const usual = this.offers.get(fault).options;
    for (const input of this.options.querySelectorAll("input")) if (Number(input.value) !== usual[input.name]) options[input.name] = Number(input.value);
    const where = this.ledger.run && !this.ledger.verdict ? ` It goes into the history of ${this.ledger.run.split("/").pop()}.` : " No test goes on: nothing records it.";
    this.sure(`Inject ${fault}?`, `${target} is broken for ${span(for_s)}, then healed.${where}`, "Inject", async () => {
      this.tell(this.said, await order("inject", { fault, target, for_s, options }));
    });
  }
  wanted() {
    return { experiment: this.experiment.value, users: Number(this.users.value), duration_s: Number(this.duration.value), seed: Number(this.seed.value) };
  }
  async draw() {
    this.tell(this.planned, await order("draw", this.wanted()));
  }
  start() {
    const wanted = this.wanted();
    this.sure(`Start ${wanted.experiment}?`, `${wanted.users} users for ${span(wanted.duration_s)}, with faults by seed ${wanted.seed}.`, "Start", async () => {
      this.tell(this.planned, await order("experiment", wanted));
    });
  }
  tell(place, answer) {
    place.className = answer.ok ? "said" : "said bad";
    place.textContent = answer.text;
  }
  broken(injections) {
    const active = injections.filter((one) => ACTIVE.includes(one.state)), now_s = Date.now() / 1000;
    const heal = async (id) => this.tell(this.said, await order("heal", { id }));
    const head = h("div", { class: "head" }, h("h2", {}, active.length ? `Broken now: ${active.length}` : "Nothing is broken now"),
      h("button", { type: "button", id: "heal-all", onclick: () => heal(""), disabled: !active.length }, "Heal all now"));
    const cards = active.map((one) => h("article", { "data-id": one.id },
      h("header", {}, h("b", {}, `${one.name} ${one.target}`), chip(KIND[one.state], one.state)),
      h("p", {}, one.proof || "It is being injected, and looked at from outside."),
      one.injected_s ? h("progress", { max: one.for_s, value: Math.min(one.for_s, Math.max(0, now_s - one.injected_s)).toFixed(1), "aria-label": "Time in force" }) : null,
      h("div", { class: "foot" }, h("span", { class: "quiet" }, one.injected_s ? `${span(now_s - one.injected_s)} of ${span(one.for_s)}` : ""),
        h("button", { type: "button", class: "heal", onclick: () => heal(one.id), disabled: one.state === "healing", "aria-label": `Heal now: ${one.name} ${one.target}` }, "Heal now"))));
    const shape = JSON.stringify(active.map((one) => [one.id, one.state, one.proof]));
    if (shape === this.shape && active.length) {  // only the clock goes on: buttons keep the focus
      active.forEach((one, place) => {
        const card = this.now.querySelectorAll("article")[place];
        if (!one.injected_s) return;
        card.querySelector("progress").value = Math.min(one.for_s, Math.max(0, now_s - one.injected_s));
        card.querySelector(".quiet").textContent = `${span(now_s - one.injected_s)} of ${span(one.for_s)}`;
      });
      return;
    }
    this.shape = shape;
    put(this.now, head, active.length ? h("div", { class: "broken" }, cards) : h("p", { class: "quiet" }, "All that was injected is healed."));
  }
  timeline(injections, plan, { ledger }) {
    const run = ledger.run.split("/").pop();
    const mine = injections.filter((one) => one.run === run && (one.injected_s || one.planned_s));
    const width = Math.max(320, this.times.clientWidth - 34), now_s = Date.now() / 1000;
    if (mine.length && !(plan && !mine.some((one) => one.planned_s) && ledger.verdict)) {
      const zero = Math.min(...mine.map((one) => one.planned_s ?? one.injected_s)) - 5;
      const items = mine.map((one) => ({
        name: `${one.name} ${one.target}`, kind: one.state === "no effect" ? "missed" : "fault",
        planned: one.planned_s ? [one.planned_s - zero, one.planned_s + one.for_s - zero] : null,
        real: one.injected_s ? [one.injected_s - zero, (one.healed_s ?? now_s) - zero] : null,
      }));
      const to = Math.max(30, now_s < zero + 3600 && !ledger.verdict ? now_s - zero : 0, ...items.flatMap((item) => [item.planned?.[1] ?? 0, item.real?.[1] ?? 0]));
      put(this.times, h("h2", {}, `Timeline of ${run}`), h("p", { class: "quiet" }, "Frame: planned. Bar: in force, until proven healed."),
        lanes(items, { from: 0, to, now: ledger.verdict ? null : now_s - zero, width }));
    } else if (plan) {
      put(this.times, h("h2", {}, `Schedule of ${plan.experiment}, seed ${plan.seed}`), plan.faults.length
        ? lanes(plan.faults.map((one) => ({ name: `${one.name} ${one.target}`, planned: [one.at_s, one.at_s + one.for_s] })), { from: 0, to: plan.duration_s, now: null, width })
        : h("p", { class: "quiet" }, "No fault of it fits."));
    } else {
      put(this.times, h("h2", {}, "Timeline"), h("p", { class: "quiet" }, "Nothing was injected into this test, and no experiment was drawn."));
    }
  }
}
customElements.define("petrel-chaos", Chaos);
