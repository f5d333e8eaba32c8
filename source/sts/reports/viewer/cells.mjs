// The cells of the page with their features, places and sweeps.

import { unpackFloats, unpackPair } from "./unpack.mjs";

export class Cells {
  // `findBlock` returns the text of a block of sweeps, once the page has come so far.
  constructor(facts, findBlock) {
    this.facts = facts;
    this.findBlock = findBlock;
    this.blocks = new Map();
    this.values = unpackFloats(facts.values);
    const points = unpackFloats(facts.points);
    this.list = facts.cells.map((cell, row) => completeCell(cell, row, points));
    this.rows = new Map(this.list.map((cell) => [cell.id, cell.row]));
  }

  get(id) {
    const row = this.rows.get(id);
    return row === undefined ? undefined : this.list[row];
  }

  words(name) {
    return [...new Set(this.list.map((cell) => cell[name]).filter(Boolean))].sort();
  }

  feature(cell, column) {
    return this.values[cell.row * this.facts.features.names.length + column];
  }

  neighbours(cell) {
    return this.facts.neighbours[cell.row];
  }

  // Return both sweeps in mV, undefined for a cell without sweeps.
  async sweeps(cell) {
    const size = this.facts.blockCells;
    const number = Math.floor(cell.row / size);
    if (!cell.sweeps) return undefined;
    if (!this.blocks.has(number)) this.blocks.set(number, JSON.parse(await this.findBlock(number)));
    const packed = this.blocks.get(number)[cell.row % size];
    return packed ? unpackPair(packed) : undefined;
  }
}

function completeCell(cell, row, points) {
  const answer = cell.answer;
  const calls = answer?.levels ?? [];
  const truth = answer?.truth || cell.label;
  const prediction = answer?.prediction;
  return {
    ...cell,
    row,
    x: points[2 * row],
    y: points[2 * row + 1],
    class: cell.label ?? "",
    setName: cell.set ?? "",
    prediction: prediction ?? calls.filter((level) => level.is_given).at(-1)?.call ?? "",
    isRight: prediction && truth ? prediction === truth : undefined,
    probability: prediction ? answer.probabilities?.[prediction] : calls.at(-1)?.probability,
  };
}
