// The tables beside the stage.
import type { ChunkInfo, Header } from "../index.js";
import { shownSize } from "./geometry.js";

const TURNS = ["", "", "mirrored", "180°", "mirrored, 180°", "mirrored, 270°", "90°", "mirrored, 90°", "270°"];

/** Rows of words, the first of each being its heading. */
export function fill(
  table: HTMLTableElement,
  rows: readonly (readonly string[])[],
  heads: readonly string[] = [],
): void {
  const row = (cells: readonly string[], head: boolean) => {
    const line = document.createElement("tr");
    cells.forEach((words, place) => {
      const cell = document.createElement(head || place === 0 ? "th" : "td");
      cell.scope = head ? "col" : "row";
      cell.textContent = words;
      line.append(cell);
    });
    return line;
  };
  const body = document.createElement("tbody");
  body.append(...rows.map((cells) => row(cells, false)));
  const top = document.createElement("thead");
  if (heads.length) top.append(row(heads, true));
  table.replaceChildren(table.caption ?? "", top, body);
}

export function headerRows(header: Header, bytes: number, chunks: readonly ChunkInfo[]): string[][] {
  const { width, height } = shownSize(header);
  const kinds = (kind: string) => chunks.filter((chunk) => chunk.kind === kind).length;
  const count = ["learned", "exact", "mixed"].filter(kinds).map((kind) => `${number(kinds(kind))} ${kind}`);
  const rows = [
    ["Size", `${width}x${height} pixels`],
    ["File", `${number(bytes)} bytes, ${((8 * bytes) / width / height).toFixed(3)} bits a pixel`],
    ["Mode", `${header.mode}, ${header.bits} bits`],
    ["Quality", count.length && !kinds("learned") && !kinds("mixed") ? "exact samples" : `${header.quality}`],
    ["Model", /[1-9a-f]/.test(header.model) ? header.model : "none needed"],
    ["Tiles", `${number(header.tiles)} of ${header.tile} pixels${count.length ? ` (${count.join(", ")})` : ""}`],
  ];
  if (header.orientation > 1) rows.push(["Turned", TURNS[header.orientation] as string]);
  if (header.range) rows.push(["Values", `${header.range[0]} to ${header.range[1]}`]);
  if (header.resolution) {
    rows.push([
      "Resolution",
      `${header.resolution.map((dots) => Math.round(dots * 0.000254 * 10) / 10).join("x")} dpi`,
    ]);
  }
  return rows;
}

export function chunkRows(chunks: readonly ChunkInfo[], bytes: number): string[][] {
  const totals = new Map<string, [number, number]>();
  for (const chunk of chunks) {
    const [count, sum] = totals.get(chunk.name) ?? [0, 0];
    totals.set(chunk.name, [count + 1, sum + chunk.bytes]);
  }
  const rest = bytes - chunks.reduce((sum, chunk) => sum + chunk.bytes, 0);
  const rows = [...totals].map(([name, [count, sum]]) => [name, number(count), number(sum)]);
  return [...rows, ["header and index", "", number(rest)]];
}

export function number(value: number): string {
  return value.toLocaleString("en");
}
