// usher.d.ts against usher.js: node usher_types.mjs MODULE TYPES, two files. It prints what is in one
// of them only, and what the compiler says of usher_types.ts.
import {readFileSync} from "node:fs";
import ts from "typescript";

const [module, types] = process.argv.slice(2);
const source = ts.createSourceFile("usher.d.ts", readFileSync(types, "utf8"), ts.ScriptTarget.ES2022);
const isExported = node => node.modifiers?.some(({kind}) => kind === ts.SyntaxKind.ExportKeyword);

const declared = new Set();
for (const node of source.statements) {
  if (!isExported(node) || !(ts.isClassDeclaration(node) || ts.isFunctionDeclaration(node))) continue;
  declared.add(node.name.text);
  for (const member of node.members ?? []) declared.add(`${node.name.text}.${member.name?.text ?? "constructor"}`);
}
for (const inherited of ["addEventListener", "removeEventListener"]) declared.delete(`Connection.${inherited}`);

const there = new Set();
for (const [name, value] of Object.entries(await import(`data:text/javascript,${encodeURIComponent(readFileSync(module, "utf8"))}`))) {
  there.add(name);
  if (!String(value).startsWith("class")) continue;
  for (const member of Object.getOwnPropertyNames(value.prototype)) there.add(`${name}.${member}`);
}
there.delete("ConnectionEvent.constructor"); // is the module's

const flaws = [
  ...[...declared].filter(name => !there.has(name)).map(name => `${name} is declared, but not there`),
  ...[...there].filter(name => !declared.has(name)).map(name => `${name} is there, but not declared`),
];
const program = ts.createProgram(["usher_types.ts"], {
  noEmit: true, strict: true, target: ts.ScriptTarget.ES2022, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], module: ts.ModuleKind.NodeNext, types: [],
});
for (const {file, start, messageText} of ts.getPreEmitDiagnostics(program)) {
  const line = file ? `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}: ` : "";
  flaws.push(line + ts.flattenDiagnosticMessageText(messageText, "\n"));
}
console.log(JSON.stringify(flaws));
