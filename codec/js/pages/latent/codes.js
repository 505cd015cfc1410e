// Codes of items, with their labels, out of CSV or JSON; and what spread they have.
import { fieldsOf, separatorOf } from "../series/rows.js";

/** {vectors: Float32Array[], labels: string[] | null} of a text. Throws Error with a sentence. */
export function codesOf(text, dimensions) {
  const found = text.trimStart().startsWith("{") ? ofJson(text) : ofCsv(text);
  const wrong = found.vectors.find((one) => one.length !== dimensions || !one.every(Number.isFinite));
  if (!found.vectors.length) throw new Error("The file of codes has no rows.");
  if (wrong) throw new Error(`Codes of this model have ${dimensions} numbers, and a row of the file has not.`);
  return found;
}

function ofJson(text) {
  const { vectors, labels } = JSON.parse(text);
  return { vectors: vectors.map((one) => Float32Array.from(one)), labels: labels ?? null };
}

/** Columns of numbers are the code; `label` colours, and `name` is passed over. */
function ofCsv(text) {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .filter((line) => line.trim());
  const separator = separatorOf(lines[0]);
  const names = fieldsOf(lines[0], separator);
  const label = names.indexOf("label");
  const numbers = names.map((_, at) => at).filter((at) => !["label", "name"].includes(names[at]));
  const rows = lines.slice(1).map((line) => fieldsOf(line, separator));
  return {
    vectors: rows.map((fields) => Float32Array.from(numbers, (at) => (fields[at] ? Number(fields[at]) : Number.NaN))),
    labels: label < 0 ? null : rows.map((fields) => fields[label]),
  };
}

/** Mean and deviation of each number; of no codes those of a prior. */
export function spreadOf(vectors, dimensions) {
  const mean = new Float32Array(dimensions);
  const deviation = new Float32Array(dimensions).fill(1);
  for (let at = 0; vectors.length && at < dimensions; at++) {
    mean[at] = vectors.reduce((sum, one) => sum + one[at], 0) / vectors.length;
    const square = vectors.reduce((sum, one) => sum + (one[at] - mean[at]) ** 2, 0);
    deviation[at] = Math.sqrt(square / vectors.length) || 1e-3;
  }
  return { mean, deviation };
}
