// The timeline of webinars by moment-timezone, which brings its own tz data. The question comes as JSON on stdin:
//   { zones: [name], webinars: [{ zone, start, end, messages: [{ id, rule… }] }] }   with start and end as wall time
//   and rules as in a webinar's file: on_registration, before_start and after_end in minutes, days_before, days_after,
//   at, clock. The answer is a list for each webinar: { message, zone, due_at, … } as `webinar timeline --json` has it.
import { readFileSync } from "node:fs";
import moment from "moment-timezone";

const asked = JSON.parse(readFileSync(0, "utf8"));
const utc = (instant) => (instant === null ? null : moment.utc(instant).format("YYYY-MM-DDTHH:mm:ss[Z]"));
const wall = (instant, zone) => (instant === null ? null : moment.tz(instant, zone).format("YYYY-MM-DDTHH:mm"));
const MINUTE = 60_000;

function due(message, start, end, zone, home) {
  if (message.on_registration) return null;
  if (message.before_start !== undefined) return start - message.before_start * MINUTE;
  if (message.after_end !== undefined) return end + message.after_end * MINUTE;
  const clock = message.clock === "webinar" ? home : zone;
  const before = message.days_before !== undefined;
  const edge = moment.tz(before ? start : end - 1, clock).format("YYYY-MM-DD");
  const day = moment.utc(edge).add(before ? -message.days_before : message.days_after, "days").format("YYYY-MM-DD");
  return moment.tz(`${day}T${message.at}`, clock).valueOf();
}

const isReminder = (message) => message.before_start !== undefined || message.days_before !== undefined;

// A reminder is useful until the next one that still comes before the start, a confirmation until the end.
function expires(message, at, all, start, end) {
  if (message.on_registration) return end;
  if (!isReminder(message)) return moment.utc(end).add(30, "days").valueOf();
  const later = all.filter((one) => isReminder(one.message) && one.at > at && one.at < start).map((one) => one.at);
  return Math.min(start, ...later);
}

function timeline(webinar, zone) {
  const home = webinar.zone;
  const start = moment.tz(webinar.start, home).valueOf();
  const end = moment.tz(webinar.end, home).valueOf();
  const all = webinar.messages.map((message) => ({ message, at: due(message, start, end, zone, home) }));
  const days = moment.utc(wall(start, zone).slice(0, 10)).diff(moment.utc(webinar.start.slice(0, 10)), "days");
  return all.map(({ message, at }) => ({
    message: message.id,
    zone,
    due_at: utc(at),
    expires_at: utc(expires(message, at, all, start, end)),
    due_local: wall(at, zone),
    start_local: wall(start, zone),
    end_local: wall(end, zone),
    utc_offset: moment.tz(start, zone).format("Z"),
    date_shift: days,
    state: isReminder(message) && at >= start ? "skipped" : "pending",
  }));
}

const answer = asked.webinars.map((webinar) => asked.zones.flatMap((zone) => timeline(webinar, zone)));
process.stdout.write(JSON.stringify({ version: moment.tz.dataVersion, timelines: answer }));
