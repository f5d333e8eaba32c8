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
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d", { willReadFrequently: canvas.id === "map" });
  context.scale(ratio, ratio);
  return { context, width, height };
}

// Return the colours of the page, light or dark.
export function readTheme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "faint", "line", "paper", "shade", "accent"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

export function readable(value) {
  if (value === undefined || value === null || Number.isNaN(value)) return "–";
  const text = Number(value.toPrecision(4));
  return String(text).replace("-", "−");
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(share > 0.0995 ? 0 : 1)} %`;
}
