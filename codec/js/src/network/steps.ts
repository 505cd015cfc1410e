// What a plan is made of: places in memory, and the work that fills them.
import type { Pointer } from "./kernels.js";

/** A piece of memory that steps share: an input, an output, numbers that never change, or a part of the arena. */
export interface Root {
  kind: "input" | "output" | "fixed" | "arena";
  /** Count of numbers. */
  size: number;
  /** The number of the input or output, the pointer of what is fixed, or the first number in the arena. */
  at: number;
  /** The first and the last step that touch it; -1 for what is there before. */
  made: number;
  last: number;
}

/** An array [1, channels, rows, columns], or of another shape, in a place of its own or within another. */
export interface Value {
  shape: readonly number[];
  root: Root;
  offset: number;
  /** The step that made it alone, to which more can be added. */
  step: Step | null;
  /** Pixels that are repeated around its edges before a convolution reads it. */
  padding: number;
}

/** Kinds of elementwise steps, as in steps.h. */
export const ElementKind = { Mul: 0, Add: 3, Div: 6, LeakyRelu: 9, Floor: 10, Clip: 11, Abs: 12 } as const;
export const WITH_ONE = 0;
export const WITH_CHANNEL = 1;
export const WITH_EACH = 2;

/** One elementwise step: numbers a and b, and an array where it needs one. */
export interface Element {
  kind: number;
  a: number;
  b: number;
  values: Value | null;
}

export interface Window {
  channels: number;
  side: number;
  stride: number;
  pad: number;
  edge: boolean;
  depthwise: boolean;
  weights: Pointer;
  bias: Pointer;
}

/** Numbers copied: from where in which array, how many, and to where. */
export interface Piece {
  from: Value;
  first: number;
  count: number;
  to: number;
}

export type Step = { out: Root; shape: readonly number[]; elements: Element[] } & (
  | { kind: "elementwise"; x: Value }
  | { kind: "convolution"; x: Value; window: Window }
  | { kind: "rearrange"; x: Value; first: number; sizes: number[]; strides: number[] }
  | { kind: "copy"; pieces: Piece[] }
  | { kind: "function"; x: Value; apply: (x: number) => number }
);

/** The arrays that a step reads. */
export function readBy(step: Step): Value[] {
  const read = step.elements.flatMap(({ values }) => (values ? [values] : []));
  return [...read, ...(step.kind === "copy" ? step.pieces.map(({ from }) => from) : [step.x])];
}

/** Numbers of the room in which a convolution gathers pixels. */
export function panelSize(step: Step): number {
  if (step.kind !== "convolution") return 0;
  const { window, x } = step;
  if (window.depthwise) return 3 * ((x.shape[3] as number) + 2);
  return 32 * (x.shape[1] as number) * window.side * window.side;
}
