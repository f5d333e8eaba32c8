// Colours that differ in every kind of colour vision, and shapes that differ without colour.

export const CLASS_COLOURS = {
  Pvalb: "#0072B2",
  Excitatory: "#D55E00",
  "Vip/Lamp5": "#009E73",
  Sst: "#CC79A7",
};
export const SHAPES = ["circle", "square", "triangle", "diamond"];
// Okabe and Ito (2008), then Tol's muted ones, for data sets and other words.
const OTHER_COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#999933", "#AA4499"];
export const UNKNOWN_COLOUR = "#8A8A8A";
// Cividis, from its dark end on.
const SEQUENCE = ["#00224E", "#2A3F6D", "#575C6D", "#7D7C78", "#A59C74", "#D2C060", "#FEE838"];
// Red for positive values, blue for negative ones, white for 0: matplotlib's RdBu_r.
const DIVERGING = ["#053061", "#2166AC", "#4393C3", "#92C5DE", "#D1E5F0", "#F7F7F7", "#FDDBC7", "#F4A582", "#D6604D", "#B2182B", "#67001F"];

function toRgb(colour) {
  return [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
}

function mix(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  const [from, to] = [toRgb(stops[low]), toRgb(stops[low + 1])];
  return from.map((value, i) => Math.round(value + (to[i] - value) * (place - low)));
}

export function shadeOf(share) {
  return `rgb(${mix(SEQUENCE, share).join(" ")})`;
}

// 512 colours of a scalogram, each the four bytes of a pixel.
export const SCALOGRAM_COLOURS = Uint32Array.from({ length: 512 }, (_, i) => {
  const bytes = Uint8Array.from([...mix(DIVERGING, i / 511), 255]);
  return new Uint32Array(bytes.buffer)[0];
});

export function colourOfWord(word, words, given = {}) {
  if (word in given) return given[word];
  return word ? OTHER_COLOURS[words.indexOf(word) % OTHER_COLOURS.length] : UNKNOWN_COLOUR;
}
