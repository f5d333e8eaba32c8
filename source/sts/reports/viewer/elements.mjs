// Making elements: text is only ever set as text.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function byId(id) {
  return document.getElementById(id);
}

// A small sign of colour and shape, as on the map.
export function makeSwatch(colour, shape) {
  const shapes = {
    circle: ["circle", { cx: 6, cy: 6, r: 4.5 }],
    square: ["rect", { x: 2, y: 2, width: 8, height: 8 }],
    triangle: ["path", { d: "M6 1 L11 10.5 L1 10.5 Z" }],
    diamond: ["path", { d: "M6 0.5 L11.5 6 L6 11.5 L0.5 6 Z" }],
  };
  const [tag, attributes] = shapes[shape] ?? shapes.circle;
  const svg = makeSvg("svg", { width: 12, height: 12, viewBox: "0 0 12 12", "aria-hidden": "true" });
  svg.append(makeSvg(tag, { ...attributes, fill: colour }));
  return svg;
}

// Fit a canvas to its place on the page and return what draws on it, in pixels of the page.
export function fitCanvas(canvas, height) {
  const width = canvas.clientWidth;
  const ratio = window.devicePixelRatio || 1;
  const size = [Math.round(width * ratio), Math.round(height * ratio)];
  // A new size costs a new layout of the page.
  if (canvas.width !== size[0] || canvas.height !== size[1]) {
    [canvas.width, canvas.height] = size;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d", { willReadFrequently: canvas.id === "map" });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

const themes = new Map();

// Return the colours of the page, light or dark; each is read once, since reading costs a layout.
export function readTheme() {
  const isDark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  if (!themes.has(isDark)) {
    const style = getComputedStyle(document.documentElement);
    const names = ["ink", "faint", "line", "paper", "shade", "accent"];
    themes.set(isDark, Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])));
  }
  return themes.get(isDark);
}

export function readable(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  const text = Number(value.toPrecision(4));
  return String(text).replace("-", "−");
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
}
