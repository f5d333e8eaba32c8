// Both sweeps of a cell over their scalograms, with a common stretch of time and a cursor.

import { SCALOGRAM_COLOURS } from "./colours.mjs";
import { fitCanvas, make, readTheme, readable } from "./elements.mjs";
import { BEFORE_S, COLUMNS, LOWEST_HZ, RATE_HZ, ROWS, SAMPLES, STRIDE, computeScalograms, findColourLimit, findStrongest, keepStrongest } from "./scalogram.mjs";
import { findSpikes } from "./spikes.mjs";

const LENGTH_S = SAMPLES / RATE_HZ;
const STEP_S = 1;
const LEFT = 46;
const RIGHT = 8;
const TRACE_HEIGHT = 170;
const SCALOGRAM_HEIGHT = 150;
const SHORTEST_S = 0.01;
const NAMES = ["rheobase sweep", "second sweep"];

export class SweepPlots {
  constructor(zoom) {
    this.zoom = zoom;
    this.plots = NAMES.map((name) => this.makePlot(name));
    this.element = make("div", { class: "sweeps" }, ...this.plots.map((plot) => plot.figure));
  }

  makePlot(name) {
    const plot = {
      name,
      title: make("strong"),
      words: make("span", { class: "faint" }),
      trace: make("canvas", { role: "img" }),
      scalogram: make("canvas", { role: "img" }),
      cursor: make("div", { class: "cursor", hidden: true }),
      readout: make("p", { class: "readout" }, "Point at a plot, or use the keys , and . for values."),
    };
    plot.area = make("div", { class: "plot" }, plot.trace, plot.scalogram, plot.cursor);
    plot.figure = make("figure", {}, make("figcaption", {}, plot.title, " ", plot.words), plot.area, plot.readout);
    this.listen(plot);
    return plot;
  }

  listen({ area }) {
    const timeOf = (event) => {
      const box = area.getBoundingClientRect();
      return this.timeAt(event.clientX - box.left, box.width);
    };
    area.addEventListener("pointerdown", (event) => (this.dragFrom = timeOf(event)));
    area.addEventListener("pointermove", (event) => this.moveCursor(timeOf(event)));
    area.addEventListener("pointerup", (event) => {
      const [from, to] = [this.dragFrom, timeOf(event)].sort((a, b) => a - b);
      // A click moves by some pixels too.
      if (this.dragFrom !== undefined && to - from > 0.02 * (this.to - this.from)) this.zoomTo(from, to);
      this.dragFrom = undefined;
    });
    area.addEventListener("dblclick", () => this.zoom(0, LENGTH_S));
  }

  // Show the sweeps of a cell, from analyseSweeps.
  show(analysed, amplitudes) {
    Object.assign(this, analysed);
    this.plots.forEach((plot, i) => {
      plot.title.textContent = amplitudes?.length ? `${plot.name}, ${readable(amplitudes[i])} pA` : plot.name;
      plot.words.textContent = this.describe(i);
      plot.trace.setAttribute("aria-label", `Voltage of the ${plot.title.textContent}: ${this.describe(i)}`);
      plot.scalogram.setAttribute("aria-label", `Scalogram of the ${plot.name}: ${this.describeScalogram(i)}`);
    });
  }

  describe(i) {
    const trace = this.traces[i];
    const peaks = this.spikes[i];
    const resting = trace.subarray(0, BEFORE_S * RATE_HZ).reduce((a, b) => a + b) / (BEFORE_S * RATE_HZ);
    const first = peaks.length ? `, the first ${readable(toMs(peaks[0] / RATE_HZ))} ms after the onset` : "";
    const count = `${peaks.length} ${peaks.length === 1 ? "spike" : "spikes"}`;
    return `${count}${first}; baseline ${readable(resting)} mV`;
  }

  describeScalogram(i) {
    const { place } = this.strongest[i];
    const time = toMs(((place % COLUMNS) * STRIDE) / RATE_HZ);
    const frequency = LOWEST_HZ + Math.floor(place / COLUMNS);
    return `strongest at ${frequency} Hz, ${readable(time)} ms after the onset; colours end at ${readable(this.limit)} mV`;
  }

