"use strict";
// Texts of models and servers reach the page through textContent alone.
(() => {
  const PAGE = 100, CUT = 2000, EXCERPT = 110;
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const number = (value, digits) => (value == null ? "–" : value.toFixed(digits));

  function make(name, text, className) {
    const element = document.createElement(name);
    if (text != null) element.textContent = String(text).replaceAll("\0", "\uFFFD");
    if (className) element.className = className;
    return element;
  }

  // Tables that the page already holds: sort by the first number of a cell, else by its text.
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const rows = [...body.rows].map((row) => [key(row.cells[column].textContent), row]);
      rows.sort((a, b) => order(a[0], b[0], up));
      body.append(...rows.map(([, row]) => row));
      mark(heads, head, up);
    }));
  }
  function key(text) {
    const found = /^[<+]?(-?\d[\d,]*\.?\d*)/.exec(text.trim());
    return found ? Number(found[1].replaceAll(",", "")) : text.trim() === "–" ? null : text;
  }
  function order(a, b, up) { // unknown always comes last
    if (a == null || b == null) return (a == null) - (b == null);
    const sign = typeof a === "number" && typeof b === "number"
      ? a - b : String(a).localeCompare(String(b));
    return up ? sign : -sign;
  }
  function mark(heads, head, up) {
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }

  // One entry for each answer of each model.
  const base = data.models.indexOf(data.baseline);
  const entries = [];
  data.rows.forEach((row) => {
    row.label = data.repeats ? `${row.id} · ${row.repeat}` : row.id;
    row.answers.forEach((answer, model) => {
      if (answer) entries.push({row, answer, model, opened: null});
    });
  });
  const state = {sort: null, up: true, page: 0, shown: []};
  const scorer = () => Math.max($("scorer").selectedIndex, 0);
  const score = (entry) => entry.answer.v[scorer()];

  function turn(entry) { // -1: right → wrong, 1: wrong → right, 0: neither
    const other = entry.row.answers[base];
    if (!data.yesNo[scorer()] || !other || entry.model === base) return 0;
    const before = other.v[scorer()], after = score(entry);
    return before == null || after == null ? 0 : Math.sign(after - before);
  }

  const COLUMNS = [
    {name: "row", value: (e) => e.row.label},
    {name: "model", value: (e) => e.model, show: (e) => data.models[e.model]},
    {name: "status", value: (e) => e.answer.s},
    {name: "score", value: score, show: (e) => told(score(e)), number: true},
    {name: "against the baseline", value: turn},
    {name: "seconds", value: (e) => e.answer.l ?? null, show: (e) => number(e.answer.l, 3), number: true},
    {name: "USD", value: (e) => e.answer.c ?? null, show: (e) => number(e.answer.c, 6), number: true},
    {name: "prompt", value: (e) => e.row.prompt},
  ];
  function told(value) {
    if (value == null) return "–";
    return data.yesNo[scorer()] ? (value ? "right" : "wrong") : value.toFixed(2);
  }

  function choices(select, values, everything) {
    if (everything) select.append(new Option(everything, ""));
    for (const value of values) select.append(new Option(value, value));
  }
  choices($("scorer"), data.scorers);
  choices($("model"), data.models, "all");
  choices($("status"), [...new Set(entries.map((e) => e.answer.s))].sort(), "all");
  const tags = data.rows.flatMap((row) => Object.entries(row.tags).map((tag) => tag.join(": ")));
  choices($("tag"), [...new Set(tags)].sort(), "all");

  const heads = COLUMNS.map((column) => {
    const head = make("th", null, column.number ? "number" : ""), button = make("button", column.name);
    head.scope = "col";
    button.type = "button";
    head.append(button);
    button.addEventListener("click", () => {
      state.up = state.sort === column ? !state.up : true;
      state.sort = column;
      update();
    });
    return head;
  });
  $("rows").tHead.rows[0].append(...heads);

  function wanted(entry, needle) {
    const status = $("status").value, tag = $("tag").value, model = $("model").value;
    if (model && data.models[entry.model] !== model) return false;
    if (status && entry.answer.s !== status) return false;
    if (tag && !Object.entries(entry.row.tags).some((pair) => pair.join(": ") === tag)) return false;
    if ($("flips").checked && !turn(entry)) return false;
    return !needle || [entry.row.id, entry.row.prompt, entry.answer.t ?? ""].some(
      (text) => text.toLowerCase().includes(needle));
  }

  function update() {
    const needle = $("text").value.trim().toLowerCase();
    state.shown = entries.filter((entry) => wanted(entry, needle));
    const sort = state.sort ?? ($("flips").checked ? COLUMNS[4] : null);
    if (sort) {
      const keyed = state.shown.map((entry) => [sort.value(entry), entry]);
      state.shown = keyed.sort((a, b) => order(a[0], b[0], state.up)).map(([, entry]) => entry);
      mark(heads, heads[COLUMNS.indexOf(sort)], state.up);
    } else for (const head of heads) head.removeAttribute("aria-sort");
    state.page = 0;
    draw();
  }

  function draw() {
    const from = state.page * PAGE, pages = Math.max(Math.ceil(state.shown.length / PAGE), 1);
    const rows = state.shown.slice(from, from + PAGE).flatMap(drawn);
    $("rows").tBodies[0].replaceChildren(...rows);
    const lost = data.leftOut ? ` ${data.leftOut} more rows are in predictions.parquet.` : "";
    $("count").textContent = `${state.shown.length} of ${entries.length} answers.${lost}`;
    $("page").textContent = `Page ${state.page + 1} of ${pages}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page + 1 >= pages;
  }

  function drawn(entry) {
    const row = make("tr"), flips = $("flips").checked;
    for (const column of COLUMNS) row.append(cell(entry, column));
    const open = entry.opened ?? flips;
    toggleOf(row).setAttribute("aria-expanded", open);
    toggleOf(row).addEventListener("click", () => {
      entry.opened = toggleOf(row).getAttribute("aria-expanded") !== "true";
      toggleOf(row).setAttribute("aria-expanded", entry.opened);
      if (entry.opened) row.after(detail(entry));
      else row.nextElementSibling.remove();
      row.classList.toggle("open", entry.opened);
    });
    row.classList.toggle("open", open);
    return open ? [row, detail(entry)] : [row];
  }
  const toggleOf = (row) => row.cells[0].firstElementChild;

  function cell(entry, column) {
    if (column.name === "row") {
      const head = make("th"), button = make("button", entry.row.label);
      head.scope = "row";
      button.type = "button";
      button.title = "Show the answers side by side";
      button.dir = "auto";
      head.append(button);
      return head;
    }
    if (column.name === "against the baseline") return turned(turn(entry));
    if (column.name === "prompt") return textual(make("td", excerpt(entry.row.prompt), "prompt"));
    const text = (column.show ?? column.value)(entry);
    return make("td", text, column.number ? "number" : "");
  }
  function turned(sign) {
    const one = make("td");
    if (sign) one.append(make("span", sign < 0 ? "right → wrong" : "wrong → right",
      sign < 0 ? "mark bad" : "mark good"));
    return one;
  }
  function textual(element) { element.dir = "auto"; return element; }
  const excerpt = (text) => (text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text);

  function detail(entry) {
    const row = make("tr", null, "detail"), one = make("td"), sides = make("div", null, "sides");
    one.colSpan = COLUMNS.length;
    const prompt = make("div", null, "side");
    prompt.append(make("h3", "Prompt"), ...whole(entry.row.prompt));
    const models = $("flips").checked && entry.model !== base
      ? [base, entry.model]
      : [base, ...data.models.keys()].filter((m, i, all) => all.indexOf(m) === i);
    sides.append(...models.filter((m) => entry.row.answers[m]).map((m) => side(entry.row, m)));
    one.append(prompt, sides);
    row.append(one);
    return row;
  }

  function side(row, model) {
    const answer = row.answers[model], value = answer.v[scorer()], note = answer.n?.[scorer()];
    const box = make("section", null, "side"), yesNo = data.yesNo[scorer()] && value != null;
    if (yesNo) box.classList.add(value ? "right" : "wrong");
    const title = make("h3", data.models[model] + (model === base ? " (baseline) " : " "));
    title.append(make("span", told(value), yesNo ? `mark ${value ? "good" : "bad"}` : "mark"));
    box.append(title);
    if (answer.t != null) box.append(...whole(answer.t));
    if (answer.e) box.append(textual(make("p", `${answer.s}: ${answer.e}`, "quiet")));
    if (note) box.append(textual(make("p", `${data.scorers[scorer()]}: ${note}`, "quiet")));
    return box;
  }

  function whole(text) { // cut, with a button to see all
    const shown = textual(make("div", text.slice(0, CUT), "text"));
    shown.tabIndex = 0;
    if (text.length <= CUT) return [shown];
    const more = make("button", `Show all ${text.length.toLocaleString("en")} characters`);
    more.type = "button";
    more.addEventListener("click", () => {
      shown.textContent = text.replaceAll("\0", "\uFFFD");
      more.remove();
    });
    return [shown, more];
  }

  function afresh() {
    for (const entry of entries) entry.opened = null;
    update();
  }
  for (const id of ["scorer", "model", "status", "tag", "flips"]) $(id).addEventListener("change", afresh);
  $("text").addEventListener("input", update);
  $("clear").addEventListener("click", () => {
    for (const id of ["model", "status", "tag", "text"]) $(id).value = "";
    $("flips").checked = false;
    state.sort = null;
    state.up = true;
    afresh();
  });
  $("previous").addEventListener("click", () => { state.page -= 1; draw(); });
  $("next").addEventListener("click", () => { state.page += 1; draw(); });
  for (const button of document.querySelectorAll("[data-flips]")) button.addEventListener("click", () => {
    for (const id of ["status", "tag", "text"]) $(id).value = "";
    $("scorer").value = button.dataset.scorer;
    $("model").value = button.dataset.model;
    $("flips").checked = true;
    state.sort = null;
    state.up = true;
    afresh();
    $("rows-title").focus();
  });
  update();
})();
