"use strict";
// Sorting, filtering, hiding locks, light and dark. The page is whole without it.
(() => {
  const root = document.documentElement;
  root.classList.add("with-js");

  // Light and dark: as the system says, until the reader says something else.
  const dark = document.getElementById("dark");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.colours ?? (system.matches ? "dark" : "light")) === "dark";
  const showDark = () => dark.setAttribute("aria-pressed", String(isDark()));
  try {
    // A page on a disk may have no storage.
    const kept = localStorage.getItem("pvq-colours");
    if (kept === "dark" || kept === "light") root.dataset.colours = kept;
  } catch {}
  dark.addEventListener("click", () => {
    root.dataset.colours = isDark() ? "light" : "dark";
    try { localStorage.setItem("pvq-colours", root.dataset.colours); } catch {}
    showDark();
  });
  system.addEventListener("change", showDark);
  showDark();

  // Which locks are shown, in pictures and in tables.
  const hidden = document.head.appendChild(document.createElement("style"));
  const boxes = [...document.querySelectorAll("[data-shows]")];
  const showLocks = () => {
    const off = boxes.filter((box) => !box.checked).map((box) => `[data-lock="${box.dataset.shows}"]`);
    hidden.textContent = off.length ? `${off.join(",")}{display:none}` : "";
    document.querySelectorAll("table.grid").forEach(count);
  };
  boxes.forEach((box) => box.addEventListener("change", showLocks));
  document.querySelectorAll("[data-locks]").forEach((button) => {
    button.addEventListener("click", () => {
      const which = button.dataset.locks;
      boxes.forEach((box) => {
        box.checked = which === "all" || (which === "ours" && "ours" in box.dataset);
      });
      showLocks();
    });
  });

  // Filters of a table.
  document.querySelectorAll("form.filters").forEach((form) => {
    const table = document.getElementById(form.dataset.for);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
      for (const row of table.tBodies[0].rows) {
        const keys = JSON.parse(row.dataset.keys);
        row.hidden = wanted.some((select) => select.value !== `=${keys[select.dataset.key]}`);
      }
      count(table);
    });
  });
  function count(table) {
    const rows = [...table.tBodies[0].rows];
    const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.shows));
    const shown = rows.filter((row) => !row.hidden && !off.has(row.dataset.lock)).length;
    document.getElementById(`${table.id}-status`).textContent = `${shown} of ${rows.length} rows`;
  }

  // Sorting: by size where a cell has a value, or else by letters; what has none comes last.
  const letters = new Intl.Collator("en", { numeric: true });
  document.querySelectorAll("table.grid").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[column];
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const [x, y] = [key(a).dataset.value, key(b).dataset.value];
          if (x !== undefined && y !== undefined) return up ? x - y : y - x;
          if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
          const order = letters.compare(key(a).textContent, key(b).textContent);
          return up ? order : -order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  });
})();
