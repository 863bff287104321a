// What the text looks like: variables as chips in words, blocks as pictures, Markdown as what it means. Only the look:
// the text itself stays as it is written.

import { Facet, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, Direction, EditorView, ViewPlugin, WidgetType } from "@codemirror/view";
import { marksIn } from "./markdown.js";
import { tagsIn } from "./tags.js";

/**
 * @typedef {{name: string, label: string, meaning: string, block: boolean}} Variable
 * @typedef {{labels: Record<string, string>, blocks: Set<string>, variables: Variable[]}} Words
 */

/** The variables and blocks that there are. @type {Facet<Words, Words>} */
export const words = Facet.define({ combine: (given) => given[0] });

/** New values of the variables, for the chosen reader. @type {import("@codemirror/state").StateEffectType<Record<string, string>>} */
export const setValues = StateEffect.define();

/** The values of the variables. */
export const values = StateField.define({
  create: () => /** @type {Record<string, string>} */ ({}),
  update: (now, transaction) => transaction.effects.find((effect) => effect.is(setValues))?.value ?? now,
});

class Chip extends WidgetType {
  /** @param {string} text @param {string} kind @param {string} value */
  constructor(text, kind, value) {
    super();
    Object.assign(this, { text, kind, value });
  }

  eq(other) {
    return other.text === this.text && other.kind === this.kind && other.value === this.value;
  }

  toDOM() {
    const chip = document.createElement("bdi");
    chip.className = `chip ${this.kind}`;
    chip.textContent = this.text;
    if (this.value) chip.title = this.value;
    return chip;
  }

  ignoreEvent() {
    return false;
  }
}

/** A block as a small picture of itself. */
class Picture extends WidgetType {
  /** @param {string} name @param {string} label @param {Record<string, string>} values */
  constructor(name, label, values) {
    super();
    const shown = name === "times" ? [values.times, values.your_time, values.webinar_time] : [values[name]];
    Object.assign(this, { name, label, shown: shown.map((one) => one || "") });
  }

  eq(other) {
    return other.name === this.name && other.shown.join("\n") === this.shown.join("\n");
  }

  toDOM() {
    const picture = element("span", `picture ${this.name}`);
    picture.append(element("span", "picture-label", this.label));
    const [first, ...others] = this.shown;
    if (first) picture.append(element("bdi", "picture-main", first));
    if (others.some(Boolean)) {
      const lines = element("span", "picture-lines");
      lines.append(...others.filter((line, at) => line && others.indexOf(line) === at).map((line) => element("bdi", "", line)));
      picture.append(lines);
    }
    return picture;
  }

  get estimatedHeight() {
    return this.name === "times" ? 78 : 58;
  }

  ignoreEvent() {
    return false;
  }
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

class Break extends WidgetType {
  eq() {
    return true;
  }

  toDOM() {
    const sign = element("span", "break", "↵");
    sign.title = "A new line, in the same paragraph";
    return sign;
  }

  ignoreEvent() {
    return false;
  }
}

const hidden = Decoration.replace({});
const lineBreak = Decoration.replace({ widget: new Break() });
const isolate = Decoration.mark({ bidiIsolate: Direction.LTR });
const asCode = Decoration.mark({ class: "tag" });

/** The decorations of the tags in a line, and where they are atomic. */
function* decoratedTags(state, line) {
  const { labels, blocks } = state.facet(words), now = state.field(values);
  for (const tag of tagsIn(line.text, labels, line.from)) {
    const alone = tag.source === line.text.trim();
    if (blocks.has(tag.name)) {
      if (alone) yield { ...tag, decoration: Decoration.replace({ widget: new Picture(tag.name, labels[tag.name], now) }), atomic: true };
      else yield { ...tag, decoration: asCode };
    } else if (tag.words) {
      const widget = new Chip(tag.words, tag.kind, now[tag.name] || "");
      yield { ...tag, decoration: Decoration.replace({ widget }), atomic: true };
    } else {
      yield { ...tag, decoration: asCode };
    }
  }
}

/** The decorations of a line: those of lines, then of characters, in their order. */
function decorated(view, line, found) {
  const { state } = view, selection = view.hasFocus ? state.selection.ranges : [];
  const touched = ({ from, to }) => selection.some((range) => range.from <= to && range.to >= from);
  const tags = [...decoratedTags(state, line)], covered = [];
  for (const mark of marksIn(line.text, line.from)) {
    if (mark.line) found.push({ from: line.from, to: line.from, decoration: Decoration.line({ class: mark.line }) });
    if (mark.class) found.push({ ...mark, decoration: Decoration.mark({ class: mark.class, attributes: mark.title ? { title: mark.title } : {} }) });
    if (mark.isBreak) found.push({ ...mark, decoration: lineBreak, atomic: true });
    for (const one of touched(mark) ? [] : mark.hides || []) {
      covered.push(one);
      found.push({ ...one, decoration: hidden });
    }
  }
  found.push(...tags.filter((tag) => !covered.some((one) => one.from < tag.to && one.to > tag.from)));
}

function decorations(view) {
  const found = [];
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to;) {
      const line = view.state.doc.lineAt(at);
      decorated(view, line, found);
      at = line.to + 1;
    }
  }
  const atomic = new RangeSetBuilder(), isolated = new RangeSetBuilder();
  for (const { from, to } of found.filter((one) => one.atomic).sort((a, b) => a.from - b.from)) {
    atomic.add(from, to, hidden);
    isolated.add(from, to, isolate);
  }
  const all = Decoration.set(found.map(({ from, to, decoration }) => decoration.range(from, to)), true);
  return { all, atomic: atomic.finish(), isolated: isolated.finish() };
}

/** Shows chips, pictures and Markdown. */
export const chips = ViewPlugin.fromClass(class {
  constructor(view) {
    this.shown = decorations(view);
  }

  update(update) {
    const fresh = update.transactions.some((one) => one.effects.some((effect) => effect.is(setValues)));
    if (fresh || update.docChanged || update.viewportChanged || update.selectionSet || update.focusChanged) {
      this.shown = decorations(update.view);
    }
  }
}, {
  decorations: (plugin) => plugin.shown.all,
  provide: (plugin) => [
    EditorView.atomicRanges.of((view) => view.plugin(plugin)?.shown.atomic || Decoration.none),
    EditorView.bidiIsolatedRanges.of((view) => view.plugin(plugin)?.shown.isolated || Decoration.none),
  ],
});