  draw(from, to) {
    [this.from, this.to] = [from, to];
    const theme = readTheme();
    this.plots.forEach((plot, i) => {
      if (!this.traces) return;
      this.drawTrace(plot.trace, i, theme);
      this.drawScalogram(plot.scalogram, i, theme);
      plot.cursor.hidden = true;
    });
  }

  drawTrace(canvas, i, theme) {
    const { context, width, height } = fitCanvas(canvas, TRACE_HEIGHT);
    const trace = this.traces[i];
    const [low, high] = this.voltageRange();
    const toX = (time) => LEFT + ((time - this.from) / (this.to - this.from)) * (width - LEFT - RIGHT);
    const toY = (value) => 14 + ((high - value) / (high - low)) * (height - 22);
    const clipped = (time) => Math.min(Math.max(toX(time), LEFT), width - RIGHT);
    context.fillStyle = theme.shade;
    context.fillRect(clipped(BEFORE_S), 0, clipped(BEFORE_S + STEP_S) - clipped(BEFORE_S), height);
    drawTicks(context, niceTicks(low, high, 4), { toPixel: toY, theme, width, unit: "mV" });
    const [begin, end] = [Math.floor(this.from * RATE_HZ), Math.min(SAMPLES - 1, Math.ceil(this.to * RATE_HZ))];
    context.save();
    context.beginPath();
    context.rect(LEFT, 0, width - LEFT - RIGHT, height);
    context.clip();
    context.strokeStyle = theme.accent;
    context.lineWidth = 1.2;
    context.lineJoin = "round";
    context.beginPath();
    for (let k = begin; k <= end; k++) context.lineTo(toX(k / RATE_HZ), toY(trace[k]));
    context.stroke();
    context.fillStyle = theme.ink;
    for (const peak of this.spikes[i]) drawMark(context, toX(peak / RATE_HZ), toY(trace[peak]) - 4);
    context.restore();
  }

  // One range for both sweeps, so that they can be compared.
  voltageRange() {
    let low = Infinity;
    let high = -Infinity;
    for (const trace of this.traces) {
      for (let k = 0; k < trace.length; k++) {
        if (trace[k] < low) low = trace[k];
        if (trace[k] > high) high = trace[k];
      }
    }
    return high - low > 1 ? [low, high] : [low - 1, high + 1];
  }

  drawScalogram(canvas, i, theme) {
    const { context, width, height } = fitCanvas(canvas, SCALOGRAM_HEIGHT);
    const [inner, bottom] = [width - LEFT - RIGHT, 22];
    const [from, to] = [this.from, this.to].map((time) => (time * RATE_HZ) / STRIDE);
    const columns = Math.max(1, Math.min(Math.round(inner * (window.devicePixelRatio || 1)), Math.ceil(to - from)));
    const image = toPicture(keepStrongest(this.images[i], from, to, columns), columns, this.limit);
    context.imageSmoothingEnabled = false;
    context.drawImage(image, LEFT, 0, inner, height - bottom);
    const toY = (frequency) => (1 - (frequency - LOWEST_HZ + 0.5) / ROWS) * (height - bottom);
    drawTicks(context, [40, 80, 120, 160], { toPixel: toY, theme, width: LEFT, unit: "Hz" });
    this.drawTimes(context, { inner, height, theme });
  }

  drawTimes(context, { inner, height, theme }) {
    context.fillStyle = theme.ink;
    context.textAlign = "center";
    context.textBaseline = "bottom";
    for (const tick of niceTicks(toMs(this.from), toMs(this.to), 5)) {
      const x = LEFT + ((tick / 1000 + BEFORE_S - this.from) / (this.to - this.from)) * inner;
      context.fillRect(x, height - 22, 1, 4);
      context.fillText(`${readable(tick)} ms`, Math.min(x, LEFT + inner - 14), height - 2);
    }
  }

