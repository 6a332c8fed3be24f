// Checks the dashboards against Grafana's published schema, and the provisioning beside them.
//
//   node schema.mjs MODULES GRAFANA_DIRECTORY     MODULES has @grafana/schema, typescript and yaml in node_modules
//
// Each dashboard is compiled as a literal of @grafana/schema's Dashboard, each panel's options and fieldConfig as its
// panel type's own: TypeScript refuses unknown keys, wrong types and wrong words. Queries are open there; they are run
// against real servers by the tests that call this. Prints the alert rules as JSON lines; faults go to stderr.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [modules, directory] = process.argv.slice(2).map((p) => path.resolve(p));
const require = createRequire(path.join(modules, "x.js"));
const ts = require("typescript");
const YAML = require("yaml");

let faults = 0;
const fault = (...words) => {
  faults++;
  console.error(...words);
};

// --- dashboards ------------------------------------------------------------------------------------------------------

const schema = path.dirname(require.resolve("@grafana/schema/package.json"));
const exported = Object.keys(JSON.parse(fs.readFileSync(path.join(schema, "package.json"))).exports);
const moduleOf = (type) =>
  exported.find((e) => e.startsWith(`./dist/esm/raw/composable/${type.replaceAll("-", "")}/panelcfg/`))?.slice(2);

function has(type, name) {
  const file = `dist/types/raw/composable/${type.replaceAll("-", "")}/panelcfg/x/types.gen.d.ts`;
  return new RegExp(`export interface ${name}\\b`).test(fs.readFileSync(path.join(schema, file), "utf8"));
}

// What JSON may hold for a type: enums as their words, every key optional, queries open.
const JSON_OF = `
type J<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? J<U>[]
  : T extends DataQuery ? T & Record<string, unknown>
  : T extends object ? { [K in keyof T]?: J<T[K]> } : T;
`;

function check(file) {
  const board = JSON.parse(fs.readFileSync(file, "utf8"));
  let source = `import type { Dashboard, DataQuery } from '@grafana/schema';\n${JSON_OF}`;
  const parts = [];
  const add = (what, type, value) => {
    parts.push([source.split("\n").length, what]);
    source += `export const x${parts.length}: ${type} = ${JSON.stringify(value, null, 1)};\n`;
  };
  // The annotations' targets are queries, which the schema calls otherwise.
  const annotations = { list: board.annotations.list.map(({ target, ...rest }) => rest) };
  add("dashboard", "J<Dashboard>", { ...board, annotations });
  for (const panel of board.panels.flatMap((p) => [p, ...(p.panels ?? [])])) {
    if (panel.type === "row") continue;
    const module = moduleOf(panel.type);
    if (!module) {
      fault(`${file}: panel ${panel.id}: no schema for panels of type ${panel.type}`);
      continue;
    }
    const type = (name) => `J<import('@grafana/schema/${module}').${name}>`;
    if (has(panel.type, "Options")) add(`panel ${panel.id}: options`, type("Options"), panel.options ?? {});
    const custom = panel.fieldConfig?.defaults?.custom;
    if (custom && has(panel.type, "FieldConfig")) add(`panel ${panel.id}: custom`, type("FieldConfig"), custom);
  }
  compile(source, (line, text) => {
    const part = parts.findLast(([first]) => first <= line)?.[1] ?? "";
    fault(`${file}: ${part}: ${text} [${source.split("\n")[line - 1]?.trim()}]`);
  });
}

function compile(source, found) {
  const name = path.join(modules, "dashboard.ts");
  const options = {
    noEmit: true, strict: true, skipLibCheck: true, types: [],
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  // The source is never written: several runs share the modules.
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.getSourceFile = (f, target, ...rest) =>
    f === name ? ts.createSourceFile(f, source, target) : getSourceFile.call(host, f, target, ...rest);
  host.fileExists = (f) => f === name || fileExists.call(host, f);
  host.readFile = (f) => (f === name ? source : readFile.call(host, f));
  const program = ts.createProgram([name], options, host);
  for (const d of ts.getPreEmitDiagnostics(program)) {
    const line = d.file?.fileName === name ? d.file.getLineAndCharacterOfPosition(d.start).line + 1 : 0;
    found(line, ts.flattenDiagnosticMessageText(d.messageText, " ").slice(0, 300));
  }
}

const boards = fs.readdirSync(path.join(directory, "dashboards")).filter((f) => f.endsWith(".json"));
if (!boards.length) fault(`${directory}/dashboards has no dashboards`);
boards.forEach((f) => check(path.join(directory, "dashboards", f)));

// --- provisioning ----------------------------------------------------------------------------------------------------

const yaml = (kind) =>
  fs.readdirSync(path.join(directory, "provisioning", kind)).map((f) => {
    const file = path.join(directory, "provisioning", kind, f);
    const read = YAML.parse(fs.readFileSync(file, "utf8"));
    if (read.apiVersion !== 1) fault(`${file}: apiVersion 1 is needed`);
    return [file, read];
  });

const sources = new Map(yaml("datasources").flatMap(([, f]) => f.datasources).map((s) => [s.uid, s]));
for (const s of sources.values()) {
  if (!s.name || !s.uid || !s.url) fault(`data source without name, uid or url: ${JSON.stringify(s)}`);
  const flux = s.jsonData;
  if (s.type === "influxdb" && !(flux.version === "Flux" && flux.organization && flux.defaultBucket && s.secureJsonData?.token))
    fault(`data source ${s.uid}: Flux needs organization, defaultBucket and a token`);
}
for (const [file, f] of yaml("dashboards"))
  for (const p of f.providers) if (p.type !== "file" || !p.options?.path) fault(`${file}: provider without a path`);

const rules = yaml("alerting").flatMap(([file, f]) => f.groups.flatMap((g) => g.rules.map((r) => ({ file, ...r }))));
const uids = new Set();
for (const rule of rules) {
  const where = `${rule.file}: ${rule.title}`;
  if (!rule.uid || uids.has(rule.uid)) fault(`${where}: uid missing, or used twice`);
  uids.add(rule.uid);
  const refs = new Set(rule.data.map((d) => d.refId));
  if (!refs.has(rule.condition)) fault(`${where}: its condition ${rule.condition} is none of its queries`);
  for (const d of rule.data) {
    if (d.datasourceUid !== "__expr__" && !sources.has(d.datasourceUid)) fault(`${where}: unknown data source ${d.datasourceUid}`);
    if (d.refId !== d.model.refId) fault(`${where}: refId ${d.refId} and ${d.model.refId}`);
    if (d.model.expression && !refs.has(d.model.expression)) fault(`${where}: unknown expression ${d.model.expression}`);
    if (d.model.query || d.model.expr) console.log(JSON.stringify({ title: rule.title, flux: d.model.query, promql: d.model.expr }));
  }
  for (const key of ["title", "for", "noDataState", "execErrState"]) if (!rule[key]) fault(`${where}: no ${key}`);
  if (!rule.labels?.severity || !rule.annotations?.summary) fault(`${where}: no severity, or no summary`);
}
process.exit(faults ? 1 : 0);
