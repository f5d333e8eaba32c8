// The viewer: joins map, list and cell, keys and address.

import { Cells } from "./cells.mjs";
import { listFacts, makeClassSwatch, makeFeatures, makeNeighbours, makePrediction } from "./details.mjs";
import { byId, make } from "./elements.mjs";
import { CellMap, listColourings } from "./map.mjs";
import { MARKS, Marks } from "./marks.mjs";
import { ONLY, START, formatState, parseState, passes } from "./state.mjs";
import { SweepPlots, analyseSweeps } from "./sweeps.mjs";

const ROW_HEIGHT = 32;
// Rows above and below those in sight, so that scrolling shows no gap.
const SPARE_ROWS = 6;
const SIGNS = { "wrong label": "≠", exclude: "✕", "look again": "?" };
const KEYS = [
  ["↓ → and ↑ ←", "next and previous cell of the list"],
  ["Home, End", "first and last cell of the list"],
  ["/", "search"],
  ["w, x, l", "mark: wrong label, exclude, look again (again: no mark)"],
  ["n", "write a note"],
  ["e", "export marks as CSV"],
  ["+ − 0", "zoom in, zoom out, whole sweep"],
  ["[ ]", "earlier and later time"],
  [", .", "move the cursor in the sweeps"],
  ["?", "these keys"],
  ["Esc", "leave a field, close this"],
];

class Viewer {
  constructor() {
    const facts = JSON.parse(byId("facts").textContent);
    this.cells = new Cells(facts, findBlock);
    this.marks = new Marks(facts.key, () => window.localStorage);
    this.colourings = listColourings(this.cells, this.marks);
    this.map = new CellMap(byId("map"), this.cells, (id) => this.change({ cell: id }));
    this.plots = new SweepPlots((from, to) => this.change({ from, to }));
    this.state = parseState(location.hash);
    this.direction = 1;
  }

  start() {
    this.describePage();
    this.fillControls();
    this.listen();
    this.refresh();
    performance.mark("first-picture");
  }

  describePage() {
    const { facts, list } = this.cells;
    const run = facts.run ? ` Predictions of ${facts.run}.` : "";
    const sweeps = list.filter((cell) => cell.sweeps).length;
    byId("summary").textContent = `${list.length} of ${facts.total} cells, ${sweeps} with sweeps.${run} Made by ${facts.command} (version ${facts.version}).`;
    byId("map-words").textContent = facts.map;
    if (facts.pages.length > 1) {
      const links = facts.pages.map((name, page) => make("a", { href: encodeURIComponent(name), "aria-current": page === facts.page ? "page" : undefined }, `page ${page + 1}`));
      byId("pages").replaceChildren(...links);
      byId("pages").hidden = false;
    }
    byId("keys").replaceChildren(
      make("h2", {}, "Keys"),
      make("dl", { class: "facts" }, ...KEYS.flatMap(([key, words]) => [make("dt", {}, key), make("dd", {}, words)])),
      make("form", { method: "dialog" }, make("button", {}, "close")),
    );
  }

