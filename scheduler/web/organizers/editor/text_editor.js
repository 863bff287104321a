// The editor of one text: the file is the document of one view, which hides the front matter; each field is a view of
// its own line of it. So there is one history, and what is saved is the document.

import { Annotation, Compartment, EditorState, StateField, Transaction } from "@codemirror/state";
import { Decoration, EditorView, WidgetType, drawSelection, keymap, placeholder } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, redo, undo } from "@codemirror/commands";
import { completionKeymap } from "@codemirror/autocomplete";
import { chips, setValues, values, words } from "./chips.js";
import { inserting, offer } from "./completion.js";
import { fieldChange, readFrontMatter, shownFrom } from "./front_matter.js";
import { readLines, smallestChange, writeLines } from "./lines.js";
import { around, enter, heading, link, list, newLine } from "./markdown.js";
import { fixOf, marks, placeOf, setMarks } from "./problems.js";

const ofField = Annotation.define(); // the key of the field in which a change of the file was typed
const ofFile = Annotation.define(); // a change of a field that follows the file

class Nothing extends WidgetType {
  toDOM() {
    return document.createElement("div");
  }
}

/** Hides the front matter, which the fields show, and keeps the cursor and what is typed out of it. */
const frontMatterHidden = (() => {
  const from = StateField.define({
    create: (state) => shownFrom(state.doc.toString()),
    update: (now, transaction) => (transaction.docChanged ? shownFrom(transaction.newDoc.toString()) : now),
    provide: (field) => EditorView.decorations.from(field, (at) => (at
      ? Decoration.set(Decoration.replace({ widget: new Nothing(), block: true }).range(0, at - 1)) : Decoration.none)),
  });
  return [
    from,
    EditorView.atomicRanges.of((view) => {
      const at = view.state.field(from);
      return at ? Decoration.set(Decoration.replace({}).range(0, at)) : Decoration.none;
    }),
    EditorState.changeFilter.of((transaction) => {
      const at = transaction.startState.field(from);
      return transaction.annotation(ofField) !== undefined || !at ? true : [0, at];
    }),
    EditorState.transactionFilter.of((transaction) => {
      const at = transaction.docChanged ? 0 : transaction.startState.field(from), { selection } = transaction;
      if (!selection || selection.main.from >= at) return transaction;
      const { anchor, head } = selection.main;
      return [transaction, { selection: { anchor: Math.max(anchor, at), head: Math.max(head, at) } }];
    }),
  ];
})();

/** One line: what is pasted loses its line ends. */
const oneLine = EditorState.transactionFilter.of((transaction) => {
  if (!transaction.docChanged || transaction.newDoc.lines === 1) return transaction;
  const text = transaction.newDoc.toString().replace(/\s*\n\s*/g, " ");
  const { from, to, insert } = smallestChange(transaction.startState.doc.toString(), text);
  return { changes: { from, to, insert }, selection: { anchor: from + insert.length }, userEvent: "input.paste" };
});

/**
 * @typedef {object} Given
 * @property {string} source the file's content
 * @property {import("./chips.js").Variable[]} variables
 * @property {string} language @property {"ltr" | "rtl"} direction @property {boolean} readOnly
 */

