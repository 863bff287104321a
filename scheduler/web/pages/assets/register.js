// Shows the webinar on the reader's clock, and fills in their time zone. Sends nothing.
"use strict";

const times = document.getElementById("times");
const { start, end, zone: theirs, language, hours, comma } = times.dataset;
const own = Intl.DateTimeFormat().resolvedOptions().timeZone || "";

const locale = { ar: "ar-u-nu-latn", en: "en-GB" }[language] || language;
const clock = (moment, zone) => new Intl.DateTimeFormat(
  "en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
).format(new Date(moment));
const days = JSON.parse(times.dataset.days); // in the words of the other clock
const day = (moment, zone) => days[new Intl.DateTimeFormat(
  "sv", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" },
).format(new Date(moment))];
const name = (zone, style, inLanguage) => new Intl.DateTimeFormat(inLanguage, { timeZone: zone, timeZoneName: style })
  .formatToParts(new Date(start)).find((part) => part.type === "timeZoneName").value;
const offset = (zone) => `\u2068${name(zone, "shortOffset", "en-GB").replace(/^GMT$/, "GMT+0").replace("GMT", "UTC")}\u2069`;
const wall = (moment, zone) => day(moment, zone) + clock(moment, zone);

const showYours = () => {
  if (wall(start, own) === wall(start, theirs) && wall(end, own) === wall(end, theirs)) return;
  const yours = times.querySelector(".yours");
  const ownDays = [...new Set([day(start, own), day(end, own)])];
  yours.querySelector(".hours").textContent = hours.replace("{starts}", clock(start, own)).replace("{ends}", clock(end, own));
  yours.querySelector(".day").textContent = ownDays.join(" – ");
  yours.querySelector(".zone").textContent = name(own, "long", locale) + comma + offset(own);
  yours.hidden = false;
  times.querySelector(".theirs").classList.add("second");
};

if (own.includes("/") && !own.startsWith("Etc/")) {
  try { showYours(); } catch { /* a zone or language that this browser does not know */ }
  const field = document.getElementById("zone");
  if (field && !field.value) {
    field.value = own;
    const hint = document.getElementById("zone-hint");
    hint.textContent = hint.dataset.known;
  }
} else { // a zone that says nothing of where the reader is: let them look for their city
  const find = times.querySelector("noscript");
  if (find) find.outerHTML = find.textContent;
}
