// Where pictures come from: a camera, a file, the clipboard, a sheet; and the frame that is asked about.

// More than any processor of a small model looks at.
const LIVE_SIDE = 512;
const STILL_SIDE = 1024;
const QUALITY = 0.88;

const video = document.getElementById("video");
const still = document.getElementById("still");
const canvas = document.createElement("canvas");

let stream = null;
let facing = "environment";

export const isLive = () => stream !== null;

/** Starts the camera; throws what keeps it from starting, in words. */
export async function start(other = false) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("This browser gives cameras to pages of its own machine or over TLS alone. Open a picture instead.");
  }
  if (other) facing = facing === "environment" ? "user" : "environment";
  stop();
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 960 } },
    });
  } catch (error) {
    const why = {
      NotAllowedError: "The browser keeps the camera from this page: allow it in the address bar, or open a picture.",
      NotFoundError: "There is no camera. Open a picture, or take a sheet.",
      NotReadableError: "Another program uses the camera.",
    };
    throw new Error(why[error.name] ?? `The camera does not start: ${error.message}`);
  }
  video.srcObject = stream;
  await video.play();
  video.hidden = false;
  still.hidden = true;
}

export function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  video.srcObject = null;
  video.hidden = true;
}

/** How many cameras there are, as far as the browser says. */
export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").length;
}

/** Shows a picture in place of the camera. `source`: an address of this page, or a file. */
export async function show(source, words) {
  const address = typeof source === "string" ? source : URL.createObjectURL(source);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
  } catch {
    if (address !== source) URL.revokeObjectURL(address);
    throw new Error("That is no picture that this browser can show.");
  }
  stop();
  if (still.src.startsWith("blob:")) URL.revokeObjectURL(still.src);
  still.src = address;
  still.alt = words;
  still.hidden = false;
  await still.decode();
}

/** The picture as it is now, as a data: URI; null where there is none. Of the camera, the square that is seen. */
export function frame() {
  if (isLive()) {
    const { videoWidth: width, videoHeight: height } = video;
    const side = Math.min(width, height);
    if (!side) return null;
    return drawn(video, (width - side) / 2, (height - side) / 2, side, side, LIVE_SIDE);
  }
  if (still.hidden || !still.naturalWidth) return null;
  return drawn(still, 0, 0, still.naturalWidth, still.naturalHeight, STILL_SIDE);
}

function drawn(source, left, top, width, height, most) {
  const scale = Math.min(1, most / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, left, top, width, height, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", QUALITY);
}

/** Resolves when the camera has a frame that was not there before. */
export function nextFrame() {
  if (!isLive()) return new Promise((done) => setTimeout(done, 250));
  return new Promise((done) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(() => done());
    else requestAnimationFrame(() => done());
  });
}
