// The tabs on a page of their own, also while no test goes on.
import "./tabs.js";

const NAMES = ["ledger", "latency", "chaos", "topology", "verdict"];
const tabs = [...document.querySelectorAll('[role="tab"]')];
const place = document.getElementById("panel");

function open(name, { focus = false } = {}) {
  const wanted = NAMES.includes(name) ? name : NAMES[0];
  for (const tab of tabs) {
    const chosen = tab.dataset.name === wanted;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) tab.focus();
    if (chosen) { place.setAttribute("aria-labelledby", tab.id); tab.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  }
  if (place.firstElementChild?.localName !== `petrel-${wanted}`) place.replaceChildren(document.createElement(`petrel-${wanted}`));
  if (location.hash !== `#${wanted}`) history.replaceState(null, "", `#${wanted}`);
}

tabs.forEach((tab, here) => {
  tab.addEventListener("click", () => open(tab.dataset.name));
  tab.addEventListener("keydown", (event) => {
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(tabs[(to + tabs.length) % tabs.length].dataset.name, { focus: true });
  });
});
addEventListener("hashchange", () => open(location.hash.slice(1)));
open(location.hash.slice(1));
