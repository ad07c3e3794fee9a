"use strict";
// Names that the parts of the page share.
const retool = {};
window.Prism = { manual: true }; // it colours nothing by itself

// Data lies in the page as JSON, gzip, base64: no character of it can end a script element.
retool.unpackText = async (id) => {
  const packed = document.getElementById(`data-${id}`).textContent;
  const bytes = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(packed)
    : Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};
retool.unpack = async (id) => JSON.parse(await retool.unpackText(id));

// An element; strings among the children become text, never HTML.
retool.el = (tag, properties, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
};

retool.trouble = (error) => {
  const box = document.getElementById("trouble");
  box.hidden = false;
  box.textContent =
    typeof DecompressionStream === "undefined"
      ? "This browser cannot unpack the data of the page: it has no DecompressionStream (Chrome 80, Firefox 113, Safari 16.4)."
      : `The page could not be drawn: ${error}`;
  console.error(error);
};
