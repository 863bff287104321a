// The headers of mails as postal-mime reads them. The mails come as a JSON list of texts on stdin; the answer is JSON
// on stdout: for each mail its headers by name, in small letters.
import { readFileSync } from "node:fs";
import PostalMime from "postal-mime";

const mails = JSON.parse(readFileSync(0, "utf8"));
const read = await Promise.all(mails.map((mail) => PostalMime.parse(mail)));
console.log(JSON.stringify(read.map(({ headers }) => Object.fromEntries(headers.map(({ key, value }) => [key, value])))));
