// What can be inserted, offered after "/" or "{{" and by the toolbar.

import { autocompletion, insertCompletionText, pickedCompletion, startCompletion } from "@codemirror/autocomplete";
import { values, words } from "./chips.js";

const WORDS = { name: "Words that are filled in", rank: 1 };
const PIECES = { name: "Pieces of the mail", rank: 2 };
const SOME = { name: "Only for some readers", rank: 3 };
const MAY_BE_EMPTY = ["name", "webinar.materials_url", "webinar.how_to_join"];
const BEGINNING = /(?:(?<=^|[\s({«“"'])\/[\p{L}’':. ]{0,40}|\{\{ ?[\w.]{0,30})$/u;

/** @param {{blocks: boolean}} what */
export const inserting = ({ blocks }) => autocompletion({
  override: [(context) => offers(context, blocks)],
  icons: false,
  optionClass: () => "offer",
});

function offers(context, blocks) {
  const line = context.state.doc.lineAt(context.pos), before = line.text.slice(0, context.pos - line.from);
  const match = BEGINNING.exec(before);
  if (!match && !context.explicit) return null;
  const start = match ? context.pos - match[0].length : context.pos;
  const isName = match?.[0].startsWith("{{");
  const known = context.state.facet(words), now = context.state.field(values);
  const variables = known.variables.filter((one) => blocks || !one.block);
  const options = variables.map((one, at) => ({
    boost: 40 - at, // in the order of the variables
    label: isName ? one.name : one.label,
    detail: one.block ? "" : now[one.name] || "",
    info: one.meaning,
    section: one.block ? PIECES : WORDS,
    apply: inserts(start, one.block ? block(one.name) : () => [`{{ ${one.name} }}`]),
  }));
  const asks = isName ? [] : MAY_BE_EMPTY.map((name) => ({
    label: `If there is: ${known.labels[name]}`,
    section: SOME,
    boost: -50,
    apply: inserts(start, () => [`{% if ${name} %}`, "{% endif %}"]),
  }));
  return { from: match ? start + (isName ? /^\{\{ ?/.exec(match[0])[0].length : 1) : start, options: [...options, ...asks], validFor: /^[\p{L}’':.\w ]*$/u };
}

/** Writes what `text` says in place of what was typed from `start` on; the cursor stands after its first piece. */
const inserts = (start, text) => (view, completion, _from, to) => {
  const closing = /^ ?\}\}/.exec(view.state.sliceDoc(to, to + 3))?.[0].length || 0;
  const end = view.state.sliceDoc(start, start + 2) === "{{" ? to + closing : to;
  const [before, after = ""] = text(view.state, start, end);
  view.dispatch({
    ...insertCompletionText(view.state, before + after, start, end),
    selection: { anchor: start + before.length },
    annotations: pickedCompletion.of(completion),
  });
};

/** A block, alone on a line and with an empty line on each side. */
const block = (name) => (state, start, end) => {
  const line = state.doc.lineAt(start), last = state.doc.lineAt(end);
  const above = line.text.slice(0, start - line.from).trim() ? "\n\n" : "";
  const below = last.text.slice(end - last.from).trim() ? "\n\n" : "";
  return [`${above}{{ ${name} }}${below}`];
};

/** Offers everything, at the cursor. */
export function offer(view) {
  view.focus();
  return startCompletion(view);
}
