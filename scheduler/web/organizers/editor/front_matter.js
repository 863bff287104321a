// The front matter of a text as fields. A field that changes rewrites its own value and nothing else of the file.

/**
 * @typedef {{value: string, from: number, to: number, line: number}} Field
 * A value; where it stands, its quotes included; and its line, from 1.
 * @typedef {{fields: Record<string, Field>, close: number, body: number}} FrontMatter
 * The fields by key; where the closing line `---` begins; where the text below begins.
 */

/**
 * Reads like `scheduler.mail.text.front_matter`.
 * @param {string} text with "\n" after each line
 * @returns {FrontMatter | null} null: there is no front matter, or no line closes it
 */
export function readFrontMatter(text) {
  const lines = text.split("\n");
  const end = lines[0].trim() === "---" ? lines.findIndex((line, number) => number > 0 && line.trim() === "---") : -1;
  if (end < 0) return null;
  /** @type {Record<string, Field>} */
  const fields = {};
  let at = lines[0].length + 1;
  for (let number = 1; number < end; number++) {
    const line = lines[number], colon = line.indexOf(":");
    const key = line.slice(0, colon).trim();
    if (colon > 0 && !/^[\s#]/.test(line) && !Object.hasOwn(fields, key)) {
      fields[key] = fieldAt(line, colon, at, number + 1);
    }
    at += line.length + 1;
  }
  return { fields, close: at, body: Math.min(at + lines[end].length + 1, text.length) };
}

function fieldAt(line, colon, at, number) {
  const rest = line.slice(colon + 1), raw = rest.trim();
  const from = at + colon + 1 + (raw ? rest.indexOf(raw) : rest.length);
  return { value: unquoted(raw), from, to: from + raw.length, line: number };
}

function unquoted(raw) {
  return raw.length >= 2 && raw[0] === raw.at(-1) && "\"'".includes(raw[0]) ? raw.slice(1, -1) : raw;
}

/**
 * The change of `text` that gives the field `key` this value; null where nothing changes.
 * @param {string} text @param {string} key @param {string} value
 * @returns {{from: number, to: number, insert: string} | null}
 */
export function fieldChange(text, key, value) {
  const front = readFrontMatter(text), field = front?.fields[key];
  if (value === (field?.value ?? "")) return null;
  if (!front) return { from: 0, to: 0, insert: newFrontMatter(key, value) };
  if (!field) return { from: front.close, to: front.close, insert: `${key}: ${written(value, "")}\n` };
  const insert = written(value, text.slice(field.from, field.to));
  const gap = text[field.from - 1] === ":" && value ? " " : "";
  return { from: field.from, to: text.indexOf("\n", field.to), insert: gap + insert };
}

/** The value as a person would write it: with the quotes that it had, or that it needs. */
function written(value, before) {
  const quote = before !== unquoted(before) ? before[0] : unquoted(value.trim()) !== value.trim() ? "\"" : "";
  return quote + value + quote;
}

function newFrontMatter(key, value) {
  const lines = ["subject", "preheader", "reviewed_by"].map((one) => (one === key ? `${one}: ${written(value, "")}` : `${one}:`));
  return `---\n${lines.join("\n")}\n---\n\n`;
}

/**
 * Where the text begins that the editor shows: below the front matter and one empty line. 0 where there is no front
 * matter, or nothing could be typed below it.
 * @param {string} text
 */
export function shownFrom(text) {
  const front = readFrontMatter(text);
  if (!front || text[front.body - 1] !== "\n") return 0;
  return text[front.body] === "\n" ? front.body + 1 : front.body;
}
