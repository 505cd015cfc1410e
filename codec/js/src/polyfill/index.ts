// `<img src="picture.aez">`, srcset and `<picture>`: opt-in, by `start()`.
export type { ModelSource } from "../page/index.js";
export { models, workers } from "../page/index.js";
export { start } from "./watch.js";
