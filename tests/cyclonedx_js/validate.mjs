// A second opinion: BOMs, judged by the strict validators of npm's @cyclonedx/cyclonedx-library.
//
// node validate.mjs FOLDER < jobs.json    FOLDER holds node_modules; one job is { version, data }
// with the BOM as text. One answer for each: { errors }, an empty list if it is valid.
//
// The library's XML validator asks libxmljs2, which is compiled or downloaded when it is installed.
// Here the same libxml2 comes as WebAssembly (libxml2-wasm), behind the two functions that it uses.
import { readFileSync } from "node:fs";
import Module, { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const folder = resolve(process.argv[2]);
const require = createRequire(join(folder, "index.js"));
const find = (name) => pathToFileURL(join(folder, "node_modules", "libxml2-wasm", "lib", name)).href;
const { XmlDocument, XsdValidator } = await import(find("index.mjs"));
const { xmlRegisterFsInputProviders } = await import(find("nodejs.mjs"));
xmlRegisterFsInputProviders(); // a schema includes another one, which lies beside it

function parseXml(text, options = {}) {
  const document = XmlDocument.fromString(text, options.baseUrl ? { url: options.baseUrl } : {});
  return {
    document,
    validationErrors: [],
    validate(schema) {
      const validator = XsdValidator.fromDoc(schema.document);
      try {
        validator.validate(document);
        return true;
      } catch (error) {
        this.validationErrors = error.details ?? [{ message: String(error.message) }];
        return false;
      } finally {
        validator.dispose();
      }
    },
  };
}

const load = Module._load;
Module._load = (name, ...rest) => (name === "libxmljs2" ? { parseXml } : load(name, ...rest));
const { JsonStrictValidator, XmlValidator } = require("@cyclonedx/cyclonedx-library").Validation;

async function judge({ version, data }) {
  const Validator = data.startsWith("<") ? XmlValidator : JsonStrictValidator;
  const errors = await new Validator(version).validate(data);
  return { errors: (errors ?? []).map((one) => JSON.stringify(one)) };
}

const answers = [];
for (const job of JSON.parse(readFileSync(0, "utf8"))) answers.push(await judge(job));
process.stdout.write(JSON.stringify(answers));
