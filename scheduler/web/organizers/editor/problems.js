// Problems, marked where they are.

import { StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView } from "@codemirror/view";

/**
 * @typedef {{line: number, found: string, hint: string, wrong: boolean, fix: {old: string, new: string} | null}} Problem
 * `line`: 0 where it is about the text as a whole.
 */

/** The ranges to mark. @type {import("@codemirror/state").StateEffectType<{from: number, to: number, problem: Problem}[]>} */
export const setMarks = StateEffect.define();

export const marks = StateField.define({
  create: () => Decoration.none,
  update(now, transaction) {
    const effect = transaction.effects.find((one) => one.is(setMarks));
    if (!effect) return now.map(transaction.changes);
    const shown = effect.value.filter(({ from, to }) => from < to);
    return Decoration.set(shown.map(({ from, to, problem }) => Decoration.mark({
      class: problem.wrong ? "mistake" : "doubt", attributes: { title: problem.found },
    }).range(from, to)), true);
  },
  provide: (field) => EditorView.decorations.from(field),
});

/**
 * Where a problem stands: what it is about if that can be found in its line, otherwise the line; null for the whole text.
 * @param {import("@codemirror/state").Text} doc @param {Problem} problem
 */
export function placeOf(doc, problem) {
  if (!problem.line || problem.line > doc.lines) return null;
  const line = doc.line(problem.line), quoted = /`([^`]+)`/.exec(problem.found)?.[1];
  for (const words of [problem.fix?.old, quoted]) {
    const at = words ? line.text.indexOf(words) : -1;
    if (at >= 0) return { from: line.from + at, to: line.from + at + words.length };
  }
  return { from: line.from, to: line.to };
}

/**
 * The change that fixes a problem; null where it is not known any more.
 * @param {import("@codemirror/state").Text} doc @param {Problem} problem
 */
export function fixOf(doc, problem) {
  if (!problem.fix) return null;
  if (problem.fix.old) {
    const place = placeOf(doc, problem);
    if (!place || doc.sliceString(place.from, place.to) !== problem.fix.old) return null;
    return { ...place, insert: problem.fix.new };
  }
  const end = beforeGreeting(doc);
  return { from: end, to: end, insert: end < doc.length ? `${problem.fix.new}\n\n` : `\n\n${problem.fix.new}\n` };
}

/** Where a missing block is put: before the last paragraph, which says goodbye. */
function beforeGreeting(doc) {
  let line = doc.lines;
  while (line > 1 && !doc.line(line).text.trim()) line--;
  while (line > 1 && doc.line(line - 1).text.trim()) line--;
  return doc.line(line).text.trim() === "---" || line === 1 ? doc.length : doc.line(line).from;
}
