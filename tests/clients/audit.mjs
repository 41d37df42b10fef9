// The audits of the npm package graphql-http against a running server. Every one must pass, the optional ones too.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
const expected = 61;
const audits = serverAudits({ url, fetchFn: fetch });
let passed = 0;
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status === "ok") {
    passed += 1;
  } else {
    console.log(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
  }
}
console.log(`${passed} of ${audits.length} audits pass`);
process.exit(passed === audits.length && audits.length === expected ? 0 : 1);
