// Jinja2's tags in a text: where they are, and what they say in words.

const TAG = /\{\{[^{}\n]{0,300}\}\}|\{%[^{}\n]{0,300}%\}|\{#[^{}\n]{0,300}#\}/g;
const NAME = /^[a-z_]+(?:\.[a-z_]+)?$/;

/**
 * @typedef {{from: number, to: number, source: string, kind: "variable" | "statement" | "other", name: string, words: string}} Tag
 * `name`: the variable. `words`: what its chip says; "" where the tag is shown as it is written.
 */

/**
 * All tags of `text`.
 * @param {string} text @param {Record<string, string>} labels of each variable @param {number} [offset]
 * @returns {Tag[]}
 */
export function tagsIn(text, labels, offset = 0) {
  return [...text.matchAll(TAG)].map((match) => {
    const from = offset + match.index, to = from + match[0].length;
    return { from, to, source: match[0], ...meaning(match[0], labels) };
  });
}

/** @returns {{kind: Tag["kind"], name: string, words: string}} */
function meaning(source, labels) {
  const inner = source.slice(2, -2).trim();
  if (source[1] === "{" && NAME.test(inner) && Object.hasOwn(labels, inner)) {
    return { kind: "variable", name: inner, words: labels[inner] };
  }
  return { kind: source[1] === "%" ? "statement" : "other", name: "", words: source[1] === "%" ? statement(inner, labels) : "" };
}

function statement(inner, labels) {
  if (inner === "else") return "otherwise";
  if (inner === "endif") return "end of “if”";
  const [, word, not, name] = /^(if|elif) (not )?([a-z_.]+)$/.exec(inner) || [];
  if (!word || !Object.hasOwn(labels, name)) return "";
  return `${word === "if" ? "if" : "or if"} there is ${not ? "no " : ""}“${labels[name]}”`;
}

/**
 * `text` as a reader sees it, as far as that is known: variables filled in, other tags left out.
 * @param {string} text @param {Record<string, string>} labels @param {Record<string, string>} values
 */
export function filledIn(text, labels, values) {
  return text.replace(TAG, (source) => values[meaning(source, labels).name] ?? "");
}
