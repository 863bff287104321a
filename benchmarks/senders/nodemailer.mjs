// nodemailer as its documentation shows it: a pool, the same mail built from words.
//
//     node nodemailer.mjs PORT COUNT CONNECTIONS MAIL.json      # prints the seconds

import { readFileSync } from "node:fs";
import nodemailer from "nodemailer";

const [port, count, connections] = process.argv.slice(2, 5).map(Number);
const words = JSON.parse(readFileSync(process.argv[5], "utf-8"));
const pool = nodemailer.createTransport({
  host: "127.0.0.1", port, secure: false, ignoreTLS: true,
  pool: true, maxConnections: connections, maxMessages: Infinity,
});

function build(number) {
  const name = `Person ${number}`;
  const address = `person-${number}@example.com`;
  return {
    from: words.sender,
    to: { name, address },
    subject: words.subject,
    text: words.text.replaceAll("@NAME@", name),
    html: words.html.replaceAll("@NAME@", name),
    icalEvent: {
      method: "REQUEST",
      content: words.calendar.replaceAll("@NAME@", name).replaceAll("@ADDRESS@", address)
        .replaceAll("@UID@", String(number)),
    },
  };
}

let next = 0;
async function sendOn() {
  while (next < count) await pool.sendMail(build(next++));
}

const begin = performance.now();
await Promise.all(Array.from({ length: connections }, sendOn));
console.log((performance.now() - begin) / 1000);
pool.close();
