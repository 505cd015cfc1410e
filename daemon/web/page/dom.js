// Elements whose content is always text: nothing that a stream is called becomes markup.

/** An element with properties, and children that are elements or text. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

/** Set text where it changed, so that nothing is announced or laid out anew for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const MARKS = { event: "▲", silent: "◌", normal: "●" };

/** A state as a mark with its own shape, and as a word. */
export function stateMark(state) {
  return el(
    "span",
    { className: `state state-${state}` },
    el("span", { ariaHidden: "true" }, MARKS[state] ?? "?"),
    " ",
    el("span", { className: "word" }, state),
  );
}

/** Bring a box's children up to date in place: one for each item, by its key, in their order. `made.element` is one. */
export function keyed(box, known, items, key, make, fill) {
  const wanted = new Set(items.map(key));
  for (const [name, made] of known) {
    if (wanted.has(name)) continue;
    made.element.remove();
    known.delete(name);
  }
  items.forEach((item, place) => {
    const name = key(item);
    const made = known.get(name) ?? make(item);
    known.set(name, made);
    if (box.children[place] !== made.element) box.insertBefore(made.element, box.children[place] ?? null);
    fill(made, item);
  });
}
