"use strict";
// Choosing, sorting, light and dark. The page is whole without it. What is chosen stands in the address.
(() => {
  const root = document.documentElement;
  root.classList.add("with-js");
  const all = (css, within = document) => [...within.querySelectorAll(css)];

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

  // What is shown: locks, settings, the order of a table.
  const boxes = all("[data-shows]");
  const selects = all("form.filters select");
  const hidden = document.head.appendChild(document.createElement("style"));
  const sorted = new Map();
  const rule = (lock) => `[data-lock="${lock}"]`;

  function show() {
    const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.shows));
    hidden.textContent = off.size ? `${[...off].map(rule).join(",")}{display:none}` : "";
    // Words name locks that may be hidden.
    root.classList.toggle("some-hidden", off.size > 0);
    const wanted = selects.filter((select) => select.value);
    const fits = (part) => {
      const keys = JSON.parse(part.dataset.keys);
      return wanted.every(({ dataset, value }) => (keys[dataset.key] ?? null) === null || value === `=${keys[dataset.key]}`);
    };
    all("svg.chart").forEach((chart) => closeRows(chart, off));
    all("svg.chart .front polyline").forEach((front) => bend(front, off));
    all("figure").forEach((figure) => {
      figure.hidden = all("svg .lock", figure).every((part) => off.has(part.dataset.lock));
    });
    all(".panel").forEach((panel) => {
      panel.hidden = !fits(panel) || all("figure", panel).every((figure) => figure.hidden);
    });
    all("table.grid").forEach((table) => {
      const rows = [...table.tBodies[0].rows];
      rows.forEach((row) => { row.hidden = !fits(row); });
      const shown = rows.filter((row) => !row.hidden && !off.has(row.dataset.lock)).length;
      document.getElementById(`${table.id}-status`).textContent = `${shown} of ${rows.length} rows`;
    });
    keep();
  }

  // A row of a picture that is hidden leaves no gap: those below it move up, the picture ends earlier.
  function closeRows(chart, off) {
    const row = Number(chart.dataset.row);
    if (!row) return;
    chart.dataset.view ??= chart.getAttribute("viewBox");
    const parts = all(".lock", chart);
    const up = new Map();
    let gone = 0;
    for (const lock of new Set(parts.map((part) => part.dataset.lock))) {
      up.set(lock, gone * row);
      if (off.has(lock)) gone += 1;
    }
    parts.forEach((part) => part.setAttribute("transform", `translate(0 ${-up.get(part.dataset.lock)})`));
    const [x, y, width, height] = chart.dataset.view.split(" ").map(Number);
    chart.setAttribute("viewBox", `${x} ${y} ${width} ${height - gone * row}`);
    chart.setAttribute("height", height - gone * row);
  }

  // The line around what no other lock beats, among those that are shown. Better is right and down.
  function bend(front, off) {
    const spots = all(".lock[data-at]", front.closest("svg")).filter((part) => !off.has(part.dataset.lock))
      .map((part) => part.dataset.at.split(",").map(Number));
    const beaten = ([x, y]) => spots.some(([a, b]) => a >= x && b >= y && (a > x || b > y));
    const left = spots.filter((spot) => !beaten(spot)).sort((a, b) => a[0] - b[0]);
    const steps = left.flatMap(([x, y], i) => (i ? [[left[i - 1][0], y], [x, y]] : [[x, y]]));
    front.setAttribute("points", steps.map((spot) => spot.join(",")).join(" "));
  }

  boxes.forEach((box) => box.addEventListener("change", show));
  selects.forEach((select) => select.addEventListener("change", show));
  all("form.filters").forEach((form) => form.addEventListener("submit", (event) => event.preventDefault()));
  all("[data-locks]").forEach((button) => {
    button.addEventListener("click", () => {
      const which = button.dataset.locks;
      boxes.forEach((box) => {
        box.checked = which === "all" || (which === "ours" && "ours" in box.dataset);
      });
      show();
    });
  });

  // Sorting: the best first, then the other way. By size where a cell has a value, or else by letters;
  // what has none comes last.
  const letters = new Intl.Collator("en", { numeric: true });
  function sort(table, column, way) {
    const heads = [...table.tHead.rows[0].cells];
    const up = way === "ascending";
    heads.forEach((head) => head.setAttribute("aria-sort", "none"));
    heads[column].setAttribute("aria-sort", way);
    const key = (row) => row.cells[column];
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [key(a).dataset.value, key(b).dataset.value];
      if (x !== undefined && y !== undefined) return up ? x - y : y - x;
      if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
      const order = letters.compare(key(a).textContent, key(b).textContent);
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
    sorted.set(table.id, `${heads[column].textContent}, ${way}`);
  }
  all("table.grid").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const first = head.dataset.first ?? "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        sort(table, column, head.ariaSort === first ? other : first);
        keep();
      });
    });
  });

  // The address holds what differs from the page as it was written.
  function keep() {
    const chosen = new URLSearchParams();
    boxes.filter((box) => !box.checked).forEach((box) => chosen.append("hide", box.name));
    selects.filter((select) => select.value).forEach((select) => chosen.set(select.name, select.value.slice(1)));
    sorted.forEach((order, id) => chosen.set(`sort-${id}`, order));
    const query = chosen.size ? `?${chosen}` : location.pathname;
    try { history.replaceState(null, "", query + location.hash); } catch {}
  }
  function restore() {
    const chosen = new URLSearchParams(location.search);
    const off = new Set(chosen.getAll("hide"));
    boxes.forEach((box) => { box.checked = !off.has(box.name); });
    selects.forEach((select) => {
      const value = `=${chosen.get(select.name)}`;
      if ([...select.options].some((option) => option.value === value)) select.value = value;
    });
    all("table.grid").forEach((table) => {
      const [, title, way] = /^(.*), (ascending|descending)$/.exec(chosen.get(`sort-${table.id}`) ?? "") ?? [];
      const column = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent === title);
      if (column >= 0) sort(table, column, way);
    });
  }
  if (location.search) restore();
  show();
})();