  fillControls() {
    const options = (id, pairs) => byId(id).replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));
    const words = (name) => [["", "all"], ...this.cells.words(name).map((word) => [word, word])];
    options("colour", Object.entries(this.colourings).map(([name, { label }]) => [name, label]));
    options("class", words("class"));
    options("set", words("setName"));
    options("status", words("status"));
    options("only", Object.entries(ONLY).map(([name, [text]]) => [name, text]));
  }

  listen() {
    for (const name of ["colour", "class", "set", "status", "only"]) {
      byId(name).addEventListener("change", (event) => this.change({ [name]: event.target.value }));
    }
    byId("search").addEventListener("input", (event) => this.change({ q: event.target.value }));
    byId("export").addEventListener("click", () => this.exportMarks());
    byId("help").addEventListener("click", () => byId("keys").showModal());
    byId("list").addEventListener("scroll", () => this.drawRows());
    byId("rows").addEventListener("click", (event) => {
      const row = event.target.closest("[data-row]");
      if (row) this.change({ cell: this.shown[Number(row.dataset.row)].id });
    });
    document.addEventListener("keydown", (event) => this.press(event));
    window.addEventListener("hashchange", () => {
      if (location.hash.slice(1) === formatState(this.state)) return;
      this.state = parseState(location.hash);
      this.refresh();
    });
    window.addEventListener("storage", () => {
      this.marks.reload();
      this.refresh();
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth !== width) this.redraw();
      width = window.innerWidth;
    });
  }

  // Change what is shown; the address follows.
  change(changes) {
    this.state = { ...this.state, ...changes };
    const text = formatState(this.state);
    if (location.hash.slice(1) !== text) location.replace(`#${text}`);
    this.refresh(changes);
  }

  refresh(changes = START) {
    const isOnly = (...names) => Object.keys(changes).every((name) => names.includes(name));
    if (isOnly("from", "to")) {
      this.plots.draw(this.state.from, this.state.to);
      return;
    }
    // Another cell changes neither the list nor the points of the map.
    if (!isOnly("cell")) this.filter();
    this.chooseCell();
    if (!isOnly("cell")) this.drawMap();
    this.map.ring(this.cell);
    this.drawList();
    this.describeMarks();
    this.showCell();
  }

  filter() {
    this.shown = this.cells.list.filter((cell) => passes(cell, this.state, this.marks));
    if (!(this.state.colour in this.colourings)) this.state.colour = START.colour;
    for (const name of ["colour", "class", "set", "status", "only"]) byId(name).value = this.state[name];
    if (byId("search").value !== this.state.q) byId("search").value = this.state.q;
  }

  chooseCell() {
    const start = this.shown.find((cell) => cell.sweeps) ?? this.shown[0] ?? this.cells.list[0];
    this.cell = this.cells.get(this.state.cell) ?? start;
  }

  redraw() {
    this.drawMap();
    this.map.ring(this.cell);
    this.drawList();
    this.plots.draw(this.state.from, this.state.to);
  }

  drawMap() {
    this.map.draw(this.colourings[this.state.colour], this.shown);
    byId("legend").replaceChildren(...this.map.legend());
  }

  drawList() {
    const at = this.shown.indexOf(this.cell);
    byId("count").textContent = `${this.shown.length} of ${this.cells.list.length} cells in the list${at < 0 ? "; the chosen cell is not among them" : ""}`;
    byId("rows").style.height = `${this.shown.length * ROW_HEIGHT}px`;
    const list = byId("list");
    const top = at * ROW_HEIGHT;
    if (at >= 0 && (top < list.scrollTop || top + ROW_HEIGHT > list.scrollTop + list.clientHeight)) {
      list.scrollTop = top - list.clientHeight / 2;
    }
    this.drawRows();
  }

  // Only the rows in sight are elements: thousands would be slow.
  drawRows() {
    const list = byId("list");
    const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
    const last = Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + SPARE_ROWS;
    const rows = this.shown.slice(first, last).map((cell, i) => this.makeRow(cell, first + i));
    byId("rows").replaceChildren(...rows);
    const at = this.shown.indexOf(this.cell);
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", `row-${at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  makeRow(cell, at) {
    const isChosen = cell === this.cell;
    const mark = this.marks.get(cell.id);
    const sign = mark.mark ? make("span", { class: "sign", title: mark.mark }, SIGNS[mark.mark]) : mark.note ? make("span", { class: "sign", title: "has a note" }, "✎") : null;
    const words = [cell.class || "no class", cell.isRight === false && `not ${cell.prediction}`, cell.status !== "ok" && cell.status].filter(Boolean).join(", ");
    const row = make("div", { role: "option", id: `row-${at}`, "data-row": at, "aria-selected": String(isChosen), "aria-setsize": this.shown.length, "aria-posinset": at + 1 }, makeClassSwatch(cell.class), make("span", { class: "id" }, cell.id), make("span", { class: "faint" }, words), sign);
    row.style.top = `${at * ROW_HEIGHT}px`;
    return row;
  }

  describeMarks() {
    byId("marked").textContent = `${this.marks.size} marked`;
    byId("warning").hidden = this.marks.isKept;
    byId("warning").textContent = this.marks.isKept ? "" : "This browser keeps no marks for pages from the disk: export them before you close the page.";
  }

  async showCell() {
    const cell = this.cell;
    if (!cell) return;
    const start = performance.now();
    const sweeps = cell === this.drawn ? undefined : await this.analyse(cell);
    // The user may have gone on to another cell in the meantime.
    if (cell !== this.cell) return;
    this.fillCell(cell);
    if (sweeps) this.plots.show(sweeps, cell.amplitudes);
    if (cell.sweeps) this.plots.draw(this.state.from, this.state.to);
    this.drawn = cell;
    document.body.dataset.cell = cell.id;
    performance.measure("cell", { start, end: performance.now() });
    // Safari has no such callback.
    (window.requestIdleCallback ?? setTimeout)(() => this.prepareNext(cell));
  }

  // Return the sweeps of a cell with their scalograms, which may have been computed ahead.
  async analyse(cell) {
    if (this.ahead?.cell === cell) return this.ahead.analysed;
    const traces = await this.cells.sweeps(cell);
    return traces && analyseSweeps(traces);
  }

  // While the user looks at a cell, compute the one that the arrow key will show.
  async prepareNext(cell) {
    const next = this.shown[this.shown.indexOf(cell) + this.direction];
    if (cell !== this.cell || !next || this.ahead?.cell === next) return;
    const analysed = await this.analyse(next);
    this.ahead = { cell: next, analysed };
  }

  fillCell(cell) {
    const step = (text, by) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => this.walk(by));
      return button;
    };
    const sweeps = cell.sweeps ? this.makeSweeps() : make("p", {}, cell.status === "ok" ? "No sweeps of this cell are kept here." : `No sweeps: ${cell.reason || cell.status}.`);
    const parts = [
      make("div", { class: "controls" }, step("‹ previous", -1), step("next ›", 1)),
      make("h2", { id: "name" }, cell.id),
      listFacts(cell),
      this.makeMarks(cell),
      sweeps,
      makePrediction(cell),
      makeNeighbours(this.cells, cell, this.state),
      makeFeatures(this.cells, cell),
    ];
    byId("cell").replaceChildren(...parts.filter(Boolean));
  }

  makeSweeps() {
    const button = (text, label, press) => {
      const element = make("button", { type: "button", "aria-label": label }, text);
      element.addEventListener("click", press);
      return element;
    };
    const controls = make(
      "div",
      { class: "controls" },
      button("+", "zoom in", () => this.plots.zoomBy(0.5)),
      button("−", "zoom out", () => this.plots.zoomBy(2)),
      button("‹", "earlier", () => this.plots.pan(-0.5)),
      button("›", "later", () => this.plots.pan(0.5)),
      button("whole sweep", "whole sweep", () => this.change({ from: START.from, to: START.to })),
      make("span", { class: "faint" }, "Drag over a plot to zoom. Triangles: spikes. Red and blue: positive and negative coefficients."),
    );
    return make("section", { "aria-label": "sweeps and scalograms" }, controls, this.plots.element);
  }

  makeMarks(cell) {
    const { mark, note } = this.marks.get(cell.id);
    const buttons = Object.entries(MARKS).map(([name, key]) => {
      const button = make("button", { type: "button", "aria-pressed": String(mark === name), "data-mark": name }, `${SIGNS[name]} ${name} (${key})`);
      button.addEventListener("click", () => this.mark(name));
      return button;
    });
    const field = make("textarea", { id: "note", rows: 1, placeholder: "note (n)", "aria-label": "note", maxlength: 500 });
    field.value = note;
    field.addEventListener("change", () => this.setMark(cell.id, { note: field.value.trim() }));
    return make("div", { class: "controls", role: "group", "aria-label": "mark this cell" }, ...buttons, field);
  }

  // Give the chosen cell a mark, or take it away.
  mark(name) {
    const now = this.marks.get(this.cell.id).mark;
    this.setMark(this.cell.id, { mark: now === name ? "" : name });
  }

  setMark(id, change) {
    this.marks.set(id, change);
    const { mark, note } = this.marks.get(id);
    for (const button of document.querySelectorAll("[data-mark]")) {
      if (id === this.cell.id) button.setAttribute("aria-pressed", String(button.dataset.mark === mark));
    }
    if (id === this.cell.id && byId("note")) byId("note").value = note;
    this.describeMarks();
    if (this.state.only === "marked") this.filter();
    this.drawList();
    this.drawMap();
    this.map.ring(this.cell);
  }

  exportMarks() {
    const link = make("a", { href: URL.createObjectURL(new Blob([this.marks.csv()], { type: "text/csv" })), download: "marks.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  walk(by) {
    this.direction = by;
    const at = this.shown.indexOf(this.cell);
    this.goTo(at < 0 ? 0 : at + by);
  }

  goTo(at) {
    const cell = this.shown[Math.min(Math.max(at, 0), this.shown.length - 1)];
    if (cell && cell !== this.cell) this.change({ cell: cell.id });
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
    const field = event.target.closest("input, textarea, select");
    if (field) {
      this.pressInField(event, field);
      return;
    }
    const action = this.actions()[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  pressInField(event, field) {
    if (event.key === "Escape") field.blur();
    else if (field.id === "search" && ["Enter", "ArrowDown"].includes(event.key)) {
      event.preventDefault();
      byId("list").focus();
      this.goTo(0);
    }
  }

  actions() {
    const marks = Object.entries(MARKS).map(([name, key]) => [key, () => this.mark(name)]);
    return {
      ArrowDown: () => this.walk(1),
      ArrowRight: () => this.walk(1),
      ArrowUp: () => this.walk(-1),
      ArrowLeft: () => this.walk(-1),
      Home: () => this.goTo(0),
      End: () => this.goTo(this.shown.length - 1),
      "/": () => byId("search").focus(),
      "?": () => byId("keys").showModal(),
      n: () => byId("note")?.focus(),
      e: () => this.exportMarks(),
      "+": () => this.plots.zoomBy(0.5),
      "-": () => this.plots.zoomBy(2),
      0: () => this.change({ from: START.from, to: START.to }),
      "[": () => this.plots.pan(-0.5),
      "]": () => this.plots.pan(0.5),
      ",": () => this.plots.stepCursor(-0.01),
      ".": () => this.plots.stepCursor(0.01),
      ...Object.fromEntries(marks),
    };
  }
}

// The script stands before the sweeps, so that the map is there while the browser still reads them.
async function findBlock(number) {
  if (document.readyState === "loading") {
    await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));
  }
  return byId(`sweeps-${number}`).textContent;
}

new Viewer().start();
