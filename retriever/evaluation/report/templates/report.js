"use strict";
// The page can be read without this: it adds sorting, and the choice of which two configurations are compared.
(() => {
  const MOST = 50;

  function valueOf(row, column) {
    const cell = row.cells[column];
    if (!cell) return "";
    const exact = cell.dataset.value;
    if (exact === undefined) return cell.textContent.trim().toLowerCase();
    return exact === "" ? null : exact === "inf" ? Infinity : Number(exact);
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b));
  }

  function sort(table, head) {
    const column = head.cellIndex;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, place) => ({ row, place, value: valueOf(row, column) }));
    const isNumber = rows.some(({ value }) => typeof value === "number");
    const current = head.getAttribute("aria-sort");
    const direction = current === null ? (isNumber && column > 0 ? "descending" : "ascending")
      : current === "ascending" ? "descending" : "ascending";
    const sign = direction === "ascending" ? 1 : -1;
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
      return sign * compare(a.value, b.value) || a.place - b.place;
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
    body.append(...rows.map(({ row }) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      if ("unsorted" in head.dataset) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
  }

  function cell(row, name, text, value) {
    const made = document.createElement(name);
    made.textContent = text;  // never as markup: queries and documents are foreign text
    if (name === "th") made.scope = "row";
    if (value !== undefined) {
      made.className = "number";
      made.dataset.value = String(value);
    }
    row.append(made);
    return made;
  }

  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);

  function lookAt(asked, a, b) {
    const failed = a.gold ? a : b;
    if (failed.gold) return failed.gold + (failed.page ? ", " + failed.page : "");
    return asked.relevant.join(", ") + (asked.more ? ` and ${asked.more} more` : "");
  }

  function fill(body, data, first, second) {
    const pairs = data.asked.map((asked, i) => ({ asked, a: data.fates[first][i], b: data.fates[second][i] }))
      .filter(({ a, b }) => a.value !== b.value)
      .sort((x, y) => Math.abs(y.b.value - y.a.value) - Math.abs(x.b.value - x.a.value));
    body.replaceChildren(...pairs.slice(0, MOST).map(({ asked, a, b }) => {
      const row = document.createElement("tr");
      const head = cell(row, "th", asked.text + " ");
      const id = document.createElement("span");
      id.className = "dim";
      id.textContent = asked.id;
      head.append(id);
      cell(row, "td", a.value.toFixed(3), a.value);
      cell(row, "td", b.value.toFixed(3), b.value);
      cell(row, "td", signed(b.value - a.value), b.value - a.value);
      cell(row, "td", data.reasons[a.reason]);
      cell(row, "td", data.reasons[b.reason]);
      cell(row, "td", lookAt(asked, a, b));
      return row;
    }));
    if (!pairs.length) {
      const row = document.createElement("tr");
      cell(row, "td", "The two answer every one of these queries equally well.").colSpan = 7;
      body.append(row);
    }
  }

  for (const part of document.querySelectorAll(".by-query")) {
    const data = JSON.parse(part.querySelector("script.queries").textContent);
    const body = part.querySelector("tbody");
    const choices = ["a", "b"].map((side) => {
      const select = document.createElement("select");
      select.setAttribute("aria-label", side.toUpperCase());
      data.order.forEach((id, place) => {
        const option = new Option(`${place + 1}. ${data.labels[id]}`, id, id === data[side], id === data[side]);
        select.append(option);
      });
      part.querySelector("." + side).replaceChildren(select);
      return select;
    });
    for (const select of choices) {
      select.addEventListener("change", () => {
        for (const head of part.querySelectorAll("th[aria-sort]")) head.removeAttribute("aria-sort");
        fill(body, data, choices[0].value, choices[1].value);
      });
    }
  }
})();
