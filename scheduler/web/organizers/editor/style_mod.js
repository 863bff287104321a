// Stands in for the package style-mod in the bundle: mounts CodeMirror's styles as an adopted style sheet. The package
// adds a <style> element to a document, which the page's Content-Security-Policy refuses.

import { StyleModule as Original } from "../../../../node_modules/style-mod/src/style-mod.js";

/** What the package needs to know of a root that adopts style sheets. */
const adopting = {
  ownerDocument: document,
  get adoptedStyleSheets() { return document.adoptedStyleSheets; },
  set adoptedStyleSheets(sheets) { document.adoptedStyleSheets = sheets; },
};

export class StyleModule extends Original {
  static mount(_root, modules) {
    Original.mount(adopting, modules);
  }
}
