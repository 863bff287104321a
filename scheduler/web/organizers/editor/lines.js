// The ends of a file's lines. The editor works on "\n" alone; what is saved has the ends that the file had.

/**
 * @typedef {{source: string, text: string, ends: string[]}} Lines
 * A file's content, the same with "\n" after each line, and the end that each line but the last one had.
 */

/** @param {string} source @returns {Lines} */
export function readLines(source) {
  const ends = source.match(/\r\n|\r|\n/g) || [];
  return { source, text: source.split(/\r\n|\r|\n/).join("\n"), ends };
}

/**
 * The file's content for an edited `text`: lines above and below the edited ones keep their ends, the others get the
 * first one of the file.
 * @param {string} text @param {Lines} before @returns {string}
 */
export function writeLines(text, before) {
  if (text === before.text) return before.source;
  const usual = before.ends[0] || "\n";
  if (before.ends.every((end) => end === usual)) return text.split("\n").join(usual);
  const lines = text.split("\n"), old = before.text.split("\n");
  const above = common(lines, old), below = common(lines.slice(above).reverse(), old.slice(above).reverse());
  return lines.map((line, number) => {
    if (number === lines.length - 1) return line;
    if (number < above) return line + (before.ends[number] || usual);
    const after = number - lines.length + old.length;
    return line + (number >= lines.length - below ? before.ends[after] || usual : usual);
  }).join("");
}

/** How many items two lists have in common at their beginning. */
function common(one, other) {
  let length = 0;
  while (length < one.length && length < other.length && one[length] === other[length]) length++;
  return length;
}

/**
 * The smallest change that makes `after` of `before`, so that the cursor and the history keep their places.
 * @param {string} before @param {string} after
 * @returns {{from: number, to: number, insert: string}}
 */
export function smallestChange(before, after) {
  let from = 0, end = 0;
  const most = Math.min(before.length, after.length);
  while (from < most && before[from] === after[from]) from++;
  while (end < most - from && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
  return { from, to: before.length - end, insert: after.slice(from, after.length - end) };
}
