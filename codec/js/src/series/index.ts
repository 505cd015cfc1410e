// Detectors of series, row by row: without ONNX Runtime, without dependencies.

export type { PackedModel } from "../bundle/bundle.js";
export type { Input } from "../container/source.js";
export { AezError, InvalidArgument, ModelError } from "../errors.js";
export { Detector, type Reading, type Row, type Scored } from "./detector.js";
export { type Event, type EventRule, EventTracker, type EventUpdate } from "./events.js";
