// Features of the HTML mails named on the command line that a client lacks (caniemail"s data): {client: [feature, …]}.
import { readFileSync } from "node:fs";
import { caniemail } from "caniemail";

const clients = ["gmail.*", "apple-mail.*", "outlook.*", "yahoo.*", "samsung-email.*", "protonmail.*"];
const lacking = {};
for (const file of process.argv.slice(2)) {
  const { issues } = caniemail({ clients, html: readFileSync(file, "utf-8") });
  for (const [client, found] of issues.errors) {
    lacking[client] = [...new Set([...(lacking[client] ?? []), ...found.map((one) => one.title)])].sort();
  }
}
console.log(JSON.stringify(lacking));
