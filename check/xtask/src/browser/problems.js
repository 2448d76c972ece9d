// What is wrong with the page as it is shown now: a list of sentences. The body of a function.
const problems = [];
const all = (css) => [...document.querySelectorAll(css)];
const wrong = (is, what) => { if (is) problems.push(what); };
const printing = matchMedia("print").matches;
const name = (element) => element.id || element.textContent.trim().slice(0, 40);

// Nothing came from anywhere, and nothing of the results became part of the page.
for (const entry of performance.getEntriesByType("resource")) {
  wrong(!entry.name.startsWith("data:"), `it asked for ${entry.name}`);
}
wrong(window.hacked, "a string of the results was run as a script");
wrong(all("main img, main iframe, main script, main object").length, "a string of the results became an element");

// Pictures are there, each with its name and its description.
const charts = all("svg.chart").filter((chart) => chart.getClientRects().length);
wrong(!charts.length, "there is no picture");
const start = document.querySelector(".warnings, svg.chart");
if (!printing && start?.matches("svg")) {
  // The first screen is a picture, unless there is something to warn of.
  const box = charts[0].getBoundingClientRect();
  wrong(box.top + 0.6 * box.height > innerHeight, `the first picture begins at ${box.top} of ${innerHeight}`);
}
for (const chart of charts) {
  const box = chart.getBoundingClientRect();
  wrong(box.width < 200 || box.height < 80, `${chart.id} is ${box.width} by ${box.height} pixels`);
  const described = (chart.getAttribute("aria-labelledby") ?? "").split(" ");
  wrong(chart.getAttribute("role") !== "img", `${chart.id} has no role`);
  wrong(described.length !== 2 || described.some((id) => !document.getElementById(id)?.textContent),
    `${chart.id} has no title or no description`);
  wrong(!chart.closest("figure").querySelector("details table"), `${chart.id} has no table of its figures`);
  wrong(!chart.querySelector("g.lock"), `${chart.id} shows no lock`);
  const size = 13 * box.width / chart.viewBox.baseVal.width;
  wrong(!printing && size < 9, `${chart.id}: its writing is ${size.toFixed(1)} pixels high`);
  // What is cut off at the picture's edge cannot be read.
  const view = chart.viewBox.baseVal;
  for (const text of chart.querySelectorAll("text")) {
    if (text.closest(".heading") || !text.getClientRects().length) continue;
    const at = text.getBoundingClientRect();
    wrong(at.left < box.left - 1 || at.right > box.right + 1 || at.bottom > box.bottom + 1,
      `${chart.id}: "${text.textContent}" leaves the picture (${view.width} wide): `
      + `${(at.left - box.left).toFixed()} to ${(at.right - box.left).toFixed()} of ${box.width.toFixed()}, `
      + `ends at ${(at.bottom - box.top).toFixed()} of ${box.height.toFixed()}`);
  }
}

// Tables can be read without being seen.
for (const table of all("table")) {
  wrong(!table.caption?.textContent, "a table has no caption");
  for (const head of table.querySelectorAll("th")) {
    wrong(!head.hasAttribute("scope"), `the heading "${name(head)}" of a table has no scope`);
  }
}
for (const head of all("table.grid thead th")) {
  wrong(!head.hasAttribute("aria-sort"), `"${name(head)}" does not say how it is sorted`);
}

// Headings go down one by one; ids are there once; everything that can be used has a name.
let above = 0;
for (const heading of all("h1, h2, h3, h4")) {
  const level = Number(heading.tagName[1]);
  wrong(level > above + 1, `the heading "${name(heading)}" skips a level`);
  above = level;
}
const ids = all("[id]").map((element) => element.id);
wrong(new Set(ids).size !== ids.length, "an id is there twice");
for (const element of all("button, select, input, [role=region]")) {
  const label = element.getAttribute("aria-label") || element.labels?.[0]?.textContent.trim()
    || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent
    || element.textContent.trim();
  wrong(!label, `a ${element.tagName.toLowerCase()} has no name`);
}

// Nothing makes the page wider than it is, unless it can be scrolled by itself.
const width = document.documentElement.clientWidth;
wrong(document.documentElement.scrollWidth > width, `it is ${document.documentElement.scrollWidth} pixels wide, of ${width}`);
for (const element of all(printing ? "table, svg, dl" : "header, nav, svg.chart, .legend, .filters, p, dl")) {
  if (!element.getClientRects().length) continue;
  const box = element.getBoundingClientRect();
  wrong(box.right > width + 1, `${element.tagName.toLowerCase()} "${name(element)}" ends at ${box.right} of ${width}`);
}

// Writing stands out from its paper (WCAG 2.1, 1.4.3).
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[\d.]+/g).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = luminance(getComputedStyle(document.body).backgroundColor);
for (const element of all("h1, p, td, th, figcaption, dt, dd, svg.chart text, button:not([aria-pressed=true])")) {
  const style = getComputedStyle(element);
  const ink = luminance(element instanceof SVGElement ? style.fill : style.color);
  const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  if (contrast < 4.5) {
    problems.push(`"${name(element)}" has a contrast of ${contrast.toFixed(1)} to its paper`);
    break;
  }
}
return [...new Set(problems)];
