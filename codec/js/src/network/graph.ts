// A graph out of a serialized ONNX model.
import { ModelError } from "../errors.js";
import { type Field, fields, float, integers, message, text, unreadable } from "./protobuf.js";

/** An array: float32, or whole numbers in a Float64Array. */
export interface Tensor {
  shape: readonly number[];
  data: Float32Array | Float64Array;
}

export type Attribute = number | string | number[];

export interface Node {
  operator: string;
  inputs: string[];
  outputs: string[];
  attributes: Record<string, Attribute>;
}

/** For an operator, or a use of one, that is not run here. */
export function unsupported({ operator }: Pick<Node, "operator">): ModelError {
  return new ModelError(`the operator ${operator} needs another runtime`);
}

export interface Graph {
  nodes: Node[];
  constants: Map<string, Tensor>;
  inputs: string[];
  /** Inputs that have a value where they are left out: a constant of that name. */
  optional: string[];
  outputs: string[];
}

const IR_MAX = 10;
const OPSET_MAX = 18;
const ELEMENTS_MAX = 2 ** 25;
const NODES_MAX = 20000;
// Numbers of onnx.proto.
const FLOAT = 1;
const INT8 = 3;
const INT64 = 7;
const BOOLEAN = 9;
const HALF = 10;

/** The graph of a model. Throws ModelError. */
export function parseGraph(data: Uint8Array): Graph {
  const graph: Graph = { nodes: [], constants: new Map(), inputs: [], optional: [], outputs: [] };
  for (const field of fields(data)) {
    if (field.number === 7) readGraph(message(field), graph);
    else if (field.number === 1 && Number(field.value) > IR_MAX)
      throw new ModelError("a graph has a form that is too new");
    else if (field.number === 8) checkOperators(message(field));
  }
  graph.optional = graph.inputs.filter((name) => graph.constants.has(name));
  graph.inputs = graph.inputs.filter((name) => !graph.constants.has(name));
  return graph;
}

function checkOperators(data: Uint8Array): void {
  for (const field of fields(data)) {
    const standard = field.number !== 1 || ["", "ai.onnx"].includes(text(field));
    if (!standard || (field.number === 2 && Number(field.value) > OPSET_MAX))
      throw new ModelError("a graph needs other operators");
  }
}

function readGraph(data: Uint8Array, graph: Graph): void {
  for (const field of fields(data)) {
    if (field.number === 1) graph.nodes.push(readNode(message(field)));
    else if (field.number === 5) {
      const [name, tensor] = readTensor(message(field));
      graph.constants.set(name, tensor);
    } else if (field.number === 11) graph.inputs.push(nameOf(message(field)));
    else if (field.number === 12) graph.outputs.push(nameOf(message(field)));
    if (graph.nodes.length > NODES_MAX) throw unreadable();
  }
}

function nameOf(data: Uint8Array): string {
  for (const field of fields(data)) if (field.number === 1) return text(field);
  throw unreadable();
}

function readNode(data: Uint8Array): Node {
  const node: Node = { operator: "", inputs: [], outputs: [], attributes: {} };
  for (const field of fields(data)) {
    if (field.number === 1) node.inputs.push(text(field));
    else if (field.number === 2) node.outputs.push(text(field));
    else if (field.number === 4) node.operator = text(field);
    else if (field.number === 5) readAttribute(message(field), node.attributes);
    else if (field.number === 7 && text(field) && text(field) !== "ai.onnx") {
      throw new ModelError("a graph needs other operators");
    }
  }
  return node;
}

function readAttribute(data: Uint8Array, attributes: Record<string, Attribute>): void {
  let name = "";
  let value: Attribute = [];
  for (const field of fields(data)) {
    if (field.number === 1) name = text(field);
    else if (field.number === 2) value = float(field);
    else if (field.number === 3) value = Number(field.value);
    else if (field.number === 4) value = text(field);
    else if (field.number === 8) (value as number[]).push(...integers(field));
    else if (![13, 20].includes(field.number)) throw unreadable();
  }
  attributes[name] = value;
}

function readTensor(data: Uint8Array): [string, Tensor] {
  const shape: number[] = [];
  const lists: Field[] = [];
  let type = 0;
  let name = "";
  let raw: Uint8Array | null = null;
  for (const field of fields(data)) {
    if (field.number === 1) shape.push(...integers(field));
    else if (field.number === 2) type = Number(field.value);
    else if (field.number === 8) name = text(field);
    else if (field.number === 9) raw = message(field);
    else if (field.number === 4 || field.number === 5 || field.number === 7) lists.push(field);
    else if (field.number === 13 || (field.number === 14 && field.value !== 0n)) {
      throw unreadable();
    }
  }
  const count = shape.reduce((product, size) => product * size, 1);
  if (!(count >= 0 && count <= ELEMENTS_MAX)) throw unreadable();
  const values = raw ? fromRaw(raw, type, count) : fromLists(lists, type);
  if (values?.length !== count) throw unreadable();
  return [name, { shape, data: values }];
}

function fromRaw(raw: Uint8Array, type: number, count: number): Tensor["data"] | null {
  const size = { [FLOAT]: 4, [INT8]: 1, [BOOLEAN]: 1, [INT64]: 8, [HALF]: 2 }[type];
  if (!size || raw.length !== size * count) return null;
  const bytes = raw.slice().buffer;
  if (type === FLOAT) return new Float32Array(bytes);
  if (type === HALF) return fromHalves(new Uint16Array(bytes));
  if (type !== INT64) return Float64Array.from(new Int8Array(bytes));
  return Float64Array.from(new BigInt64Array(bytes), Number);
}

function fromLists(lists: Field[], type: number): Tensor["data"] | null {
  if (type === INT64) return Float64Array.from(lists.filter(({ number }) => number === 7).flatMap(integers));
  if (type === INT8 || type === BOOLEAN)
    return Float64Array.from(lists.filter(({ number }) => number === 5).flatMap(integers));
  if (type !== FLOAT) return null;
  const parts = lists.filter(({ number }) => number === 4).map(message);
  return Float32Array.from(parts.flatMap((part) => [...new Float32Array(part.slice().buffer)]));
}

/** float16 to float32, exactly. */
function fromHalves(halves: Uint16Array): Float32Array {
  const found = new Float32Array(halves.length);
  const bits = new Uint32Array(found.buffer);
  const up = 2 ** 112; // the difference between the biases of the exponents
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] as number;
    bits[i] = (half & 0x7fff) << 13;
    found[i] = (found[i] as number) * (half & 0x8000 ? -up : up);
  }
  return found;
}
