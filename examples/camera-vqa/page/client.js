// Asks the server that this page comes from, and hands on what it streams.

// A key stands after `#` in the address that the server printed; it is kept here alone.
const key = new URLSearchParams(location.hash.slice(1)).get("key");
if (key) history.replaceState(null, "", location.pathname);

const headers = (more = {}) => (key ? { authorization: `Bearer ${key}`, ...more } : more);

/** What went wrong, in words for the person who asked. */
export class Trouble extends Error {}

async function refusal(response) {
  const body = await response.json().catch(() => null);
  const said = body?.error?.message ?? `status ${response.status}`;
  if (response.status === 429) return new Trouble("The engine is busy with others. Ask again in a moment.");
  return new Trouble(said);
}

/** The model that answers, as /v1/models tells it. */
export async function model() {
  const response = await fetch("/v1/models", { headers: headers() });
  if (!response.ok) throw await refusal(response);
  return (await response.json()).data[0];
}

/**
 * Asks `question` about `picture`, a data: URI. `seen` gets every event on the way. Resolves to what it cost; aborting
 * `signal` ends the work at the server too.
 */
export async function ask({ picture, question, options, signal, seen }) {
  const body = {
    stream: true,
    messages: [{ role: "user", content: [
      { type: "image_url", image_url: { url: picture } },
      { type: "text", text: question },
    ] }],
    ...options,
    curt: { events: true, ...options.curt },
  };
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await refusal(response);
  let cost = null;
  for await (const chunk of events(response.body)) {
    if (chunk.error) throw new Trouble(chunk.error.message);
    if (chunk.usage) cost = chunk.curt;
    else if (chunk.curt) seen(chunk.curt);
  }
  if (!cost) throw new Trouble("The answer broke off.");
  return cost;
}

/** The JSON values of a stream of server-sent events. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, "");
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
}
