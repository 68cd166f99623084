/** Many sensors at once: from a table or JSON, with what became of each row and their logins, shown once. */

import { postText } from "../api.js";
import { openDialog } from "../dialog.js";
import { h, icon } from "../dom.js";
import { checked, field, text } from "../form.js";
import { quantity } from "../format.js";

const EXAMPLE = "identifier,name,gateway,period_s,grace_s,label:floor\nboiler-1,Boiler in the cellar,,60,30,0";
// A thousand with credentials take some seconds.
const TIMEOUT_MS = 120_000;
// More refused rows than this nobody mends by reading a dialog.
const MOST_SHOWN = 100;

/** @param {string} network @param {() => void} then */
export async function importSensors(network, then) {
  /** @type {any} */
  let outcome = null;
  const table = field({
    name: "sensors",
    label: "Sensors",
    kind: "area",
    code: true,
    rows: 8,
    placeholder: EXAMPLE,
    hint: "CSV with a head of these columns, of which only the first is needed, or the API's JSON. A wrong row costs only itself.",
  });
  const done = await openDialog({
    title: `Import sensors into ${network}`,
    wide: true,
    body: [
      fileField(/** @type {HTMLTextAreaElement} */ (table.querySelector("textarea"))),
      table,
      field({
        name: "credentials",
        label: "Also issue their credentials",
        kind: "check",
        hint: "The passwords are shown once, after the import.",
      }),
    ],
    action: "Import",
    submit: async (form) => {
      const typed = text(form, "sensors");
      const path = `networks/${network}/sensors/${checked(form, "credentials") ? "?credentials=true" : ""}`;
      const type = /^[[{]/.test(typed) ? "application/json" : "text/csv";
      outcome = await postText(path, typed, { type, timeout_ms: TIMEOUT_MS });
    },
  });
  if (!done) return;
  then();
  await showOutcome(network, outcome);
}

/** @param {HTMLTextAreaElement} area that the file is read into */
function fileField(area) {
  const input = h("input", {
    type: "file",
    id: "import-file",
    class: "input",
    accept: ".csv,.json,text/csv,application/json",
    change: async () => {
      const file = input.files?.[0];
      if (file) area.value = await file.text();
    },
  });
  return h("div", { class: "field" }, h("label", { for: "import-file" }, "From a file"), input);
}

/** @param {string} network @param {any} outcome */
function showOutcome(network, { created, refused, results }) {
  const logins = results.map((/** @type {any} */ row) => row.credential).filter(Boolean);
  const wrong = results.filter((/** @type {any} */ row) => row.errors);
  return openDialog({
    title: `${quantity(created, "sensor")} imported${refused ? `, ${refused} refused` : ""}`,
    wide: true,
    cancel: "Close",
    body: [...(logins.length ? [loginLink(network, logins)] : []), ...(wrong.length ? [refusedTable(wrong)] : [])],
  });
}

/** @param {string} network @param {any[]} logins */
function loginLink(network, logins) {
  // Identifiers and passwords hold letters, digits, - and _ only, so nothing needs quoting.
  const lines = logins.map(({ username, client_id, password }) => `${username},${client_id},${password}\n`);
  const file = new Blob(["username,client_id,password\n", ...lines], { type: "text/csv" });
  return h(
    "div",
    { class: "stack" },
    h("p", {}, h("strong", {}, "Their passwords are here now and never again:")),
    h(
      "p",
      {},
      h(
        "a",
        { class: "button primary", href: URL.createObjectURL(file), download: `${network}-credentials.csv` },
        icon("download"),
        "Download the credentials",
      ),
    ),
  );
}

/** @param {any[]} wrong */
function refusedTable(wrong) {
  const shown = wrong.slice(0, MOST_SHOWN);
  return h(
    "div",
    { class: "table-wrap" },
    h(
      "table",
      { class: "table", "data-part": "refused" },
      h("caption", { class: "spoken" }, "Refused rows"),
      h("thead", {}, h("tr", {}, ["Row", "Identifier", "Why"].map((words) => h("th", { scope: "col" }, words)))),
      h(
        "tbody",
        {},
        shown.map((row) =>
          h(
            "tr",
            {},
            h("td", {}, String(row.row)),
            h("td", { class: "break" }, row.identifier),
            h("td", {}, reasons(row.errors)),
          ),
        ),
      ),
    ),
    wrong.length > shown.length && h("p", { class: "soft" }, `and ${wrong.length - shown.length} more`),
  );
}

/** @param {Record<string, string[]>} errors */
function reasons(errors) {
  return Object.entries(errors)
    .map(([name, messages]) => `${name}: ${messages.join(" ")}`)
    .join(" ");
}
