/** How to connect a sensor: the lines to copy. */

import { button, h } from "./dom.js";
import { toast } from "./toast.js";
import { viewer } from "./viewer.js";

/**
 * Returns a block with a mosquitto_pub line that sends one measurement as `identifier`.
 * @param {string} identifier
 * @param {string} [password] of its credential, where it is known
 */
export function publishLine(identifier, password) {
  const { host, port, tls, login } = viewer.mqtt;
  const trust = tls ? " --cafile ca.crt" : "";
  const account = login || password ? ` -i ${identifier} -u ${identifier} -P '${password ?? "…"}'` : "";
  const payload = `{"measurements": [{"revision": 0, "timestamp": '$(date +%s)', "value": {"temperature": 21.5}}]}`;
  return codeBlock(
    `mosquitto_pub -h ${host} -p ${port}${trust}${account} -q 1 -t measurements/${identifier} \\\n  -m '${payload}'`,
  );
}

/** @param {string} code */
export function codeBlock(code) {
  return h(
    "div",
    { class: "code-block" },
    h("pre", { tabindex: "0" }, code),
    button("Copy", { icon: "copy", tone: "quiet", only: true, press: () => copy(code) }),
  );
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser did not allow copying. Select the text and copy it by hand.", "bad");
  }
}
