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
