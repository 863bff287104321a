// Questions to the service.

/** @param {string} id @returns {HTMLElement & Record<string, any>} */
export const $ = (id) => document.getElementById(id);

/** @param {string} tag @param {string | {class?: string}} given a class @param {...(string | Node)} content */
export function element(tag, given, ...content) {
  const made = document.createElement(tag);
  made.className = given;
  made.append(...content);
  return made;
}

/**
 * The service's answer, with its status; `error` says what went wrong, also where nobody answers.
 * @param {string} url @param {Record<string, string>} said
 * @returns {Promise<Record<string, any>>}
 */
export async function ask(url, said) {
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF": $("desk").dataset.csrf },
      body: JSON.stringify(said),
    });
    const type = answer.headers.get("Content-Type") || "";
    return { status: answer.status, ...(type.includes("json") ? await answer.json() : { error: await answer.text() }) };
  } catch {
    return { status: 0, error: "The service does not answer. What you typed is still here." };
  }
}
