// Markdown in a line: what it looks like, which signs can be hidden while the cursor is elsewhere, and the commands of
// the toolbar, which write what a person would type.

import { EditorSelection } from "@codemirror/state";

const HEADING = /^(#{1,3}) /;
const ITEM = /^( {0,6})([-*+]|\d{1,3}[.)]) /;
const QUOTE = /^> ?/;
const PAIRS = [
  [/(?<![*\\])\*\*(?=[^\s*])([^*\n]{1,500})(?<=[^\s*])\*\*(?!\*)/g, 2, "bold"],
  [/(?<![*\\])\*(?=[^\s*])([^*\n]{1,500})(?<=[^\s*])\*(?!\*)/g, 1, "italic"],
];
const LINK = /(?<![!\\])\[([^[\]\n]{1,300})\]\(([^()\n]{0,500})\)/g;

/**
 * @typedef {{from: number, to: number}} Span
 * @typedef {Span & {line?: string, class?: string, title?: string, isBreak?: boolean, hides?: Span[]}} Mark
 * `line`: a class of the whole line; `hides`: the signs in it that need not be seen.
 */

/** @param {string} text of one line @param {number} offset where it begins @returns {Generator<Mark>} */
export function* marksIn(text, offset) {
  const at = (from, to) => ({ from: offset + from, to: offset + to });
  const whole = at(0, text.length), heading = HEADING.exec(text), item = ITEM.exec(text);
  if (heading) yield { ...whole, line: `heading-${heading[1].length}`, hides: [at(0, heading[0].length)] };
  if (item) yield { ...at(item[1].length, item[0].length - 1), line: "item", class: "marker" };
  if (QUOTE.test(text)) yield { ...whole, line: "quote" };
  for (const [pattern, width, name] of PAIRS) {
    for (const { index, 0: found } of text.matchAll(pattern)) {
      const end = index + found.length;
      yield { ...at(index, end), class: name, hides: [at(index, index + width), at(end - width, end)] };
    }
  }
  for (const { index, 0: found, 1: label, 2: to } of text.matchAll(LINK)) {
    const opened = index + 1, closed = opened + label.length, end = index + found.length;
    yield { ...at(index, end), class: "link", title: to, hides: [at(index, opened), at(closed, end)] };
  }
  if (/(?<!\\)\\$/.test(text)) yield { ...at(text.length - 1, text.length), isBreak: true };
}

// Commands: each takes the view and tells whether it did anything.

/** Puts `sign` around what is chosen, or takes it away. @param {string} sign */
export const around = (sign) => (view) => {
  const { state } = view;
  view.dispatch(state.update(state.changeByRange((range) => {
    const { from, to } = range, size = sign.length;
    const inside = state.sliceDoc(from - size, from) === sign && state.sliceDoc(to, to + size) === sign;
    if (inside) {
      return {
        changes: [{ from: from - size, to: from }, { from: to, to: to + size }],
        range: EditorSelection.range(from - size, to - size),
      };
    }
    return {
      changes: [{ from, insert: sign }, { from: to, insert: sign }],
      range: EditorSelection.range(from + size, to + size),
    };
  }), { userEvent: "input.format", scrollIntoView: true }));
  return true;
};

/** Makes a link of what is chosen; its address is chosen next. */
export function link(view) {
  const { state } = view, { from, to } = state.selection.main;
  const label = state.sliceDoc(from, to) || "the words of the link", address = "https://";
  view.dispatch({
    changes: { from, to, insert: `[${label}](${address})` },
    selection: { anchor: from + label.length + 3, head: from + label.length + 3 + address.length },
    userEvent: "input.format",
  });
  return true;
}

/** Changes the beginnings of the chosen lines. @param {(line: string) => string} change */
const lines = (change) => (view) => {
  const { state } = view, changes = [], seen = new Set();
  for (const range of state.selection.ranges) {
    for (let at = range.from; at <= range.to;) {
      const line = state.doc.lineAt(at), now = seen.has(line.from) ? line.text : change(line.text);
      seen.add(line.from);
      if (now !== line.text) {
        let same = 0;
        while (same < now.length && same < line.length && now.at(-1 - same) === line.text.at(-1 - same)) same++;
        changes.push({ from: line.from, to: line.to - same, insert: now.slice(0, now.length - same) });
      }
      at = line.to + 1;
    }
  }
  view.dispatch({ changes, userEvent: "input.format" });
  return true;
};

/** No heading, a title, a heading below it, and none again. */
export const heading = lines((line) => {
  const next = { "": "# ", "# ": "## ", "## ": "" }[HEADING.exec(line)?.[0] ?? ""] ?? "";
  return next + line.replace(HEADING, "");
});

/** A list of what is chosen, or no list any more. */
export const list = lines((line) => (ITEM.test(line) ? line.replace(ITEM, "") : line.trim() ? `- ${line}` : line));

/**
 * Enter: a new paragraph at the end of one, the next item in a list, and the end of the list in an empty item.
 * Elsewhere the usual line.
 */
export function enter(view) {
  const { state } = view, { main } = state.selection, line = state.doc.lineAt(main.head), item = ITEM.exec(line.text);
  const write = (from, insert) => {
    view.dispatch({ changes: { from, to: main.to, insert }, selection: { anchor: from + insert.length }, userEvent: "input.type", scrollIntoView: true });
    return true;
  };
  if (!main.empty || main.head !== line.to) return false;
  if (item) {
    if (item[0].length === line.length) return write(line.from, "");
    const next = /\d/.test(item[2]) ? `${parseInt(item[2], 10) + 1}${item[2].at(-1)}` : item[2];
    return write(main.head, `\n${item[1]}${next} `);
  }
  return line.text.trim() && !line.text.endsWith("\\") ? write(main.head, "\n\n") : false;
}

/** Shift and Enter: a new line in the same paragraph. */
export function newLine(view) {
  view.dispatch(view.state.replaceSelection("\\\n"), { userEvent: "input.type", scrollIntoView: true });
  return true;
}
