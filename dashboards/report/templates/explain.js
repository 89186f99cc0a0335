// Plays the steps of a walkthrough: play, pause, step, scrub. Position n.5 is half of step n + 1. "#play" starts it.
"use strict";
(() => {
  const steps = [...document.querySelectorAll(".step")];
  const texts = [...document.querySelectorAll(".steps > li")];
  const at = (id) => document.getElementById(id);
  const [play, scrub, speed, card, stage] = [at("play"), at("scrub"), at("speed"), at("now"), document.querySelector(".stage")];
  const token = document.querySelector(".token");
  const STEP_MS = 1600, TICK_MS = 25;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let position = 0, shown = -1, last = 0;

  function draw() {
    const now = Math.min(Math.floor(position), steps.length - 1);
    const share = still ? 1 : Math.min(1, (position - now) * 1.6);
    scrub.value = Math.round(position * 100);
    steps.forEach((step, i) => {
      step.classList.toggle("done", i < now);
      step.classList.toggle("now", i === now);
    });
    const { from, to, y } = steps[now].dataset;
    token.setAttribute("cx", Number(from) + share * (Number(to) - Number(from)));
    token.setAttribute("cy", y);
    if (now === shown) return;
    shown = now;
    card.innerHTML = texts[now].innerHTML;
    card.classList.toggle("bad", texts[now].classList.contains("bad"));
    const count = document.createElement("p");
    count.className = "soft";
    count.textContent = `Step ${now + 1} of ${steps.length}`;
    card.prepend(count);
    const box = steps[now].getBoundingClientRect(), frame = stage.getBoundingClientRect();
    stage.scrollTop += box.top - frame.top - stage.clientHeight * 0.55;
    if (stage.scrollWidth > stage.clientWidth)
      stage.scrollLeft += (box.left + box.right) / 2 - frame.left - stage.clientWidth / 2;
  }

  function tell(state) {
    document.documentElement.dataset.state = state;
    play.textContent = state === "playing" ? "Pause" : state === "ended" ? "Again" : "Play";
  }

  function move(to) {
    position = Math.min(Math.max(to, 0), steps.length);
    draw();
  }

  function frame() {
    if (document.documentElement.dataset.state !== "playing") return;
    const time = performance.now();
    move(position + (Math.min(time - last, 200) / STEP_MS) * Number(speed.value));
    last = time;
    if (position >= steps.length) tell("ended");
    else setTimeout(frame, TICK_MS);
  }

  function start() {
    if (position >= steps.length) position = 0;
    last = performance.now();
    tell("playing");
    setTimeout(frame, TICK_MS);
  }

  const pause = () => tell("paused");
  play.addEventListener("click", () => (document.documentElement.dataset.state === "playing" ? pause() : start()));
  at("back").addEventListener("click", () => { pause(); move(Math.ceil(position) - 1); });
  at("next").addEventListener("click", () => { pause(); move(Math.floor(position) + 1 > steps.length - 1 ? steps.length - 1 : Math.floor(position) + 1); });
  scrub.addEventListener("input", () => { pause(); move(Number(scrub.value) / 100); });
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("button, input, select")) return;
    event.preventDefault();
    play.click();
  });

  document.body.classList.add("playing");
  document.querySelector(".controls").hidden = card.hidden = false;
  const begin = Number(/^#step=(\d+)$/.exec(location.hash)?.[1] ?? 1);
  move(begin - 1);
  tell("paused");
  if (location.hash === "#play") start();
})();
