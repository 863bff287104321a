// What ical.js (Thunderbird's engine) and node-ical read in invitations. They come as a JSON list of texts on
// stdin; the answer is JSON on stdout: for each of the two a list of the same facts, instants in ISO 8601 (UTC).
import { readFileSync } from "node:fs";
import ICAL from "ical.js";
import ical from "node-ical";

const texts = JSON.parse(readFileSync(0, "utf8"));
const instant = (date) => date.toISOString().replace(".000Z", "Z");

function byIcalJs(text) {
  const component = new ICAL.Component(ICAL.parse(text)).getFirstSubcomponent("vevent");
  const event = new ICAL.Event(component);
  const alarms = component.getAllSubcomponents("valarm");
  const attendees = component.getAllProperties("attendee");
  return {
    start: instant(event.startDate.toJSDate()),
    end: instant(event.endDate.toJSDate()),
    uid: event.uid,
    sequence: event.sequence,
    summary: event.summary,
    organizer: component.getFirstPropertyValue("organizer"),
    attendees: attendees.map((attendee) => attendee.getFirstValue()),
    names: attendees.map((attendee) => attendee.getParameter("cn")),
    location: event.location,
    url: component.getFirstPropertyValue("url"),
    alarms: alarms.map((alarm) => alarm.getFirstPropertyValue("trigger").toSeconds()),
  };
}

function byNodeIcal(text) {
  const [event] = Object.values(ical.sync.parseICS(text)).filter((component) => component.type === "VEVENT");
  const attendees = [event.attendee].flat();
  const said = (value) => value?.val ?? value;
  return {
    start: instant(event.start),
    end: instant(event.end),
    uid: event.uid,
    sequence: Number(event.sequence),
    summary: said(event.summary),
    organizer: said(event.organizer),
    attendees: attendees.map(said),
    names: attendees.map((attendee) => attendee.params.CN.replaceAll('"', "")),
    location: said(event.location),
    url: said(event.url),
    alarms: event.alarms.map((alarm) => seconds(said(alarm.trigger))),
  };
}

// A duration of minutes as it stands in the file: node-ical leaves it as text.
function seconds(duration) {
  const [, sign, minutes] = /^(-?)PT(\d+)M$/.exec(duration);
  return (sign ? -1 : 1) * Number(minutes) * 60;
}

process.stdout.write(JSON.stringify({ "ical.js": texts.map(byIcalJs), "node-ical": texts.map(byNodeIcal) }));