  timeAt(x, width) {
    const share = (x - LEFT) / (width - LEFT - RIGHT);
    return this.from + Math.min(Math.max(share, 0), 1) * (this.to - this.from);
  }

  moveCursor(time) {
    if (!this.traces) return;
    this.time = Math.min(Math.max(time, this.from), this.to);
    const k = Math.min(SAMPLES - 1, Math.round(this.time * RATE_HZ));
    this.plots.forEach((plot, i) => {
      const inner = plot.area.clientWidth - LEFT - RIGHT;
      plot.cursor.hidden = false;
      plot.cursor.style.left = `${LEFT + ((k / RATE_HZ - this.from) / (this.to - this.from)) * inner}px`;
      const value = (frequency) => readable(this.images[i][(frequency - LOWEST_HZ) * COLUMNS + Math.min(COLUMNS - 1, k >> 1)]);
      plot.readout.textContent = `${readable(toMs(k / RATE_HZ))} ms: ${readable(this.traces[i][k])} mV; coefficients ${value(20)} at 20 Hz, ${value(60)} at 60 Hz, ${value(180)} at 180 Hz`;
    });
  }

  // Move the cursor by parts of the visible time.
  stepCursor(share) {
    this.moveCursor((this.time ?? this.from) + share * (this.to - this.from));
  }

  // Zoom about the cursor, if it is in sight, else about the middle.
  zoomBy(factor) {
    const inSight = this.time > this.from && this.time < this.to;
    const middle = inSight ? this.time : (this.from + this.to) / 2;
    this.zoomTo(middle - (middle - this.from) * factor, middle + (this.to - middle) * factor);
  }

  pan(share) {
    const shift = share * (this.to - this.from);
    const allowed = Math.min(Math.max(shift, -this.from), LENGTH_S - this.to);
    this.zoom(round(this.from + allowed), round(this.to + allowed));
  }

  zoomTo(from, to) {
    const middle = (from + to) / 2;
    const half = Math.max(to - from, SHORTEST_S) / 2;
    this.zoom(round(Math.max(0, middle - half)), round(Math.min(LENGTH_S, middle + half)));
  }
}

// Return the sweeps of a cell with their spikes and scalograms.
export function analyseSweeps(traces) {
  const images = computeScalograms(...traces);
  const strongest = images.map(findStrongest);
  const limit = findColourLimit(images, Math.max(...strongest.map(({ most }) => most)));
  return { traces, spikes: traces.map(findSpikes), images, strongest, limit };
}

// Times in the address have four digits: a tenth of a millisecond.
function round(time) {
  return Math.round(time * 1e4) / 1e4;
}

function toMs(time) {
  return Math.round((time - BEFORE_S) * 1e6) / 1e3;
}

export function niceTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(n * step);
  return ticks;
}

function drawTicks(context, ticks, { toPixel, theme, width, unit }) {
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  ticks.forEach((tick, i) => {
    const y = toPixel(tick);
    context.fillStyle = theme.line;
    if (width > LEFT) context.fillRect(LEFT, y, width - LEFT - RIGHT, 1);
    context.fillStyle = theme.ink;
    context.fillText(i === ticks.length - 1 ? `${readable(tick)} ${unit}` : readable(tick), LEFT - 4, y);
  });
}

function drawMark(context, x, y) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - 3, y - 6);
  context.lineTo(x + 3, y - 6);
  context.fill();
}

// Return a canvas of one pixel for each coefficient, the lowest frequency at the bottom.
function toPicture(values, columns, limit) {
  const picture = new ImageData(columns, ROWS);
  const pixels = new Uint32Array(picture.data.buffer);
  const steps = SCALOGRAM_COLOURS.length - 1;
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < columns; column++) {
      const share = (values[row * columns + column] / limit + 1) / 2;
      pixels[(ROWS - 1 - row) * columns + column] = SCALOGRAM_COLOURS[Math.round(steps * Math.min(1, Math.max(0, share)))];
    }
  }
  const canvas = make("canvas", { width: columns, height: ROWS });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
