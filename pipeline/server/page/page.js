// Photographs to a model's answers, over TensorFlow Serving's REST API. ?server=http://host:8501&model=name asks another
// server than the one that gave this page.

const asked = new URLSearchParams(location.search);
const server = (asked.get("server") ?? "").replace(/\/$/, "");
const MAX_SIDE = 4096; // pixels of a photograph that is sent

const element = (id) => document.getElementById(id);
const status = element("status");
const svgNamespace = "http://www.w3.org/2000/svg";
let settings = { models: [], faces: false, palette: [] };
let contract = null;

// A node with attributes and children; text as a string.
function node(tag, attributes = {}, ...children) {
  const made = ["svg", "rect", "circle", "text"].includes(tag)
    ? document.createElementNS(svgNamespace, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

async function json(url, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(url, options);
  const said = await answer.json().catch(() => ({ error: `${answer.status} ${answer.statusText}` }));
  if (said.error) throw new Error(said.error);
  return said;
}

const modelUrl = () => `${server}/v1/models/${encodeURIComponent(element("model").value)}`;

// The answers of a signature for images as base 64, by output.
async function predict(signature, images) {
  const inputs = { image_bytes: images.map((b64) => ({ b64 })) };
  const { outputs } = await json(`${modelUrl()}:predict`, { signature_name: signature, inputs });
  return outputs;
}

async function chooseModel() {
  const chosen = element("model").value;
  contract = null;
  element("version").textContent = "";
  try {
    const [state, text] = await Promise.all([json(modelUrl()), predict("contract", [""])]);
    if (element("model").value !== chosen) return; // another was chosen meanwhile
    contract = JSON.parse([text].flat()[0]);
    const available = state.model_version_status.find((each) => each.state === "AVAILABLE");
    element("version").textContent = available ? `version ${available.version}` : "";
    const aligns = settings.faces && Object.keys(contract.frames).length > 0;
    element("as-is").checked = element("as-is").disabled = !aligns;
    say(aligns ? "" : "Faces are not looked for: the model's training images have none, or dlib is missing here.");
  } catch (error) {
    if (element("model").value === chosen) say(`The model can't be reached: ${error.message}`, true);
  }
}

const base64 = async (blob) => {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
};

// What the browser can decode goes upright, without its position and camera, as JPEG or PNG; the rest as it is.
async function prepared(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return { b64: await base64(file), url: null };
  }
  const factor = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = node("canvas", { width: Math.round(bitmap.width * factor), height: Math.round(bitmap.height * factor) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const lossless = canvas.width * canvas.height < 1e6;
  const blob = await new Promise((done) => canvas.toBlob(done, lossless ? "image/png" : "image/jpeg", 0.95));
  return { b64: await base64(blob), url: URL.createObjectURL(blob), width: canvas.width, height: canvas.height };
}

// [{box, score, shown: [{tasks, image: {b64}, width, height, back}]}], as pipeline/server/faces.py has them.
async function facesOf(photograph) {
  if (!element("as-is").checked) {
    const height = contract.image_size[0];
    return json("faces", { photograph: { b64: photograph.b64 }, height, frames: contract.frames });
  }
  const { width, height } = photograph;
  const tasks = Object.keys(contract.signatures.serving_default);
  const back = [[1, 0, 0], [0, 1, 0]];
  return { width, height, faces: [{ box: null, shown: [{ tasks, image: { b64: photograph.b64 }, width, height, back }] }] };
}

const outputsOf = (tasks) =>
  Object.entries(contract.signatures.serving_default).filter(([name]) => tasks.includes(name.replace(/_decisions$/, "")));

async function answer(file) {
  const started = performance.now();
  const place = node("article", { class: "photograph" }, node("h2", {}, file.name ?? "From the camera"));
  element("results").prepend(place);
  try {
    const photograph = await prepared(file);
    const found = await facesOf(photograph);
    const whole = node("div", { class: "whole" });
    // The browser shows what it can decode; of the rest the server sends a picture.
    const source = photograph.url ?? (found.photograph && `data:image/jpeg;base64,${found.photograph.b64}`);
    if (source) whole.append(node("img", { src: source, alt: "The photograph" }));
    const canvas = node("canvas", { width: found.width, height: found.height, "aria-hidden": "true" });
    const marks = node("svg", { viewBox: `0 0 ${found.width} ${found.height}`, "aria-hidden": "true" });
    whole.append(canvas, marks);
    place.append(whole);
    if (!found.faces.length) place.append(node("p", {}, "No face was found."));
    for (const [number, face] of found.faces.entries()) {
      place.append(await faceNode(number, face, found, canvas, marks));
    }
    const count = found.faces.length === 1 ? "1 face" : `${found.faces.length} faces`;
    say(`${file.name ?? "Picture"}: ${count}, ${((performance.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    place.append(node("p", { class: "problem" }, error.message));
    say(`${file.name ?? "The picture"} was not answered.`, true);
  }
}

async function faceNode(number, face, found, canvas, marks) {
  const pictures = node("div", {});
  const words = node("div", {});
  const title = face.box ? `Face ${number + 1}` : "The image";
  words.append(node("h3", {}, face.score === undefined ? title : `${title}, found with a score of ${face.score.toFixed(2)}`));
  if (face.box) markBox(number, face.box, found, marks);
  for (const shown of face.shown) {
    const alt = `${title} as the model is shown it`;
    pictures.append(node("img", { src: `data:image/png;base64,${shown.image.b64}`, alt }));
    const answers = await predict("serving_default", [shown.image.b64]);
    const reason = answers.image_status[0];
    if (reason) {
      words.append(node("p", { class: "problem" }, contract.signatures.serving_default.image_status.codes[reason]));
      continue;
    }
    for (const [name, each] of outputsOf(shown.tasks)) {
      words.append(...answerNodes(name, each, answers, shown, found, canvas, marks));
    }
    if (contract.signatures.attention) words.append(await attentionNode(shown));
  }
  return node("section", { class: "face", "aria-label": title }, pictures, words);
}

function markBox(number, [left, top, width, height], found, marks) {
  marks.append(node("rect", { class: "box", x: left, y: top, width, height }));
  const size = Math.max(found.width, found.height) / 28;
  marks.append(node("text", { class: "number", x: left + size * 0.2, y: top - size * 0.25, "font-size": size, "stroke-width": size / 8 }, `${number + 1}`));
}

function answerNodes(name, each, answers, shown, found, canvas, marks) {
  const title = node("h3", {}, readable(name));
  const values = answers[name][0];
  if (each.kind === "number") return [title, node("p", { class: "big" }, values.toFixed(1))];
  if (each.kind === "points") {
    for (const [x, y] of values) markPoint(x * shown.width, y * shown.height, shown.back, found, marks);
    return [title, node("p", { class: "quiet" }, `${values.length} points, drawn into the photograph`)];
  }
  if (each.kind === "label_map") return [title, paint(values, each, shown, canvas)];
  const decided = contract.signatures.serving_default[`${name}_decisions`];
  if (decided) return [title, scoresNode(each, decided, values, answers[`${name}_decisions`][0])];
  if (each.kind === "probabilities") return [title, probabilitiesNode(each, values)];
  return [];
}

// Scores against their thresholds: a meter from the lowest to the highest score, what is decided first.
function scoresNode(each, decided, scores, decisions) {
  const lowest = each.minimum ?? Math.min(...scores, ...decided.thresholds);
  const highest = each.maximum ?? Math.max(...scores, ...decided.thresholds);
  const share = (value) => 100 * (value - lowest) / (highest - lowest || 1);
  const order = each.names.map((_, i) => i).sort((a, b) => decisions[b] - decisions[a] || scores[b] - decided.thresholds[b] - scores[a] + decided.thresholds[a]);
  const rows = order.map((i) => {
    const [from, to] = [share(decided.thresholds[i]), share(scores[i])];
    const bar = node("i", { style: `left:${Math.min(from, to)}%;width:${Math.abs(to - from)}%` });
    const meter = node("span", { class: "meter", "aria-hidden": "true" }, bar, node("s", { style: `left:${from}%` }));
    const word = `${decisions[i] ? "yes" : "no"}`;
    return node("li", { class: `row ${word}`, title: `score ${scores[i].toFixed(3)}, threshold ${decided.thresholds[i].toFixed(3)}` }, node("span", {}, readable(each.names[i])), meter, node("span", {}, word));
  });
  const yes = node("ul", { class: "rows" }, ...rows.filter((_, i) => decisions[order[i]]));
  const others = rows.filter((_, i) => !decisions[order[i]]);
  const no = node("details", {}, node("summary", {}, `${others.length} that it says no to`), node("ul", { class: "rows" }, ...others));
  return others.length ? node("div", {}, yes, no) : yes;
}

function probabilitiesNode(each, values) {
  const best = values.indexOf(Math.max(...values));
  const rows = each.names.map((name, i) => {
    const meter = node("span", { class: "meter", "aria-hidden": "true" }, node("i", { style: `left:0;width:${100 * values[i]}%` }));
    return node("li", { class: `row ${i === best ? "yes" : ""}` }, node("span", {}, readable(name)), meter, node("span", {}, `${(100 * values[i]).toFixed(0)} %`));
  });
  return node("ul", { class: "rows" }, ...rows);
}

function markPoint(x, y, back, found, marks) {
  const [cx, cy] = back.map(([a, b, c]) => a * x + b * y + c);
  marks.append(node("circle", { class: "point", cx, cy, r: Math.max(found.width, found.height) / 320 }));
}

const colourOf = (label, count) => settings.palette[label] ?? `hsl(${(label * 360) / count} 65% 55%)`;

// A label map into the photograph's canvas, and its legend.
function paint(labels, each, shown, canvas) {
  // Around a smaller image of a batch there is padding, also where a server puts several people's requests together.
  const height = labels.filter((row) => row[0] !== each.padding).length;
  const width = labels[0].filter((label) => label !== each.padding).length;
  const layer = node("canvas", { width, height });
  const context = layer.getContext("2d");
  const seen = new Set(labels.flat());
  for (const label of seen) {
    if (label === 0 || label === each.padding) continue;
    context.fillStyle = colourOf(label, each.names.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0, start; x < width; x++) {
        if (labels[y][x] !== label) continue;
        for (start = x; x < width && labels[y][x] === label; ) x++;
        context.fillRect(start, y, x - start, 1);
      }
    }
  }
  const target = canvas.getContext("2d");
  const [[a, b, s], [c, d, t]] = shown.back;
  target.setTransform((a * shown.width) / width, (c * shown.width) / width, (b * shown.height) / height, (d * shown.height) / height, s, t);
  target.globalAlpha = 0.6;
  target.drawImage(layer, 0, 0);
  target.resetTransform();
  const present = [...seen].filter((label) => label !== 0 && label !== each.padding).sort((one, other) => one - other);
  const item = (label) => node("li", {}, node("i", { style: `background:${colourOf(label, each.names.length)}` }), readable(each.names[label]));
  return node("ul", { class: "legend" }, ...present.map(item));
}

// Where an MGG-Net looks for each group of attributes, of its last block.
async function attentionNode(shown) {
  const answers = await predict("attention", [shown.image.b64]);
  const block = Object.keys(answers).filter((name) => name.startsWith("masks_")).sort().pop();
  if (!block) return node("span");
  const masks = answers[block][0];
  const picture = new Image();
  picture.src = `data:image/png;base64,${shown.image.b64}`;
  await picture.decode();
  const figures = answers.groups[0].map((group, k) => {
    const canvas = node("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
    const context = canvas.getContext("2d");
    context.drawImage(picture, 0, 0);
    const highest = Math.max(...masks.flat().map((values) => values[k]), 1e-6);
    const heat = node("canvas", { width: masks[0].length, height: masks.length });
    const image = heat.getContext("2d").createImageData(heat.width, heat.height);
    masks.flat().forEach((values, at) => image.data.set([255, 90, 0, (210 * values[k]) / highest], 4 * at));
    heat.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(heat, 0, 0, canvas.width, canvas.height);
    return node("figure", {}, canvas, node("figcaption", {}, readable(group)));
  });
  return node("details", {}, node("summary", {}, "Where it looks for each group of attributes"), node("div", { class: "maps" }, ...figures));
}

const readable = (name) => name.replaceAll("_", " ");

async function answerAll(files) {
  if (!contract) return say("There is no model to ask.", true);
  element("model").disabled = true; // until all is answered by one
  for (const [number, file] of [...files].entries()) {
    say(`${number + 1} of ${files.length}: ${file.name ?? "picture"} ...`);
    await answer(file);
  }
  element("model").disabled = false;
}

function listen() {
  const drop = element("drop");
  element("files").addEventListener("change", ({ target }) => answerAll([...target.files]).then(() => (target.value = "")));
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.body.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") answerAll([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && answerAll([...clipboardData.files]));
  element("model").addEventListener("change", chooseModel);
  const video = element("video");
  const close = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    element("viewfinder").hidden = true;
  };
  element("camera").addEventListener("click", async () => {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
      element("viewfinder").hidden = false;
      element("shoot").focus();
    } catch (error) {
      say(`The camera can't be used: ${error.message}`, true);
    }
  });
  element("shoot").addEventListener("click", () => {
    const canvas = node("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => answerAll([blob]), "image/png");
    close();
  });
  element("close").addEventListener("click", close);
}

async function begin() {
  settings = await json("settings").catch(() => settings);
  const models = asked.get("model") ? [asked.get("model")] : settings.models;
  element("model").append(...models.map((name) => node("option", { value: name }, name)));
  element("server").textContent = server || location.host;
  listen();
  await chooseModel();
  document.body.dataset.ready = "yes";
}

begin();
