// What the editor's page reads in the texts given on stdin, and what it would save: [{source, key, value}, …].
import { readFileSync } from "node:fs";
import { fieldChange, readFrontMatter, shownFrom } from "../../scheduler/web/organizers/editor/front_matter.js";
import { readLines, smallestChange, writeLines } from "../../scheduler/web/organizers/editor/lines.js";
import { marksIn } from "../../scheduler/web/organizers/editor/markdown.js";
import { tagsIn } from "../../scheduler/web/organizers/editor/tags.js";

const LABELS = { name: "Reader’s name", "webinar.title": "Webinar’s title", times: "Times" };

const answers = JSON.parse(readFileSync(0, "utf-8")).map(({ source, key, value }) => {
  const lines = readLines(source), { text } = lines;
  const change = fieldChange(text, key, value);
  const edited = change ? text.slice(0, change.from) + change.insert + text.slice(change.to) : text;
  const small = smallestChange(text, edited);
  if (text.slice(0, small.from) + small.insert + text.slice(small.to) !== edited) throw new Error("a change is lost");
  for (const line of text.split("\n")) {
    for (const { from, to } of marksIn(line, 0)) if (from < 0 || to > line.length) throw new Error(`outside of ${line}`);
  }
  const fields = Object.entries(readFrontMatter(text)?.fields || {});
  return {
    unchanged: writeLines(text, lines),
    fields: Object.fromEntries(fields.map(([name, field]) => [name, field.value])),
    shown: text.slice(shownFrom(text)),
    edited: writeLines(edited, lines),
    tags: tagsIn(text, LABELS).map((tag) => [text.slice(tag.from, tag.to), tag.kind, tag.words]),
  };
});
console.log(JSON.stringify(answers));
