// The map of all cells: a point each, in the colour and shape of what the user chose.

import { CLASS_COLOURS, SHAPES, UNKNOWN_COLOUR, colourOfWord, shadeOf } from "./colours.mjs";
import { fitCanvas, make, makeSwatch, readTheme, readable } from "./elements.mjs";

const MARGIN = 14;
const RADIUS = 3.4;
// How far from a point a click may be, in pixels.
const REACH = 16;
const JUDGED_COLOURS = { right: "#0072B2", wrong: "#D55E00" };

// Return what points can be coloured by: words have colours of their own, numbers a scale.
export function listColourings(cells, marks) {
  const words = (label, read, given = {}) => ({ label, read, given, isNumber: false });
  const numbers = (label, read) => ({ label, read, isNumber: true });
  const found = {
    class: words("class", (cell) => cell.class, CLASS_COLOURS),
    set: words("data set", (cell) => cell.setName),
    prediction: words("prediction", (cell) => cell.prediction, CLASS_COLOURS),
    correct: words("correctness", (cell) => judge(cell), JUDGED_COLOURS),
    probability: numbers("probability of the prediction", (cell) => cell.probability),
    status: words("status", (cell) => cell.status),
    mark: words("mark", (cell) => marks.get(cell.id).mark),
  };
  cells.facts.features.names.forEach((name, column) => {
    const unit = cells.facts.features.units[column];
    const label = unit ? `${name} (${unit})` : name;
    found[name] = numbers(label, (cell) => cells.feature(cell, column));
  });
  return found;
}

function judge(cell) {
  return cell.isRight === undefined ? "" : cell.isRight ? "right" : "wrong";
}

export class CellMap {
  constructor(canvas, cells, choose) {
    this.canvas = canvas;
    this.cells = cells;
    this.placed = cells.list.filter((cell) => Number.isFinite(cell.x) && Number.isFinite(cell.y));
    canvas.addEventListener("click", (event) => {
      const cell = this.find(event.offsetX, event.offsetY);
      if (cell) choose(cell.id);
    });
    canvas.addEventListener("pointermove", (event) => {
      canvas.title = this.find(event.offsetX, event.offsetY)?.id ?? "";
    });
  }

  // Draw all points; `choose` then draws the ring, as often as another cell is chosen.
  draw(colouring, shown) {
    const height = Math.max(220, Math.min(this.canvas.clientWidth * 0.75, 380));
    const { context, width } = fitCanvas(this.canvas, height);
    const theme = readTheme();
    this.colouring = colouring;
    this.shown = new Set(shown);
    this.place(width, height);
    this.scale = makeScale(colouring, this.cells.list);
    for (const isShown of [false, true]) {
      for (const cell of this.placed) {
        if (this.shown.has(cell) === isShown) this.drawPoint(context, cell, isShown, theme);
      }
    }
    // In a window that is being hidden the map has no width for a moment.
    this.points = this.canvas.width ? context.getImageData(0, 0, this.canvas.width, this.canvas.height) : undefined;
  }

  ring(chosen) {
    if (!this.points) return;
    const context = this.canvas.getContext("2d");
    context.putImageData(this.points, 0, 0);
    if (chosen && this.places.has(chosen)) drawRing(context, this.places.get(chosen), readTheme());
    this.describe(chosen);
  }

  place(width, height) {
    const [xs, ys] = [this.placed.map((cell) => cell.x), this.placed.map((cell) => cell.y)];
    const toX = fitRange(xs, MARGIN, width - MARGIN);
    const toY = fitRange(ys, height - MARGIN, MARGIN);
    this.places = new Map(this.placed.map((cell) => [cell, [toX(cell.x), toY(cell.y)]]));
  }

