// Scalograms of both sweeps of a cell: signed Mexican-hat coefficients for 20 to 199 Hz.
//
// W(a, b) = a^(-1/2) sum_t x(t) psi((t - b) / a), a = 0.25 rate / f. The baseline is removed and the
// ends are continued by their edge values, as in sts/scalograms.

export const RATE_HZ = 4000;
export const SAMPLES = 4800;
export const BEFORE_S = 0.1;
export const LOWEST_HZ = 20;
export const ROWS = 180;
// Coefficients are computed at every second sample, those of wide hats at every fourth one.
export const STRIDE = 2;
export const COLUMNS = SAMPLES / STRIDE;
const WIDE_STRIDE = 4;
const WIDE_BELOW_HZ = 120;

const BASELINE = BEFORE_S * RATE_HZ;
const POINTS = 8192;
// Samples before the sweep; the widest hat reaches 300.
const LEAD = 1696;
// The hat's spectrum is below 1e-7 of its maximum from here on, in radians per scale.
const HIGHEST_RADIANS = 6.6;

// A Fourier transform of one length (Stockham's, radix 4), on real and imaginary parts.
class Fourier {
  constructor(length) {
    this.length = length;
    this.cos = Float64Array.from({ length }, (_, i) => Math.cos((2 * Math.PI * i) / length));
    this.sin = Float64Array.from({ length }, (_, i) => Math.sin((2 * Math.PI * i) / length));
    this.spare = [new Float64Array(length), new Float64Array(length)];
    this.input = [new Float64Array(length), new Float64Array(length)];
  }

  // Return [re, im], in the given arrays or in the spare ones; the next call uses both again.
  // sign -1: from samples to frequencies; 1: back, without the division by the length.
  transform(re, im, sign) {
    let [from, to] = [[re, im], this.spare];
    let [size, stride] = [this.length, 1];
    for (; size >= 4; size /= 4, stride *= 4) {
      this.combine(from, to, { size, stride, sign });
      [from, to] = [to, from];
    }
    if (size === 2) {
      addPairs(from, to, stride);
      [from, to] = [to, from];
    }
    return from;
  }

  // Plain variables: pairs in brackets would cost half of the time.
  combine([re, im], [toRe, toIm], { size, stride, sign }) {
    const quarter = (size / 4) * stride;
    for (let p = 0; p < size / 4; p++) {
      const c1 = this.cos[p * stride];
      const s1 = sign * this.sin[p * stride];
      const c2 = c1 * c1 - s1 * s1;
      const s2 = 2 * c1 * s1;
      const c3 = c1 * c2 - s1 * s2;
      const s3 = s1 * c2 + c1 * s2;
      const begin = stride * p;
      for (let a = begin; a < begin + stride; a++) {
        const b = a + quarter;
        const c = b + quarter;
        const d = c + quarter;
        const sumRe = re[a] + re[c];
        const sumIm = im[a] + im[c];
        const gapRe = re[a] - re[c];
        const gapIm = im[a] - im[c];
        const otherRe = re[b] + re[d];
        const otherIm = im[b] + im[d];
        // i times the difference, in the direction of the transform.
        const turnRe = -sign * (im[b] - im[d]);
        const turnIm = sign * (re[b] - re[d]);
        const to = a + 3 * begin;
        toRe[to] = sumRe + otherRe;
        toIm[to] = sumIm + otherIm;
        const re1 = gapRe + turnRe;
        const im1 = gapIm + turnIm;
        toRe[to + stride] = re1 * c1 - im1 * s1;
        toIm[to + stride] = re1 * s1 + im1 * c1;
        const re2 = sumRe - otherRe;
        const im2 = sumIm - otherIm;
        toRe[to + 2 * stride] = re2 * c2 - im2 * s2;
        toIm[to + 2 * stride] = re2 * s2 + im2 * c2;
        const re3 = gapRe - turnRe;
        const im3 = gapIm - turnIm;
        toRe[to + 3 * stride] = re3 * c3 - im3 * s3;
        toIm[to + 3 * stride] = re3 * s3 + im3 * c3;
      }
    }
  }
}

function addPairs([re, im], [toRe, toIm], half) {
  for (let at = 0; at < half; at++) {
    toRe[at] = re[at] + re[at + half];
    toIm[at] = im[at] + im[at + half];
    toRe[at + half] = re[at] - re[at + half];
    toIm[at + half] = im[at] - im[at + half];
  }
}

const whole = new Fourier(POINTS);
const thinned = { [STRIDE]: new Fourier(POINTS / STRIDE), [WIDE_STRIDE]: new Fourier(POINTS / WIDE_STRIDE) };
const hats = Array.from({ length: ROWS }, (_, row) => makeHat(LOWEST_HZ + row));

