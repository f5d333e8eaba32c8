// What is known of one cell: identity, prediction, features beside those of the classes, neighbours.

import { CLASS_COLOURS, SHAPES, UNKNOWN_COLOUR } from "./colours.mjs";
import { make, makeSvg, makeSwatch, percent, readable } from "./elements.mjs";
import { formatState } from "./state.mjs";

const STRIP_WIDTH = 220;
const LINE_HEIGHT = 6;
const JOINT = " > ";

export function makeClassSwatch(name) {
  const names = Object.keys(CLASS_COLOURS);
  const shape = SHAPES[Math.max(0, names.indexOf(name)) % SHAPES.length];
  return makeSwatch(CLASS_COLOURS[name] ?? UNKNOWN_COLOUR, shape);
}

export function listFacts(cell) {
  const unlike = cell.answer?.unlike;
  const rows = [
    ["class", cell.class || "not known"],
    ["data set", cell.setName || "not known"],
    ["donor", cell.donor],
    ["status", [cell.status, cell.reason].filter(Boolean).join(": ")],
    ["prediction", cell.prediction && `${cell.prediction} (${percent(cell.probability)})`],
    ["correct", cell.isRight === undefined ? "" : cell.isRight ? "yes" : "no"],
    ["unlike training cells", unlike === undefined ? "" : unlike ? "yes: do not trust the prediction" : "no"],
    ["notes", (cell.notes ?? []).join("; ")],
  ];
  const known = rows.filter(([, text]) => text);
  return make("dl", { class: "facts" }, ...known.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
}

// Return the probabilities on the tree of types; members of the prediction set are marked.
export function makePrediction(cell) {
  const answer = cell.answer;
  if (!answer) return undefined;
  const parts = [];
  if (answer.probabilities) parts.push(makeTree(answer));
  if (answer.levels) parts.push(makeLevels(answer.levels));
  if (answer.possible) parts.push(make("p", {}, `Prediction set: ${answer.possible.join(", ") || "empty, the cell is unusual in every class"}.`));
  if (answer.reasons) parts.push(make("h3", {}, "Reasons"), make("ol", {}, ...answer.reasons.map((reason) => make("li", {}, reason))));
  return parts.length ? make("section", {}, make("h2", {}, "Prediction"), ...parts) : undefined;
}

// A class that is no path is placed on the tree: all but the excitatory cells are inhibitory.
export function pathOf(label) {
  if (label.includes(JOINT)) return label.split(JOINT);
  return label in CLASS_COLOURS && label !== "Excitatory" ? ["Inhibitory", label] : [label];
}

// Return the nodes of a tree as [path, probability], a parent before its children.
export function sumTree(probabilities) {
  const sums = new Map();
  for (const [label, probability] of Object.entries(probabilities)) {
    const path = pathOf(label);
    path.forEach((_, depth) => {
      const node = path.slice(0, depth + 1).join(JOINT);
      sums.set(node, (sums.get(node) ?? 0) + (probability ?? 0));
    });
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
}

function makeTree({ probabilities, possible }) {
  const inSet = new Set((possible ?? []).map((label) => pathOf(label).join(JOINT)));
  const rows = sumTree(probabilities).map(([node, probability]) => {
    const path = node.split(JOINT);
    const name = path.at(-1);
    const bar = make("div", { class: "bar" });
    bar.style.width = `${100 * probability}%`;
    bar.style.background = CLASS_COLOURS[name] ?? UNKNOWN_COLOUR;
    const label = make("span", { class: "node" }, makeClassSwatch(name), ` ${name}`);
    label.style.paddingLeft = `${1.2 * (path.length - 1)}rem`;
    return make("li", {}, label, make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", { class: "number" }, percent(probability)), inSet.has(node) ? make("span", { class: "badge" }, "in the set") : null);
  });
  return make("ul", { class: "tree", "aria-label": "probabilities on the tree of types" }, ...rows);
}

function makeLevels(levels) {
  const head = ["level", "call", "probability", "given", "prediction set"];
  const rows = levels.map((level) => [level.level, level.call, percent(level.probability), level.is_given ? "yes" : "no", level.possible.join(", ") || "empty"]);
  return makeTable(head, rows, "The answer at each level of the tree of types.");
}

function makeTable(head, rows, caption) {
  return make(
    "div",
    { class: "wide", tabindex: 0 },
    make(
      "table",
      {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map(([first, ...rest]) => make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((value) => make("td", {}, value))))),
    ),
  );
}

export function makeNeighbours(cells, cell, state) {
  const near = cells.neighbours(cell);
  if (!near.length) return undefined;
  const links = near.map(([id, page]) => {
    const here = page === cells.facts.page;
    const target = `${here ? "" : encodeURIComponent(cells.facts.pages[page])}#${formatState({ ...state, cell: id })}`;
    const other = cells.get(id);
    const words = other ? ` ${[other.class, other.prediction && `predicted ${other.prediction}`].filter(Boolean).join(", ")}` : ` page ${page + 1}`;
    return make("li", {}, other ? makeClassSwatch(other.class) : null, " ", make("a", { href: target }, id), words);
  });
  return make("section", {}, make("h2", {}, "Nearest cells"), make("ol", { class: "near" }, ...links));
}

// Return every feature of the cell beside the quartiles of the classes.
export function makeFeatures(cells, cell) {
  const { names, units } = cells.facts.features;
  const classes = Object.entries(cells.facts.quartiles);
  const known = names.map((name, column) => [name, column]).filter(([, column]) => Number.isFinite(cells.feature(cell, column)));
  if (!known.length) return undefined;
  const rows = known.map(([name, column]) => {
    const value = cells.feature(cell, column);
    const quartiles = classes.map(([label, rows]) => [label, rows[column]]).filter(([, three]) => three[1] !== null);
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, `${readable(value)} ${units[column]}`), make("td", {}, makeStrip(value, quartiles)));
  });
  const legend = classes.map(([label]) => make("li", {}, makeClassSwatch(label), ` ${label}`));
  return make(
    "details",
    { open: true },
    make("summary", {}, make("h2", {}, `Features (${known.length} of ${names.length})`)),
    make("p", { class: "faint" }, "Bars: middle half of the cells of each class, with the median. Line: this cell."),
    make("ul", { class: "legend" }, ...legend),
    make("div", { class: "wide", tabindex: 0 }, make("table", { class: "features" }, make("tbody", {}, ...rows))),
  );
}

