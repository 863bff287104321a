// Saving, and the state that the text is in: unsaved, saved, a draft, or in conflict with somebody else's.

import { $, ask, element } from "./asking.js";

const MARKS = { "+": "added", "-": "gone", "@": "soft" };

export class Saving {
  /**
   * @param {import("./text_editor.js").TextEditor} editor
   * @param {boolean} isNew whether what is shown is not what the file says
   */
  constructor(editor, isNew) {
    this.editor = editor;
    this.saved = isNew ? null : editor.source;
    this.beganWith = $("desk").dataset.beganWith;
    this.theirs = null;
    this.wrong = 0;
    if (!$("saving")) return;
    $("saving").addEventListener("submit", (event) => { event.preventDefault(); this.save(); });
    $("take-theirs").addEventListener("click", () => this.takeTheirs());
    $("keep-mine").addEventListener("click", () => { this.beganWith = this.theirs.theirs_began_with; this.save(); });
    document.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key !== "s") return;
      event.preventDefault();
      this.save();
    });
    addEventListener("beforeunload", (event) => { if (this.isChanged()) event.preventDefault(); });
    this.show();
  }

  isChanged() {
    return this.editor.source !== this.saved;
  }

  /** Shows the state. @param {string} [words] what has just happened */
  show(words) {
    if (!$("saving")) return;
    const state = this.theirs ? "conflict" : this.isChanged() ? "unsaved" : this.wrong ? "draft" : "saved";
    $("state").className = `state ${{ conflict: "bad", unsaved: "wait", draft: "bad", saved: "sent" }[state]}`;
    const mistaken = $("desk").dataset.ifMistaken; // draft or broken
    $("state").textContent = { conflict: "Conflict", unsaved: "Not saved", draft: mistaken === "draft" ? "Draft" : "Broken", saved: "Saved" }[state];
    $("save").textContent = !this.wrong ? "Save" : mistaken === "draft" ? "Save as draft" : "Save with mistakes";
    $("bar").dataset.state = state;
    if (words !== undefined) $("said").textContent = words;
  }

  /** @param {number} wrong how many mistakes the text has, for any reader */
  judged(wrong) {
    this.wrong = wrong;
    this.show();
  }

  async save() {
    const sent = this.editor.source, desk = $("desk").dataset;
    $("save").disabled = true;
    this.show("Saving…");
    const said = await ask(`${desk.url}/save`, {
      source: sent, webinar: $("webinar").value, began_with: this.beganWith, note: $("note").value,
    });
    $("save").disabled = false;
    this.theirs = said.theirs === undefined ? null : said;
    this.showDifference(said.difference || []);
    if (said.error) {
      this.show(said.status ? said.error : `${said.error} Nothing was saved.`);
      return;
    }
    this.beganWith = said.began_with;
    this.saved = sent;
    this.wrong = said.sound === false ? 1 : 0;
    $("note").value = "";
    const goesOut = desk.rehearsed ? "The next rehearsal shows it." : "It goes out from now on.";
    const unsound = desk.ifMistaken === "draft" ? "Saved as a draft" : "Saved, with mistakes";
    this.show(said.sound === null ? "Saved. It goes out once it has been tried, which takes a moment."
      : said.sound ? `Saved. ${goesOut}` : `${unsound}: ${desk.meanwhile}.`);
  }

  takeTheirs() {
    const { theirs, theirs_began_with: beganWith } = this.theirs;
    this.theirs = null;
    this.beganWith = beganWith;
    this.editor.replace(theirs);
    this.saved = this.editor.source;
    this.showDifference([]);
    this.show("This is theirs now. Undo brings yours back.");
  }

  /** @param {[string, [string, string][]][]} lines each with its mark, in pieces that have one each */
  showDifference(lines) {
    $("difference").hidden = !lines.length;
    $("difference").querySelector("pre").replaceChildren(...lines.map(([mark, pieces]) => {
      const row = element("span", MARKS[mark] || "");
      row.append(...pieces.map(([kind, words]) => (kind === " " ? words : element(kind === "+" ? "ins" : "del", "", words))));
      return row;
    }));
    $("differs").textContent = this.theirs ? "How yours differs from theirs" : "What this save changed";
    $("conflict").hidden = !this.theirs;
    $("difference").open = Boolean(this.theirs);
  }
}
