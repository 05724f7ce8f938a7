"use strict";

// A heading sorts its table, best or first in the alphabet on top; once more turns it round. Rows without a value stay
// at the end, fixed ones at the top.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  heads.forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => {
      const value = (row) => row.cells[index].dataset.value;
      const rows = [...body.rows].filter((row) => !("fixed" in row.dataset));
      const known = rows.filter((row) => value(row) !== "");
      const words = known.some((row) => Number.isNaN(Number(value(row))));
      const before = head.getAttribute("aria-sort");
      const up = before === "none" ? words || "less" in head.dataset : before === "descending";
      const order = words
        ? (a, b) => value(a).localeCompare(value(b))
        : (a, b) => Number(value(a)) - Number(value(b));
      known.sort((a, b) => (up ? order(a, b) : order(b, a)));
      body.append(...known, ...rows.filter((row) => value(row) === ""));
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}

// Before and after, from the pictures of the strips below.
for (const compare of document.querySelectorAll(".compare")) {
  const ends = ["degraded", "clean"];
  const pictures = (strip) => [...strip.querySelectorAll(".picture")];
  const labels = (strip) => pictures(strip).map((picture) => picture.dataset.label);
  const strategies = (strip) => labels(strip).filter((label) => !ends.includes(label));
  const strips = [...compare.closest("section").querySelectorAll(".strip")].filter(
    (strip) => labels(strip).includes("degraded") && strategies(strip).length > 0,
  );
  if (strips.length === 0) continue;
  const [task, image, strategy] = compare.querySelectorAll("select");
  const films = [...compare.closest("section").querySelectorAll(".film")];
  const [degraded, restored, error, clean] = compare.querySelectorAll(".captions p");
  const moments = compare.querySelector(".moments");
  const of = (label, places) => places.find((place) => place.dataset.label === label);
  const offer = (select, names) => {
    const chosen = select.value;
    select.replaceChildren(...[...new Set(names)].map((name) => new Option(name, name)));
    if (names.includes(chosen)) select.value = chosen;
  };
  const choose = () => {
    const same = strips.filter((strip) => strip.dataset.task === task.value);
    offer(image, same.map((strip) => strip.dataset.image));
    const strip = same.find((other) => other.dataset.image === image.value);
    offer(strategy, strategies(strip));
    const show = (label, place, caption) => {
      const picture = of(label, pictures(strip));
      const whole = picture.querySelector("svg").cloneNode(true);
      whole.querySelector("rect").remove();
      compare.querySelector(place).replaceChildren(whole);
      caption.replaceChildren(...picture.querySelector("p").cloneNode(true).childNodes);
      return picture;
    };
    show("degraded", ".before", degraded);
    const { dataset } = show(strategy.value, ".after", restored);
    show("clean", ".clean", clean);
    const map = compare.querySelector(".after svg").cloneNode(true);
    map.querySelector("use").setAttribute("href", `#${dataset.error}`);
    error.textContent = `error of ${strategy.value}`;
    map.setAttribute("aria-label", error.textContent);
    compare.querySelector(".error").replaceChildren(map);
    const film = films.find((other) => other.dataset.task === task.value && other.dataset.image === image.value);
    const reel = film && of(strategy.value, pictures(film));
    moments.hidden = !reel;
    const frames = reel ? [...reel.querySelectorAll(".frame")].map((frame) => frame.cloneNode(true)) : [];
    for (const frame of frames) frame.removeAttribute("style");
    moments.querySelector(".frames").replaceChildren(...frames);
  };
  const slider = compare.querySelector("input");
  const slide = () => compare.style.setProperty("--at", `${slider.value}%`);
  slider.addEventListener("input", slide);
  compare.querySelector(".choices").addEventListener("change", choose);
  offer(task, strips.map((strip) => strip.dataset.task));
  choose();
  slide();
  compare.hidden = false;
}

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