function makeStrip(value, quartiles) {
  const ends = [value, ...quartiles.flatMap(([, three]) => three)];
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const toX = (number) => 4 + (high > low ? (number - low) / (high - low) : 0.5) * (STRIP_WIDTH - 8);
  const words = quartiles.map(([label, [lower, middle, upper]]) => `${label} ${readable(lower)} to ${readable(upper)}, median ${readable(middle)}`);
  const height = LINE_HEIGHT * Math.max(1, quartiles.length) + 2;
  const svg = makeSvg("svg", { width: STRIP_WIDTH, height, role: "img", "aria-label": `${readable(value)}; ${words.join("; ")}` });
  quartiles.forEach(([label, [lower, middle, upper]], i) => {
    const fill = CLASS_COLOURS[label] ?? UNKNOWN_COLOUR;
    const y = 1 + LINE_HEIGHT * i;
    svg.append(makeSvg("rect", { x: toX(lower), y: y + 1, width: Math.max(1, toX(upper) - toX(lower)), height: LINE_HEIGHT - 2, fill, opacity: 0.7 }));
    svg.append(makeSvg("rect", { x: toX(middle) - 1, y, width: 2, height: LINE_HEIGHT, fill }));
  });
  svg.append(makeSvg("rect", { x: toX(value) - 0.75, y: 0, width: 1.5, height, class: "own" }));
  return svg;
}
