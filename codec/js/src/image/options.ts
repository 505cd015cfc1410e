// What every entry asks of its options.
import { InvalidArgument } from "../errors.js";

/** Throws InvalidArgument for options of the wrong kind, and the reason of a signal that has ended the work already. */
export function checkOptions(options: object): void {
  if (Object(options) !== options) throw new InvalidArgument("options are an object");
  for (const [name, value] of Object.entries(options)) {
    const method = name === "signal" ? "throwIfAborted" : name === "runtime" ? "open" : /^on/.test(name) && "call";
    if (method && value != null && !value[method]) throw new InvalidArgument(`${name} is of the wrong kind`);
  }
  (options as { signal?: AbortSignal }).signal?.throwIfAborted();
}
