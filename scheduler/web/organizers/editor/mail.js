// The mail beside the text: for which reader, in which view, and in all languages at once.

import { $, ask, element } from "./asking.js";

const dark = matchMedia("(prefers-color-scheme: dark)");

/** The reader, and how the mail is shown, as the service is asked. @returns {Record<string, string>} */
export function chosen() {
  const reader = $("who").value, place = $("zone").value.trim();
  const said = {
    webinar: $("webinar").value,
    zone: cities.get(place.toLowerCase()) || place,
    name: ["long", "none"].includes(reader) ? reader : "",
    assumed: reader === "assumed" ? "yes" : "",
    registrant: reader === "registrant" ? $("registrant").value : "",
    dark: $("dark").getAttribute("aria-pressed") === "true" ? "yes" : "",
    raw: part === "source" ? "yes" : "",
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value));
}

/** The zones by city. @type {Map<string, string>} */
const cities = new Map();
let part = "desktop", frame = "";

/** @param {Record<string, any>} mail */
export function showMail(mail) {
  $("from").textContent = mail.from.replace(/\s*<.*$/, "");
  $("shown-subject").textContent = mail.subject;
  $("shown-preheader").textContent = mail.preheader;
  $("size").textContent = `${Math.ceil(mail.bytes / 1000)} kB`;
  $("part-text").textContent = mail.text;
  $("part-source").textContent = mail.source;
  if (mail.frame !== frame) $("frame").src = frame = mail.frame;
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

/** Whether the mail beside the text is the mail of this text. @param {boolean} is */
export function markStale(is) {
  $("mail").classList.toggle("stale", is);
  $("mail").classList.toggle("empty", is && !frame);
  $("stale").hidden = !is;
  $("stale").textContent = frame ? "The text can’t be filled in as it is. Below is the mail from before."
    : "There is no mail to show yet: the text can’t be filled in as it is.";
}

/** @param {string[]} zones @param {() => void} asked is called when another mail is wanted */
export function listenToMail(zones, asked) {
  for (const zone of zones) {
    const city = zone.slice(zone.lastIndexOf("/") + 1).replaceAll("_", " ");
    cities.set(city.toLowerCase(), zone);
    $("zones").append(new Option("", city));
  }
  const press = (button, is) => button.setAttribute("aria-pressed", String(is));
  press($("dark"), dark.matches);
  dark.addEventListener("change", () => { press($("dark"), dark.matches); asked(); });
  $("dark").addEventListener("click", () => { press($("dark"), $("dark").getAttribute("aria-pressed") !== "true"); asked(); });
  $("reader").addEventListener("input", () => { $("registrant").hidden = $("who").value !== "registrant"; asked(); });
  $("reader").addEventListener("submit", (event) => event.preventDefault());
  const tabs = [...document.querySelectorAll("[data-part]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      part = tab.dataset.part;
      for (const one of tabs) press(one, one === tab);
      for (const one of ["text", "calendar", "source", "all"]) $(`part-${one}`).hidden = one !== part;
      $("part-html").hidden = !["desktop", "phone"].includes(part);
      $("part-html").classList.toggle("phone", part === "phone");
      if (part === "source") asked();
      if (part === "all") showAll();
    });
  }
}

/** The mail in every language in which there is this text, one after the other. */
async function showAll() {
  $("part-all").replaceChildren(...[...$("part-all").children].filter((one) => one.tagName === "P"));
  for (const language of JSON.parse($("desk").dataset.languages)) {
    const figure = element("figure", "one-of-all");
    figure.append(element("figcaption", "", element("a", "", language.name)));
    figure.querySelector("a").href = language.url;
    $("part-all").append(figure);
    const said = await ask(`${language.url}/try`, chosen());
    if (part !== "all") return;
    const lines = element("div", "inbox-line");
    lines.dir = language.direction;
    if (!said.mail) {
      figure.append(element("p", "bad", "There is no mail to show: ", said.error || said.problems.map((one) => one.found).join("; ")));
      continue;
    }
    lines.append(element("b", "", said.mail.subject), element("span", "soft", said.mail.preheader));
    const shown = element("iframe", "");
    shown.title = `The mail in ${language.name}`;
    shown.sandbox = "allow-popups allow-popups-to-escape-sandbox";
    shown.src = said.mail.frame;
    figure.append(lines, shown);
  }
}
