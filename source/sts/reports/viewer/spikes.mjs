// Peaks of spikes in a sweep at 4 kHz, for the marks above the trace. The features of a cell are
// measured at the full rate of its recording.

export const LOWEST_PEAK_MV = -30;
// A peak rises at least so much within 5 ms, as noise and slow waves do not.
export const LEAST_RISE_MV = 15;
const BEFORE_SAMPLES = 20;
// After a peak the next one is at least 1 ms away.
const APART_SAMPLES = 4;

// Return the samples at which spikes have their peaks.
export function findSpikes(trace) {
  const peaks = [];
  for (let i = 1; i < trace.length - 1; i++) {
    const isPeak = trace[i] >= LOWEST_PEAK_MV && trace[i] > trace[i - 1] && trace[i] >= trace[i + 1];
    if (!isPeak || trace[i] - lowestBefore(trace, i) < LEAST_RISE_MV) continue;
    const last = peaks[peaks.length - 1];
    if (last === undefined || i - last > APART_SAMPLES) peaks.push(i);
    else if (trace[i] > trace[last]) peaks[peaks.length - 1] = i;
  }
  return peaks;
}

function lowestBefore(trace, place) {
  let lowest = trace[place];
  for (let i = Math.max(0, place - BEFORE_SAMPLES); i < place; i++) lowest = Math.min(lowest, trace[i]);
  return lowest;
}