export class TextEditor {
  /**
   * @param {Given} given
   * @param {{body: HTMLElement, fields: Record<string, HTMLElement>, labels: Record<string, string>}} places
   *   where its parts go, and the ids of their labels
   * @param {() => void} changed is called after each change
   */
  constructor(given, places, changed) {
    this.given = given;
    this.lines = readLines(given.source);
    this.changed = changed;
    this.problems = [];
    this.look = new Compartment();
    this.view = this.#bodyView(places);
    this.fields = Object.fromEntries(Object.entries(places.fields).map(
      ([key, parent]) => [key, this.#fieldView(key, parent, places.labels[key])]));
    this.#toFields(null);
  }

  /** The text as it would be saved. */
  get source() {
    return writeLines(this.text, this.lines);
  }

  get text() {
    return this.view.state.doc.toString();
  }

  /** The value of a field of the front matter. @param {string} key */
  field(key) {
    return readFrontMatter(this.text)?.fields[key]?.value ?? "";
  }

  /** @param {string} key @param {string} value */
  setField(key, value) {
    const change = fieldChange(this.text, key, value);
    if (change) this.view.dispatch({ changes: change, annotations: ofField.of(key), userEvent: "input.type" });
  }

  /** Puts another version in its place; undo brings the present one back. @param {string} source */
  replace(source) {
    this.lines = readLines(source);
    this.view.dispatch({
      changes: smallestChange(this.text, this.lines.text), filter: false, userEvent: "input.replace",
    });
  }

  /** @param {Record<string, string>} now */
  showValues(now) {
    for (const view of this.#views()) view.dispatch({ effects: setValues.of(now) });
  }

  /** @param {import("./problems.js").Problem[]} problems */
  showProblems(problems) {
    this.problems = problems;
    const { doc } = this.view.state;
    const placed = problems.map((problem) => ({ problem, ...placeOf(doc, problem) })).filter((one) => one.to !== undefined);
    this.view.dispatch({ effects: setMarks.of(placed) });
    for (const [key, view] of Object.entries(this.fields)) {
      const field = readFrontMatter(this.text)?.fields[key];
      const own = field ? placed.filter(({ from, to }) => from >= field.from && to <= field.to) : [];
      const start = field ? field.from + (doc.sliceString(field.from, field.to).indexOf(field.value)) : 0;
      const most = view.state.doc.length;
      view.dispatch({ effects: setMarks.of(own.map(({ from, to, problem }) => (
        { from: Math.min(from - start, most), to: Math.min(to - start, most), problem }))) });
      const wrong = problems.some((problem) => problem.wrong && field && problem.line === field.line);
      view.contentDOM.setAttribute("aria-invalid", String(wrong));
    }
  }

  /** The field in whose line a problem is, or "". @param {import("./problems.js").Problem} problem */
  fieldOf(problem) {
    const fields = readFrontMatter(this.text)?.fields || {};
    return Object.keys(fields).find((key) => problem.line && fields[key].line === problem.line) || "";
  }

  /** Puts the cursor on a problem. @param {import("./problems.js").Problem} problem */
  goTo(problem) {
    const place = placeOf(this.view.state.doc, problem), view = this.asWritten ? null : this.fields[this.fieldOf(problem)];
    if (view) {
      view.focus();
    } else if (place) {
      this.view.dispatch({ selection: { anchor: place.from, head: place.to }, effects: EditorView.scrollIntoView(place.from, { y: "center" }) });
      this.view.focus();
    }
  }

  /** Whether there is a change that fixes a problem. */
  hasFix(problem) {
    return !this.given.readOnly && fixOf(this.view.state.doc, problem) !== null;
  }

  fix(problem) {
    const changes = fixOf(this.view.state.doc, problem);
    if (!changes) return;
    this.view.dispatch({ changes, annotations: ofField.of(""), userEvent: "input.fix", scrollIntoView: true });
    this.view.focus();
  }

  /** Shows the file as it is written, or chips and fields. @param {boolean} asWritten */
  show(asWritten) {
    this.asWritten = asWritten;
    this.last = this.view;
    this.view.dispatch({ effects: this.look.reconfigure(this.#look()) });
  }

  /** Runs a command of the toolbar. @param {string} name */
  run(name) {
    const commands = {
      undo, redo, heading, list, link, bold: around("**"), italic: around("*"), insert: offer,
    };
    commands[name](this.#focused());
    if (name !== "insert") this.#focused().focus();
  }

  /** @param {string} name of a variable or block, written where the cursor is */
  insert(name) {
    const view = this.#focused();
    view.dispatch(view.state.replaceSelection(`{{ ${name} }}`), { userEvent: "input.complete" });
    view.focus();
  }

  /** The view that was used last: a field or the text. */
  #focused() {
    return this.last || this.view;
  }

  #views() {
    return [this.view, ...Object.values(this.fields)];
  }

  #shared(label) {
    const { language, direction, readOnly, variables } = this.given;
    return [
      words.of({
        variables, labels: Object.fromEntries(variables.map((one) => [one.name, one.label])),
        blocks: new Set(variables.filter((one) => one.block).map((one) => one.name)),
      }),
      values, marks, drawSelection(), EditorView.lineWrapping, EditorState.readOnly.of(readOnly),
      EditorView.editable.of(!readOnly),
      EditorView.contentAttributes.of({
        "aria-labelledby": label, lang: language, dir: direction, spellcheck: "true", autocorrect: "on", autocapitalize: "on",
        ...(readOnly ? { tabindex: "0", "aria-readonly": "true" } : {}),
      }),
      EditorView.domEventHandlers({ focus: (_event, view) => { this.last = view; } }),
    ];
  }

  #look() {
    return this.asWritten ? [] : [frontMatterHidden, chips];
  }

  #bodyView({ body, labels }) {
    const keys = [
      { key: "Mod-b", run: around("**") }, { key: "Mod-i", run: around("*") }, { key: "Mod-k", run: link },
      { key: "Mod-Alt-1", run: heading }, { key: "Mod-Shift-8", run: list },
      { key: "Enter", run: (view) => !this.asWritten && enter(view) },
      { key: "Shift-Enter", run: (view) => !this.asWritten && newLine(view) },
    ];
    return new EditorView({
      parent: body,
      doc: this.lines.text,
      selection: { anchor: shownFrom(this.lines.text) },
      extensions: [
        this.look.of(this.#look()),
        this.#shared(labels.body),
        history(),
        inserting({ blocks: true }),
        keymap.of([...completionKeymap, ...keys, ...historyKeymap, ...defaultKeymap.filter((one) => one.key !== "Mod-i")]),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          const typedIn = update.transactions.map((one) => one.annotation(ofField)).find(Boolean);
          this.#toFields(typedIn || null);
          this.changed();
        }),
      ],
    });
  }

  #fieldView(key, parent, label) {
    const onMain = (command) => () => command(this.view);
    return new EditorView({
      parent,
      doc: this.field(key),
      extensions: [
        chips,
        this.#shared(label),
        EditorView.contentAttributes.of({ "aria-multiline": "false" }),
        oneLine,
        placeholder(key === "subject" ? "What the mail is about" : "What an inbox shows beside the subject"),
        inserting({ blocks: false }),
        keymap.of([
          ...completionKeymap,
          { key: "Mod-z", run: onMain(undo) }, { key: "Mod-y", mac: "Mod-Shift-z", run: onMain(redo) },
          { key: "Mod-Shift-z", run: onMain(redo) }, { key: "Enter", run: () => true }, ...defaultKeymap,
        ]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged && !update.transactions.some((one) => one.annotation(ofFile))) {
            this.setField(key, update.state.doc.toString());
          }
        }),
      ],
    });
  }

  /** The fields follow the file, but for the one in which somebody types. @param {string | null} but */
  #toFields(but) {
    for (const [key, view] of Object.entries(this.fields || {})) {
      const now = this.field(key), before = view.state.doc.toString();
      if (key !== but && now !== before) {
        view.dispatch({ changes: smallestChange(before, now), annotations: [ofFile.of(true), Transaction.addToHistory.of(false)] });
      }
    }
  }
}
