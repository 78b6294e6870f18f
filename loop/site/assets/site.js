"use strict";
// What every page has: `/` goes to the search field, Escape leaves it, lists can be narrowed, tables sorted.
document.addEventListener("keydown", event => {
  const field = document.querySelector("input[type=search]");
  const typing = /^(input|select|textarea)$/i.test(event.target.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && field) {
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "Escape" && typing) {
    event.target.blur();
  }
});

for (const field of document.querySelectorAll("input[data-narrows]")) {
  const rows = [...document.querySelectorAll(field.dataset.narrows)];
  const said = document.getElementById(field.getAttribute("aria-describedby"));
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += !row.hidden;
    }
    if (said) said.textContent = wanted ? `${shown} of ${rows.length}` : "";
  });
}

for (const table of document.querySelectorAll("table.sorts")) {
  const body = table.tBodies[0];
  table.tHead.querySelectorAll("th").forEach((head, at) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = row => row.cells[at].dataset.v ?? row.cells[at].textContent;
      const number = text => (text === "" ? -Infinity : Number(text));
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        const numbers = number(x) - number(y);
        return Number.isNaN(numbers) ? x.localeCompare(y) : numbers;
      };
      [...body.rows].sort((a, b) => (up ? 1 : -1) * compare(a, b)).forEach(row => body.append(row));
    });
  });
}
