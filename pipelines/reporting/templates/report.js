"use strict";
(function () {
  function value(row, column, kind) {
    const cell = row.cells[column];
    return kind === "number" ? Number(cell.dataset.value) : cell.textContent.trim();
  }

  function sort(table, header, kind) {
    const column = header.cellIndex;
    const first = kind === "number" ? "descending" : "ascending";
    const other = first === "descending" ? "ascending" : "descending";
    const order = header.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const compare = kind === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => sign * compare(value(a, column, kind), value(b, column, kind)));
    table.tBodies[0].append(...rows);
    table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", order);
  }

  function makeSortable(table) {
    for (const header of table.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sort(table, header, header.dataset.sort));
      header.append(button);
    }
  }

  function makeFilter(controls) {
    const table = document.getElementById(controls.dataset.filter);
    const search = controls.querySelector("input");
    const select = controls.querySelector("select");
    const status = controls.querySelector("[role=status]");
    const rows = Array.from(table.tBodies[0].rows);
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

    function filter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const fits = !select.value || row.dataset[select.dataset.key] === select.value;
        row.hidden = !(fits && words.every((word) => texts.get(row).includes(word)));
        shown += row.hidden ? 0 : 1;
      }
      const all = rows.length.toLocaleString("en");
      status.textContent = (shown === rows.length ? "" : shown.toLocaleString("en") + " of ") + all + " " + controls.dataset.what;
    }

    search.addEventListener("input", filter);
    select.addEventListener("change", filter);
    controls.hidden = false;
  }

  // On a phone a row becomes a card, and each of its cells needs the name of its column.
  function columnNames(table) {
    const grid = [];
    Array.from(table.tHead.rows).forEach((row, top) => {
      let column = 0;
      for (const cell of row.cells) {
        while ((grid[column] || [])[top]) column += 1;
        for (let across = 0; across < cell.colSpan; across += 1, column += 1) {
          grid[column] = grid[column] || [];
          for (let down = 0; down < cell.rowSpan; down += 1) grid[column][top + down] = down ? " " : cell.textContent;
        }
      }
    });
    return grid.map((names) => names.map((name) => name.trim()).filter(Boolean).join(": "));
  }

  function makeCards(table) {
    const names = columnNames(table);
    const roles = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TFOOT: "rowgroup", TR: "row", TD: "cell" };
    for (const row of table.querySelectorAll("tbody tr, tfoot tr")) {
      Array.from(row.cells).forEach((cell, index) => {
        if (cell.tagName === "TD") cell.dataset.label = names[names.length - row.cells.length + index];
      });
    }
    for (const part of [table, ...table.querySelectorAll("thead, tbody, tfoot, tr, td, th")]) {
      part.setAttribute("role", roles[part.tagName] || (part.scope.startsWith("row") ? "rowheader" : "columnheader"));
    }
    table.classList.add("as-cards");
  }

  const tabs = Array.from(document.querySelectorAll("[role=tab]"));
  const links = Array.from(document.querySelectorAll(".sections a"));

  function show(name) {
    for (const tab of tabs) {
      const chosen = tab.id === "tab-" + name;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    document.querySelectorAll("[data-panel]").forEach((list) => { list.hidden = list.dataset.panel !== name; });
    document.body.classList.toggle("whole", document.querySelector(`[data-panel=${name}]`).children.length === 1);
  }

  function follow() {
    const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    const panel = target && target.closest(".panel");
    if (panel) {
      show(panel.id.replace("panel-", ""));
      target.scrollIntoView();
    }
  }

  function makeTabs() {
    for (const [index, tab] of tabs.entries()) {
      tab.addEventListener("click", () => { show(tab.id.replace("tab-", "")); scrollTo(0, 0); });
      tab.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) {
          const next = tabs[(index + step + tabs.length) % tabs.length];
          next.click();
          next.focus();
        }
      });
    }
    document.querySelectorAll(".panel").forEach((panel) => { panel.setAttribute("role", "tabpanel"); });
    tabs[0].parentElement.hidden = false;
    show("now");
    window.addEventListener("hashchange", follow);
    follow();
  }

  function markSection() {
    const passed = links.filter((link) => {
      const section = document.getElementById(link.hash.slice(1));
      return section.checkVisibility() && section.getBoundingClientRect().top < innerHeight / 3;
    });
    links.forEach((link) => { link.toggleAttribute("aria-current", link === passed[passed.length - 1]); });
  }

  document.querySelectorAll(".scroll > table:not(.stack)").forEach(makeCards);
  if (tabs.length) makeTabs();
  markSection();
  window.addEventListener("scroll", markSection, { passive: true });
  document.querySelectorAll("table.sortable").forEach(makeSortable);
  document.querySelectorAll("[data-filter]").forEach(makeFilter);
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details.print").forEach((part) => { part.open = true; });
  });
})();
