// Read-outs: the pointer over a plot, or the arrow keys while it has the focus, moves one cursor through every plot of
// the page and writes the values of that moment into the legends. Without scripts the page loses nothing but this.
"use strict";
(() => {
  const grid = JSON.parse(document.getElementById("grid").textContent);
  const pictures = [...document.querySelectorAll(".plot svg[data-left]")];
  const figures = [...document.querySelectorAll("figure[data-values]")].map((figure) => ({
    values: JSON.parse(figure.dataset.values),
    places: [...figure.querySelectorAll(".legend b")],
  }));
  const clock = [...document.querySelectorAll(".moment")];

  const written = (value) =>
    value === null ? "–" : value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));

  let at = null;
  function show(bucket) {
    at = bucket === null ? null : Math.min(Math.max(bucket, 0), grid.buckets - 1);
    const share = at === null ? 0 : (at + 0.5) / grid.buckets;
    for (const picture of pictures) {
      const line = picture.querySelector(".cursor");
      const { left, right } = picture.dataset;
      const x = Number(left) + share * (right - left);
      line.setAttribute("visibility", at === null ? "hidden" : "visible");
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const { values, places } of figures)
      places.forEach((place, i) => { place.textContent = at === null ? "" : written(values[i][at]); });
    for (const place of clock)
      place.textContent = at === null ? "" : `at ${grid.start + at * grid.step} s`;
  }

  for (const picture of pictures) {
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const { left, right } = picture.dataset;
      const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
      show(Math.floor(((x - left) / (right - left)) * grid.buckets));
    });
    picture.addEventListener("pointerleave", () => show(null));
    picture.addEventListener("blur", () => show(null));
    picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show((at ?? (step > 0 ? -1 : grid.buckets)) + step);
    });
  }

  for (const box of document.querySelectorAll(".command")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(box.querySelector("pre").textContent.trim());
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    box.append(button);
  }
})();
