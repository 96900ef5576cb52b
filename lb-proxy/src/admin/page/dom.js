// Elements whose texts are text nodes: no text from the server is ever parsed as markup.

export const byId = (id) => document.getElementById(id);

/** A new element with attributes and children. A child that is a text becomes a text node. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Sets the text of an element that has no other children. Touches the document only if the text differs. */
export function setText(node, text) {
  const first = node.firstChild;
  if (first === null) {
    if (text !== "") node.append(text);
  } else if (first.data !== text) {
    first.data = text;
  }
}

/** Sets an attribute if it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Replaces the body of a table. A cell is a text; the first one of a row is its heading. */
export function fillTable(table, rows, empty) {
  const cell = (content, i) =>
    i === 0 ? element("th", { scope: "row" }, content) : element("td", {}, content);
  const filled = rows.map((cells) => element("tr", {}, ...cells.map(cell)));
  if (rows.length === 0) {
    const columns = table.tHead.rows[0].cells.length;
    filled.push(element("tr", {}, element("td", { colspan: columns }, empty)));
  }
  table.tBodies[0].replaceChildren(...filled);
}

/** Like fillTable, but changes the texts of rows that are there, so that a selection and the focus survive. */
export function updateTable(table, rows, empty) {
  const shown = table.tBodies[0].rows;
  const wanted = rows.length === 0 ? [[empty]] : rows;
  if (shown.length !== wanted.length || shown[0].cells.length !== wanted[0].length) {
    fillTable(table, rows, empty);
    return;
  }
  wanted.forEach((cells, i) => cells.forEach((text, k) => setText(shown[i].cells[k], text)));
}

/** Keeps children of an element in step with a list. A view is an object with a `node` and a method `update(item)`. */
export class KeyedViews {
  constructor(parent, create) {
    this.parent = parent;
    this.create = create;
    this.views = new Map();
  }

  /** Shows the items in their order. Nodes of known keys stay, so that focus and state survive. */
  show(items, keyOf) {
    const before = this.views;
    this.views = new Map();
    let next = this.parent.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      const view = before.get(key) ?? this.create(item);
      before.delete(key);
      this.views.set(key, view);
      view.update(item);
      if (view.node === next) {
        next = next.nextSibling;
      } else {
        this.parent.insertBefore(view.node, next);
      }
    }
    for (const view of before.values()) {
      view.node.remove();
      view.removed?.();
    }
  }
}

/** Keys that are unique in a list in which names may repeat. */
export function uniqueKeys(names) {
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return `${count} ${name}`;
  });
}
