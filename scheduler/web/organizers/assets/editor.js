// The editor's page: shows the mail as somebody types, names problems, saves. All that it shows is text or a frame.
"use strict";

const $ = (id) => document.getElementById(id);
const desk = $("desk"), source = $("source"), reader = $("reader");
let beganWith = desk.dataset.beganWith;
let saved = desk.dataset.changed ? null : source.value;
let asked = 0, soon = 0, later = 0, frameUrl = "";

const isChanged = () => source.value !== saved;

async function ask(what, more) {
  const chosen = Object.fromEntries([...new FormData(reader)].filter(([, value]) => value));
  const answer = await fetch(`${desk.dataset.url}/${what}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF": desk.dataset.csrf },
    body: JSON.stringify({ source: source.value, ...chosen, ...more }),
  });
  const type = answer.headers.get("Content-Type") || "";
  const said = type.includes("json") ? await answer.json() : { error: await answer.text() };
  return { status: answer.status, ...said };
}

async function look(whole) {
  const mine = ++asked;
  let said;
  try {
    said = await ask("try", whole ? { whole: "yes" } : {});
  } catch {
    $("problems-head").textContent = "The service does not answer. What you typed is still here.";
    return;
  }
  if (mine !== asked) return;
  if (said.error) {
    $("problems-head").textContent = said.error;
    return;
  }
  showProblems(said.problems, whole);
  for (const one of document.querySelectorAll("[data-value]")) one.textContent = (said.values || {})[one.dataset.value] || "";
  $("mail").classList.toggle("stale", !said.mail);
  $("stale").hidden = Boolean(said.mail);
  if (said.mail) showMail(said.mail);
}

function showProblems(problems, whole) {
  const wrong = problems.filter((one) => one.wrong).length;
  $("problems-head").textContent = problems.length
    ? `${wrong} wrong, ${problems.length - wrong} to look at` : whole ? "Nothing is wrong, for any reader." : "Nothing is wrong.";
  $("problems").replaceChildren(...problems.map((one) => {
    const item = document.createElement("li");
    item.className = one.wrong ? "wrong" : "";
    if (one.line) {
      const jump = document.createElement("button");
      jump.type = "button";
      jump.textContent = `Line ${one.line}`;
      jump.addEventListener("click", () => goTo(one.line));
      item.append(jump, ": ");
    }
    item.append(one.found + (one.fix ? ` (${one.fix})` : ""));
    return item;
  }));
}

function goTo(line) {
  const lines = source.value.split("\n");
  const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  source.focus();
  source.setSelectionRange(start, start + (lines[line - 1] || "").length);
}

function showMail(mail) {
  $("from").textContent = mail.from.replace(/\s*<.*$/, "");
  $("subject").textContent = mail.subject;
  $("preheader").textContent = mail.preheader;
  $("size").textContent = `${Math.ceil(mail.bytes / 1000)} kB`;
  $("part-text").textContent = mail.text;
  if (mail.frame !== frameUrl) $("frame").src = frameUrl = mail.frame;
  $("no-invitation").hidden = Boolean(mail.invitation);
  $("invitation").hidden = !mail.invitation;
  if (!mail.invitation) return;
  const { title, where, start, end, zone } = mail.invitation;
  const at = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "short", timeZone: zone });
  const when = start && end ? `${at.formatRange(new Date(start), new Date(end))}, in ${zone}` : "";
  for (const [name, value] of Object.entries({ title, when, where })) {
    document.querySelector(`[data-of="${name}"]`).textContent = value;
  }
}

function typed() {
  clearTimeout(soon);
  clearTimeout(later);
  soon = setTimeout(look, 80, false);
  later = setTimeout(look, 700, true);
}

function showDifference(lines, conflict) {
  $("difference").hidden = !lines.length;
  $("difference").querySelector("pre").replaceChildren(...lines.map(([mark, line]) => {
    const row = document.createElement("span");
    row.className = { "+": "added", "-": "gone", "@": "soft" }[mark] || "";
    row.textContent = `${mark === "@" ? " " : mark} ${line}`;
    return row;
  }));
  $("take-theirs").hidden = $("keep-mine").hidden = !conflict;
}

let theirs = null;

async function save(event) {
  event.preventDefault();
  const sent = source.value;
  $("save").disabled = true;
  let said;
  try {
    said = await ask("save", { began_with: beganWith, note: $("note").value });
  } catch {
    said = { error: "The service does not answer. Nothing was saved; what you typed is still here." };
  } finally {
    $("save").disabled = false;
  }
  theirs = said.theirs === undefined ? null : said;
  showDifference(said.difference || [], theirs);
  if (said.error) {
    $("said").textContent = said.error;
    return;
  }
  beganWith = said.began_with;
  saved = sent;
  $("note").value = "";
  $("said").textContent = said.sound === null ? "Saved. It goes out once it has been tried, which takes a moment." : said.sound
    ? "Saved. It goes out from now on."
    : "Saved as a draft: it is not sound, so the last sound version goes out until it is.";
}

source.addEventListener("input", typed);
reader.addEventListener("input", typed);
reader.addEventListener("submit", (event) => event.preventDefault());
$("phone").addEventListener("change", () => $("part-html").classList.toggle("phone", $("phone").checked));
if ($("saving")) $("saving").addEventListener("submit", save);
$("take-theirs").addEventListener("click", () => {
  source.value = saved = theirs.theirs;
  beganWith = theirs.theirs_began_with;
  showDifference([], null);
  $("said").textContent = "This is theirs now.";
  typed();
});
$("keep-mine").addEventListener("click", (event) => {
  beganWith = theirs.theirs_began_with;
  save(event);
});
for (const tab of document.querySelectorAll("[data-part]")) {
  tab.addEventListener("click", () => {
    for (const one of document.querySelectorAll("[data-part]")) {
      one.setAttribute("aria-pressed", String(one === tab));
      $(`part-${one.dataset.part}`).hidden = one !== tab;
    }
  });
}
for (const one of document.querySelectorAll("[data-insert]")) {
  one.addEventListener("click", () => {
    if (source.readOnly) return;
    source.setRangeText(`{{ ${one.dataset.insert} }}`, source.selectionStart, source.selectionEnd, "end");
    source.focus();
    typed();
  });
}
if ($("send")) {
  $("send").addEventListener("click", async () => {
    $("said").textContent = "Sending…";
    const said = await ask("send", {});
    $("said").textContent = said.error || `Sent to ${said.sent_to}.`;
  });
}
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "s" && $("saving")) save(event);
});
addEventListener("beforeunload", (event) => { if (isChanged()) event.preventDefault(); });
look(true);
