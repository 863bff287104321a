// What moment-timezone, which brings its own tz data, knows about zones. Questions come as JSON on stdin:
//   { zones: [name], from, to: [ms of the years in question],
//     instants: { zone: [ms] }, walls: { zone: ["2026-10-25T01:30"] }, webinars: [[start ms, end ms]] }
// The answer is JSON on stdout; offsets are minutes east of Greenwich, instants are ms.
import { readFileSync } from "node:fs";
import moment from "moment-timezone";

const asked = JSON.parse(readFileSync(0, "utf8"));
const MINUTE = 60_000;

// Before, at and after each change that moment's own data has, so that none is missed that only it knows.
function ownChanges(zone) {
  return moment.tz.zone(zone).untils.filter((until) => until >= asked.from && until < asked.to);
}

function offsets(zone) {
  const around = ownChanges(zone).flatMap((change) =>
    [-1440, -60, -1, 0, 1, 60, 1440].map((minutes) => change + minutes * MINUTE));
  const instants = [...(asked.instants[zone] ?? []), ...around];
  return instants.map((instant) => [instant, moment.tz(instant, zone).utcOffset()]);
}

function at(zone, date, days, hour) {
  const day = moment.utc(date).add(days, "days").format("YYYY-MM-DD");
  return moment.tz(`${day}T${hour}`, zone).valueOf();
}

// The trilateral sequence: the day before at 09:00, an hour before, the day after its end at 10:00.
function due(zone) {
  return asked.webinars.map(([start, end]) => {
    const begins = moment.tz(start, zone).format("YYYY-MM-DD");
    const ends = moment.tz(end - 1, zone).format("YYYY-MM-DD");
    return [at(zone, begins, -1, "09:00"), start - 60 * MINUTE, at(zone, ends, 1, "10:00")];
  });
}

const answer = { version: moment.tz.dataVersion, names: moment.tz.names(), zones: {} };
for (const zone of asked.zones.filter((name) => moment.tz.zone(name))) {
  const walls = (asked.walls[zone] ?? []).map((wall) => [wall, moment.tz(wall, zone).valueOf()]);
  answer.zones[zone] = { offsets: offsets(zone), walls, due: due(zone) };
}
process.stdout.write(JSON.stringify(answer));