// Return the spectrum of a hat for the frequencies from 0 on; it is real and even.
function makeHat(frequency) {
  const scale = (0.25 * RATE_HZ) / frequency;
  const height = (2 / (Math.sqrt(3) * Math.PI ** 0.25)) * Math.sqrt(2 * Math.PI * scale);
  const radians = (2 * Math.PI * scale) / POINTS;
  const stride = frequency < WIDE_BELOW_HZ ? WIDE_STRIDE : STRIDE;
  const spectrum = new Float64Array(Math.ceil(HIGHEST_RADIANS / radians));
  for (let k = 0; k < spectrum.length; k++) {
    const squared = (radians * k) ** 2;
    // Divided by the points, since the transform back does not.
    spectrum[k] = (height * squared * Math.exp(-squared / 2)) / POINTS;
  }
  return { spectrum, stride };
}

// Return [first, second], each ROWS * COLUMNS coefficients, the lowest frequency first.
export function computeScalograms(first, second) {
  // One complex transform does both sweeps: hats are even, so that real and imaginary part of the
  // result are those of the first and of the second sweep.
  const [re, im] = whole.transform(extend(first), extend(second), -1);
  const both = [new Float32Array(ROWS * COLUMNS), new Float32Array(ROWS * COLUMNS)];
  hats.forEach(({ spectrum, stride }, row) => {
    const fourier = thinned[stride];
    multiply(re, im, spectrum, fourier.input);
    const found = fourier.transform(...fourier.input, 1);
    both.forEach((image, i) => spread(found[i].subarray(LEAD / stride), image, row * COLUMNS, stride / STRIDE));
  });
  return both;
}

// Write the product of two spectra, folded into fewer points: its transform back is every n-th
// sample of that of the whole, exactly.
function multiply(re, im, spectrum, [partRe, partIm]) {
  const points = partRe.length;
  partRe.fill(0);
  partIm.fill(0);
  for (let k = 1; k < spectrum.length; k++) {
    const weight = spectrum[k];
    partRe[k] += re[k] * weight;
    partIm[k] += im[k] * weight;
    partRe[points - k] += re[POINTS - k] * weight;
    partIm[points - k] += im[POINTS - k] * weight;
  }
}

// Copy a row into an image, each value `times` times.
function spread(values, image, begin, times) {
  if (times === 1) image.set(values.subarray(0, COLUMNS), begin);
  else for (let column = 0; column < COLUMNS; column++) image[begin + column] = values[column >> 1];
}

function extend(trace) {
  let resting = 0;
  for (let i = 0; i < BASELINE; i++) resting += trace[i] / BASELINE;
  const extended = new Float64Array(POINTS);
  extended.fill(trace[0] - resting, 0, LEAD);
  for (let i = 0; i < SAMPLES; i++) extended[LEAD + i] = trace[i] - resting;
  extended.fill(trace[SAMPLES - 1] - resting, LEAD + SAMPLES);
  return extended;
}

// Return the largest coefficient of an image and its place.
export function findStrongest(image) {
  let [most, place] = [0, 0];
  for (let at = 0; at < image.length; at++) {
    const size = Math.abs(image[at]);
    if (size > most) [most, place] = [size, at];
  }
  return { most, place };
}

// Return the value at which colours end: the few very high values at spikes must not hide the rest.
// Every seventh value is enough to find it. `most` is the largest coefficient of all images.
export function findColourLimit(images, most, share = 0.995) {
  if (!most) return 1;
  const counts = new Uint32Array(4096);
  const scale = (counts.length - 1) / most;
  let total = 0;
  for (const image of images) {
    for (let at = 0; at < image.length; at += 7) {
      counts[Math.ceil(Math.abs(image[at]) * scale)]++;
      total++;
    }
  }
  let below = 0;
  const bin = counts.findIndex((count) => (below += count) >= share * total);
  return Math.max(bin, 1) / scale;
}

// Return `width` columns of the image between two columns: the strongest value of each stretch,
// since the mean of a spike's positive and negative coefficients would hide it.
export function keepStrongest(image, from, to, width) {
  const kept = new Float32Array(ROWS * width);
  for (let column = 0; column < width; column++) {
    const begin = Math.floor(from + ((to - from) * column) / width);
    const end = Math.max(begin + 1, Math.floor(from + ((to - from) * (column + 1)) / width));
    for (let row = 0; row < ROWS; row++) {
      let strongest = 0;
      for (let i = begin; i < Math.min(end, COLUMNS); i++) {
        const value = image[row * COLUMNS + i];
        if (Math.abs(value) > Math.abs(strongest)) strongest = value;
      }
      kept[row * width + column] = strongest;
    }
  }
  return kept;
}
