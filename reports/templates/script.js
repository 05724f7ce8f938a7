"use strict";

// A heading sorts its table: first descending, then ascending. Rows without a value stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const body = table.tBodies[0];
  heads.forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => {
      const words = index === 0;
      const current = head.getAttribute("aria-sort");
      const down = current === "none" ? !words : current === "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[index].dataset.value;
      const rows = [...body.rows].filter((row) => !("fixed" in row.dataset));
      const known = rows.filter((row) => value(row) !== "");
      const order = (a, b) =>
        Number.isNaN(Number(value(a))) || Number.isNaN(Number(value(b)))
          ? value(a).localeCompare(value(b))
          : Number(value(a)) - Number(value(b));
      known.sort((a, b) => (down ? order(b, a) : order(a, b)));
      body.append(...known, ...rows.filter((row) => value(row) === ""));
    });
  });
}

// On paper everything is open.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll(".group details")) details.open = true;
});
