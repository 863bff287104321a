// Offers the browser's time zone where its clock differs from the page's. Fills in a form, and sends nothing.
"use strict";

const WEEK = 7 * 86_400_000;
const language = document.documentElement.lang;

/** The clock of a zone at a moment, to compare: "Thu 14:00". */
function clock(zone, moment) {
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: zone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }).format(moment);
}

/** The name of a zone in the page's language; its city as well, where that is written in the same letters. */
function nameOf(zone, moment) {
  const parts = new Intl.DateTimeFormat(language, { timeZone: zone, timeZoneName: "long" }).formatToParts(moment);
  const name = parts.find((part) => part.type === "timeZoneName").value;
  const city = zone.split("/").pop().replaceAll("_", " ");
  return ["ar", "ru", "zh"].includes(language) ? name : `${city}, ${name}`;
}

for (const form of document.querySelectorAll("form.offer")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  const start = new Date(form.dataset.start);
  const moments = [new Date(), new Date(start - WEEK), start];
  if (!/^[A-Z]\w+\//.test(zone) || zone.startsWith("Etc/")) continue;
  if (moments.every((moment) => clock(zone, moment) === clock(form.dataset.zone, moment))) continue;
  const words = form.querySelector("[data-words]");
  words.textContent = words.dataset.words
    .replace("{city}", `\u2068${nameOf(zone, start)}\u2069`)
    .replace("{time}", clock(zone, start).slice(-5));
  form.elements.zone.value = zone;
  form.hidden = false;
}
