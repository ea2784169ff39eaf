"use strict";
(() => {
  const read = (id) => document.getElementById(id).textContent;
  const toDark = Object.entries(JSON.parse(read("dark-colours")));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const boxes = [...document.querySelectorAll("[data-figure]")];

  function draw(box, isDark, width) {
    let text = read(box.dataset.figure);
    if (isDark) for (const [from, to] of toDark) text = text.replaceAll(from, to);
    const { data, layout } = JSON.parse(text);
    if (width) layout.width = width;
    Plotly.react(box, data, layout, { responsive: !width, displayModeBar: false });
    box.dataset.drawn = "yes";
    document.getElementById("js-plotly-tester")?.setAttribute("aria-hidden", "true");
  }

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        near.unobserve(target);
        draw(target, dark.matches);
      }
    }
  }, { rootMargin: "800px" });
  for (const box of boxes) near.observe(box);

  dark.addEventListener("change", () => {
    for (const box of boxes) if (box.dataset.drawn) draw(box, dark.matches);
  });
  addEventListener("beforeprint", () => {
    for (const box of boxes) draw(box, false, box.closest(".slices") ? 320 : 680);
  });
  addEventListener("afterprint", () => {
    for (const box of boxes) {
      Plotly.purge(box);
      draw(box, dark.matches);
    }
  });
})();
