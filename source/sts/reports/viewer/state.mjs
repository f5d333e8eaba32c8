// What is shown: the state in the address after "#", and which cells pass the filters.

export const START = {
  cell: "",
  colour: "class",
  q: "",
  class: "",
  set: "",
  status: "",
  only: "",
  from: 0,
  to: 1.2,
};

// Return the text after "#"; what is as at the start is left out.
export function formatState(state) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(START)) {
    if (state[name] !== value) words.set(name, state[name]);
  }
  return words.toString();
}

export function parseState(text) {
  const words = new URLSearchParams(text.replace(/^#/, ""));
  const state = { ...START };
  for (const name of Object.keys(START)) {
    if (!words.has(name)) continue;
    const value = words.get(name);
    state[name] = typeof START[name] === "number" ? Number(value) : value;
  }
  const isSpan = state.from >= 0 && state.to <= START.to && state.to - state.from >= 0.005;
  return isSpan ? state : { ...state, from: START.from, to: START.to };
}

// Ways to choose cells beside class, data set and status.
export const ONLY = {
  "": ["all cells", () => true],
  wrong: ["predicted wrongly", (cell) => cell.isRight === false],
  right: ["predicted correctly", (cell) => cell.isRight === true],
  unlike: ["unlike training cells", (cell) => cell.answer?.unlike === true],
  marked: ["with a mark or note", (cell, marks) => marks.has(cell.id)],
  sweeps: ["with sweeps", (cell) => cell.sweeps === true],
};

export function passes(cell, state, marks) {
  const query = state.q.trim().toLowerCase();
  return (
    (!state.class || cell.class === state.class) &&
    (!state.set || cell.setName === state.set) &&
    (!state.status || cell.status === state.status) &&
    (ONLY[state.only] ?? ONLY[""])[1](cell, marks) &&
    (!query || searchable(cell, marks).includes(query))
  );
}

function searchable(cell, marks) {
  const mark = marks.get(cell.id);
  const texts = [cell.id, cell.donor, cell.setName, cell.class, cell.reason, ...(cell.notes ?? [])];
  return [...texts, mark?.mark, mark?.note].filter(Boolean).join("\n").toLowerCase();
}
