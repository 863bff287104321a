// The editor's page: the text, its problems, the mail beside it.

import { $, ask, element } from "./asking.js";
import { chosen, listenToMail, markStale, showMail } from "./mail.js";
import { Saving } from "./saving.js";
import { filledIn } from "./tags.js";
import { TextEditor } from "./text_editor.js";

const FIELDS = { subject: 40, preheader: 90 }; // characters that phones show
const AGAIN = 2000; // milliseconds until a service that did not answer is asked again
const given = JSON.parse($("given").textContent);
const labels = Object.fromEntries(given.variables.map((one) => [one.name, one.label]));
for (const id of ["desk", "sides", "saving"]) if ($(id)) $(id).hidden = false; // they need this script
let asked = 0, soon = 0, later = 0, known = {};

const editor = new TextEditor(given, {
  body: $("body"),
  fields: { subject: $("subject"), preheader: $("preheader") },
  labels: { body: "h-text", subject: "l-subject", preheader: "l-preheader" },
}, changed);
const saving = new Saving(editor, Boolean($("desk").dataset.changed));

function changed() {
  count();
  saving.show("");
  if (document.activeElement !== $("reviewed_by")) $("reviewed_by").value = editor.field("reviewed_by");
  typed();
}

function typed() {
  clearTimeout(soon);
  clearTimeout(later);
  soon = setTimeout(look, 80, false);
  later = setTimeout(look, 700, true);
}

/** How much of the fields a phone shows. */
function count() {
  for (const [key, most] of Object.entries(FIELDS)) {
    const filled = filledIn(editor.field(key), labels, known).trim(), length = lengthOf(filled);
    const title = known["webinar.title"], own = title ? lengthOf(filled.replace(title, "").trim()) : length;
    const without = length > most && own < length ? ` (${own} without the title)` : "";
    $(`count-${key}`).textContent = `${length} characters${without}; a phone shows about ${most}`;
    $(`count-${key}`).classList.toggle("long", own > most);
  }
}

/** The number of characters. @param {string} text */
const lengthOf = (text) => [...text].length;

async function look(whole) {
  const mine = ++asked;
  const said = await ask(`${$("desk").dataset.url}/try`, { source: editor.source, ...chosen(), ...(whole ? { whole: "yes" } : {}) });
  if (mine !== asked) return;
  if (said.error) {
    $("problems-head").textContent = said.error;
    if ([0, 503].includes(said.status)) later = setTimeout(look, AGAIN, true);
    return;
  }
  showProblems(said.problems, whole);
  if (said.values) showValues(said.values);
  markStale(!said.mail);
  if (said.mail) showMail(said.mail);
}

function showValues(values) {
  known = values;
  editor.showValues(values);
  for (const one of document.querySelectorAll("[data-value]")) one.textContent = values[one.dataset.value] || "";
  count();
}

function showProblems(problems, whole) {
  const stops = problems.filter((one) => one.stops).length;
  if (whole || stops) saving.judged(stops);
  $("problems-head").textContent = problems.length
    ? `${stops} ${stops === 1 ? "mistake" : "mistakes"}, ${problems.length - stops} to look at` : whole ? "Nothing is wrong, for any reader." : "Nothing is wrong.";
  editor.showProblems(problems);
  $("problems").replaceChildren(...problems.map(problemItem));
}

/** A message, with each quoted piece of the text isolated: it may be written in the other direction. @param {string} message */
function isolated(message) {
  return message.split(/(`[^`]+`)/).map((piece) => (piece.startsWith("`") ? element("bdi", "", piece) : piece));
}

function problemItem(problem) {
  const item = element("li", problem.wrong ? "wrong" : "", element("span", "", ...isolated(problem.found + (problem.hint && !problem.fix ? ` (${problem.hint})` : ""))));
  const button = (words, then, kind) => {
    const made = element("button", kind, words);
    made.type = "button";
    made.addEventListener("click", then);
    item.append(" ", made);
  };
  if (problem.line) button("Show it", () => editor.goTo(problem), "quiet");
  if (editor.hasFix(problem)) {
    const { old, new: fresh } = problem.fix;
    const words = labels[fresh] || labels[fresh.slice(3, -3)] || fresh;
    button(old ? `Write ${words} instead` : `Insert ${words}`, () => editor.fix(problem), "fix");
  }
  return item;
}

/** Every variable, what it means, and what it becomes. */
function palette() {
  $("palette").append(...given.variables.flatMap(({ name, label, meaning, block }) => {
    const chip = element(given.readOnly ? "span" : "button", "chip variable", label), value = element("output", "soft");
    Object.assign(chip, given.readOnly ? {} : { type: "button", onclick: () => editor.insert(name) });
    Object.assign(value.dataset, { value: name });
    value.dir = "auto";
    const term = element("dt", "", chip, " ", element("code", "soft", `{{ ${name} }}`));
    return [term, element("dd", "", meaning + (block ? ". Alone on a line" : ""), value)];
  }));
}

palette();
$("reviewed_by").value = editor.field("reviewed_by");
$("reviewed_by").addEventListener("input", () => editor.setField("reviewed_by", $("reviewed_by").value));
for (const one of document.querySelectorAll("[data-run]")) one.addEventListener("click", () => editor.run(one.dataset.run));
$("as-written").addEventListener("click", () => {
  const is = $("as-written").getAttribute("aria-pressed") !== "true";
  $("as-written").setAttribute("aria-pressed", String(is));
  $("fields").hidden = is;
  $("body").classList.toggle("as-written", is);
  editor.show(is);
});
for (const one of document.querySelectorAll("[data-side]")) {
  one.addEventListener("click", () => {
    $("desk").dataset.shows = one.dataset.side;
    for (const other of document.querySelectorAll("[data-side]")) other.setAttribute("aria-pressed", String(other === one));
  });
}
if ($("send")) {
  $("send").addEventListener("click", async () => {
    $("sent").textContent = "Sending…";
    const said = await ask(`${$("desk").dataset.url}/send`, { source: editor.source, ...chosen() });
    $("sent").textContent = said.error || `Sent to ${said.sent_to}.`;
  });
}
listenToMail(given.zones, typed);
count();
look(true);
