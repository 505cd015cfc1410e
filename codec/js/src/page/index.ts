// What the element, the polyfill and the viewer share: the models of the page, files from the network, decoding aside.
export { decodeSeen, type Wanted, workers } from "./decoding.js";
export { type Arriving, absolute, fetchPicture, scaleOf, shownSize } from "./fetching.js";
export { type ModelSource, modelOf, models } from "./models.js";
