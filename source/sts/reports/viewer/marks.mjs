// The user's marks of cells: kept by the browser, and written as CSV for `build --exclude`.

export const MARKS = { "wrong label": "w", exclude: "x", "look again": "l" };

export class Marks {
  constructor(key, findStorage) {
    this.key = `sts-marks:${key}`;
    this.marks = new Map();
    this.isKept = true;
    try {
      // Some browsers refuse storage to a page from the disk.
      this.storage = findStorage();
      this.read(this.storage.getItem(this.key));
      this.storage.setItem(this.key, this.text());
    } catch {
      this.isKept = false;
    }
  }

  read(text) {
    let found = [];
    try {
      found = JSON.parse(text ?? "[]");
    } catch {
      // A text that another page left there says nothing.
    }
    for (const one of Array.isArray(found) ? found : []) {
      if (one && typeof one.id === "string") {
        this.put(one.id, { mark: String(one.mark ?? ""), note: String(one.note ?? "") });
      }
    }
  }

  put(id, { mark, note }) {
    if (mark in MARKS || note) this.marks.set(id, { mark: mark in MARKS ? mark : "", note });
    else this.marks.delete(id);
  }

  has(id) {
    return this.marks.has(id);
  }

  get(id) {
    return this.marks.get(id) ?? { mark: "", note: "" };
  }

  get size() {
    return this.marks.size;
  }

  set(id, change) {
    // Another page of this data set may have stored marks in the meantime.
    this.reload();
    this.put(id, { ...this.get(id), ...change });
    this.save();
  }

  reload() {
    if (!this.isKept) return;
    const text = this.storage.getItem(this.key);
    this.marks.clear();
    this.read(text);
  }

  save() {
    try {
      if (this.isKept) this.storage.setItem(this.key, this.text());
    } catch {
      this.isKept = false;
    }
  }

  text() {
    return JSON.stringify([...this.marks].map(([id, mark]) => ({ id, ...mark })));
  }

  csv() {
    const lines = [...this.marks].sort(([a], [b]) => (a < b ? -1 : 1));
    const rows = lines.map(([id, { mark, note }]) => [id, mark, note.split(/\s+/).join(" ").trim()]);
    return [["specimen_id", "mark", "note"], ...rows].map((row) => row.map(quote).join(",") + "\n").join("");
  }
}

// Text that begins like a formula gets an apostrophe, which our reader takes away again.
export function quote(text) {
  const safe = /^'*[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n;]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