  drawPoint(context, cell, isShown, theme) {
    const [x, y] = this.places.get(cell);
    const { colour, shape } = this.scale.look(cell);
    context.globalAlpha = isShown ? 0.9 : 0.16;
    context.fillStyle = isShown ? colour : theme.faint;
    tracePath(context, shape, x, y, RADIUS);
    context.fill();
    if (isShown) {
      // The dark end of a scale would vanish on a dark page, its bright end on a white one.
      context.strokeStyle = theme.faint;
      context.lineWidth = 0.6;
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  describe(chosen) {
    const missing = this.cells.list.length - this.placed.length;
    const where = missing ? `; ${missing} cells have no place on it` : "";
    const which = chosen ? `; the ring is at ${chosen.id}` : "";
    const text = `Map of ${this.placed.length} cells coloured by ${this.colouring.label}${where}${which}. The list below holds the same cells.`;
    this.canvas.setAttribute("aria-label", text);
  }

  find(x, y) {
    let nearest;
    let least = REACH ** 2;
    for (const [cell, [px, py]] of this.places ?? []) {
      const squared = (px - x) ** 2 + (py - y) ** 2;
      if (this.shown.has(cell) && squared < least) [nearest, least] = [cell, squared];
    }
    return nearest;
  }

  legend() {
    return this.scale.entries.map(({ colour, shape, text }) =>
      make("li", {}, makeSwatch(colour, shape), ` ${text}`),
    );
  }
}

function fitRange(values, from, to) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return (value) => (high > low ? from + ((value - low) / (high - low)) * (to - from) : (from + to) / 2);
}

// Return how each cell looks, and the entries of the legend.
function makeScale(colouring, list) {
  return colouring.isNumber ? makeNumberScale(colouring, list) : makeWordScale(colouring, list);
}

function makeWordScale({ read, given }, list) {
  const counts = new Map();
  for (const cell of list) counts.set(read(cell), (counts.get(read(cell)) ?? 0) + 1);
  const order = Object.keys(given);
  const rank = (word) => (order.includes(word) ? order.indexOf(word) : order.length);
  const words = [...counts.keys()].filter(Boolean).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const lookOf = (word) => ({
    colour: colourOfWord(word, words, given),
    shape: word ? SHAPES[words.indexOf(word) % SHAPES.length] : "circle",
  });
  const looks = new Map([...words, ""].map((word) => [word, lookOf(word)]));
  const listed = counts.has("") ? [...words, ""] : words;
  return {
    look: (cell) => looks.get(read(cell)),
    entries: listed.map((word) => ({ ...looks.get(word), text: `${word || "not known"} (${counts.get(word)})` })),
  };
}

function makeNumberScale({ read }, list) {
  const values = list.map(read).filter(Number.isFinite).sort((a, b) => a - b);
  // The ends of the scale leave out the outermost cells, whose colour is that of the ends.
  const at = (share) => values[Math.round(share * (values.length - 1))];
  const [low, high] = values.length ? [at(0.02), at(0.98)] : [0, 0];
  const unknown = { colour: UNKNOWN_COLOUR, shape: "diamond" };
  const share = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const entries = (values.length ? [0, 0.25, 0.5, 0.75, 1] : []).map((part) => ({
    colour: shadeOf(part),
    shape: "circle",
    text: readable(low + part * (high - low)),
  }));
  if (values.length < list.length) entries.push({ ...unknown, text: `no value (${list.length - values.length})` });
  return {
    look: (cell) => {
      const value = read(cell);
      return Number.isFinite(value) ? { colour: shadeOf(share(value)), shape: "circle" } : unknown;
    },
    entries,
  };
}

function tracePath(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "square") context.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
  else if (shape === "triangle") polygon(context, [[x, y - 1.2 * r], [x + 1.1 * r, y + 0.8 * r], [x - 1.1 * r, y + 0.8 * r]]);
  else if (shape === "diamond") polygon(context, [[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]]);
  else context.arc(x, y, r, 0, 2 * Math.PI);
}

function polygon(context, corners) {
  corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

function drawRing(context, [x, y], theme) {
  for (const [radius, width, colour] of [[8, 4, theme.paper], [8, 2, theme.ink]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
