// The picture of a result: names and scores under the pointer, boxes by two clicks.
const find = (name) => element.querySelector(name);
let shown = null; // of the last value: {picture, numbers, labels}
let here = 0; // the number under the pointer, 0 for none
let corner = null; // of a box whose other corner is still to come, in shares of the picture
let pointer = null;
let turn = 0;

const load = (address) =>
  new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = failed;
    image.src = address;
  });

async function show() {
  const value = props.value;
  const own = ++turn;
  if (!value) return;
  const [picture, numbers] = await Promise.all([load(value.picture), load(value.numbers)]);
  if (own !== turn) return; // a newer one came while these were decoded
  const pixels = new OffscreenCanvas(numbers.width, numbers.height).getContext("2d");
  pixels.drawImage(numbers, 0, 0);
  const bytes = pixels.getImageData(0, 0, numbers.width, numbers.height).data;
  shown = { picture, labels: value.labels, numbers: new Uint16Array(bytes.length / 4) };
  for (let i = 0; i < shown.numbers.length; i++)
    shown.numbers[i] = bytes[4 * i] + 256 * bytes[4 * i + 1];
  const canvas = find(".pr-canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.style.width = `min(100%, ${(78 * picture.width) / picture.height}vh)`;
  canvas.classList.toggle("pr-draws", props.draws);
  canvas.hidden = false;
  find(".pr-empty").hidden = true;
  find(".pr-title").textContent = value.title;
  const list = find(".pr-labels");
  list.replaceChildren(
    ...value.labels.map((label, number) => {
      const item = document.createElement("li");
      item.textContent = label;
      item.addEventListener("mouseenter", () => point(number + 1));
      item.addEventListener("mouseleave", () => point(0));
      return item;
    })
  );
  find(".pr-tip").hidden = true;
  here = 0;
  corner = null;
  paint();
}

function point(number) {
  if (number === here) return;
  here = number;
  [...find(".pr-labels").children].forEach((item, n) =>
    item.classList.toggle("pr-here", n + 1 === here)
  );
  paint();
}

function paint() {
  const canvas = find(".pr-canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(shown.picture, 0, 0);
  if (here) {
    const bright = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < shown.numbers.length; i++)
      if (shown.numbers[i] === here)
        for (let c = 4 * i; c < 4 * i + 3; c++) bright.data[c] += (255 - bright.data[c]) * 0.35;
    context.putImageData(bright, 0, 0);
  }
  if (corner && pointer) {
    const [x, y] = [canvas.width, canvas.height].map((side, n) => side * corner[n]);
    const far = [canvas.width, canvas.height].map((side, n) => side * pointer[n]);
    context.lineWidth = Math.max(canvas.width / 400, 1.5);
    for (const [color, dash] of [["#fff", []], ["#111", [6, 6]]]) {
      context.strokeStyle = color;
      context.setLineDash(dash);
      context.strokeRect(x, y, far[0] - x, far[1] - y);
    }
    context.setLineDash([]);
  }
}

function place(event) {
  const frame = find(".pr-canvas").getBoundingClientRect();
  const share = (v, low, side) => Math.min(Math.max((v - low) / side, 0), 1);
  return [share(event.clientX, frame.left, frame.width), share(event.clientY, frame.top, frame.height)];
}

function move(event) {
  if (!shown) return;
  const canvas = find(".pr-canvas");
  const tip = find(".pr-tip");
  if (event.target !== canvas) {
    tip.hidden = true;
    if (!event.target.closest(".pr-labels")) point(0);
    return;
  }
  pointer = place(event);
  const column = Math.min(Math.floor(pointer[0] * canvas.width), canvas.width - 1);
  const row = Math.min(Math.floor(pointer[1] * canvas.height), canvas.height - 1);
  const number = shown.numbers[row * canvas.width + column];
  tip.hidden = !number;
  if (number) {
    tip.textContent = shown.labels[number - 1];
    const frame = find(".pr-frame").getBoundingClientRect();
    const left = event.clientX - frame.left + 14;
    tip.style.left = `${Math.max(Math.min(left, frame.width - tip.offsetWidth), 0)}px`;
    tip.style.top = `${event.clientY - frame.top + 18}px`;
  }
  const before = here;
  point(number);
  if (corner && before === here) paint();
}

element.addEventListener("pointermove", move);
element.addEventListener("pointerleave", () => {
  if (!shown) return;
  find(".pr-tip").hidden = true;
  point(0);
});
element.addEventListener("click", (event) => {
  if (!shown || !props.draws || event.target !== find(".pr-canvas")) return;
  move(event);
  if (!corner) {
    corner = place(event);
    return;
  }
  const corners = [...corner, ...place(event)];
  corner = null;
  trigger("drawn", { corners });
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !corner) return;
  corner = null;
  paint();
});
watch("value", show);
show();
