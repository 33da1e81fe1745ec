// A second opinion: bundles, judged by @sigstore/verify, which nobody here wrote.
//
// node verify.mjs FOLDER < jobs.json    FOLDER holds node_modules; one job is
//   { bundle, trustedRoot, keys, thresholds, identity }
// with the bundle as text, keys as DER in base64 by hint, and `identity` as { subject, issuer } or
// null. One answer for each: { payload } in base64, or { error, code }.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const require = createRequire(join(resolve(process.argv[2]), "index.js"));
const { bundleFromJSON } = require("@sigstore/bundle");
const { TrustedRoot } = require("@sigstore/protobuf-specs");
const { Verifier, toSignedEntity, toTrustMaterial } = require("@sigstore/verify");

function policyOf(identity) {
  if (identity === null) return undefined;
  // sigstore-js takes a name that is a text as a regular expression
  const escaped = identity.subject.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return {
    subjectAlternativeName: `^${escaped}$`,
    extensions: { issuer: identity.issuer },
  };
}

function judge({ bundle: text, trustedRoot, keys, thresholds, identity }) {
  const bundle = bundleFromJSON(JSON.parse(text));
  const found = Object.entries(keys).map(([hint, der]) => [
    hint,
    { rawBytes: Buffer.from(der, "base64") },
  ]);
  const material = toTrustMaterial(TrustedRoot.fromJSON(trustedRoot), Object.fromEntries(found));
  new Verifier(material, thresholds).verify(toSignedEntity(bundle), policyOf(identity));
  return { payload: bundle.content.dsseEnvelope.payload.toString("base64") };
}

const answers = JSON.parse(readFileSync(0, "utf8")).map((job) => {
  try {
    return judge(job);
  } catch (error) {
    return { error: String(error.message), code: error.code ?? error.name };
  }
});
process.stdout.write(JSON.stringify(answers));
