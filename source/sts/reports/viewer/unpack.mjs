// From the text on the page to numbers: the counterpart of `pack_pair` in page.py.

export function decodeBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

export function unpackFloats(text) {
  return new Float32Array(decodeBase64(text).buffer);
}

export async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Return both sweeps of a cell in mV.
export async function unpackPair([text, ...numbers]) {
  const planes = await inflate(decodeBase64(text));
  const samples = planes.length / 4;
  return [0, 1].map((sweep) => {
    const [stepMv, firstMv] = numbers.slice(2 * sweep, 2 * sweep + 2);
    return addDifferences(planes, sweep * samples, samples, stepMv, firstMv);
  });
}

// All low bytes come before all high bytes; the sign of a difference is its lowest bit.
function addDifferences(planes, first, samples, stepMv, firstMv) {
  const trace = new Float32Array(samples);
  const half = planes.length / 2;
  let steps = 0;
  for (let i = 0; i < samples; i++) {
    const code = planes[first + i] + 256 * planes[half + first + i];
    steps += (code >> 1) ^ -(code & 1);
    trace[i] = firstMv + stepMv * steps;
  }
  return trace;
}
