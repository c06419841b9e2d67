// Numbers and parts of the page, in words.

export const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(attribute, value);
  }
  made.append(...children);
  return made;
};

export const counted = (count, noun) => `${Math.round(count).toLocaleString("en")} ${noun}${Math.round(count) === 1 ? "" : "s"}`;

export const time = (ms) => {
  if (ms === undefined || ms === null) return "–";
  if (ms < 0.1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 10_000) return `${ms.toFixed(0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
};

export const bytes = (count) => {
  if (!count) return "–";
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count < 10 && unit ? count.toFixed(1) : count.toFixed(0)} ${units[unit]}`;
};

export const percent = (share) => `${(share * 100).toFixed(share > 0.1 && share < 0.9 ? 0 : 1)} %`;
