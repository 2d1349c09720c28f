// Node's jsonwebtoken and a running usher: node node_jsonwebtoken.mjs
// '{"mint":[{"alg","key","kid"}],"verify":[{"alg","key","token"}],"claims":{}}' prints, as one
// line of JSON, the tokens it made and what it understood of those it was given.
import jwt from "jsonwebtoken";

const job = JSON.parse(process.argv[2]);
const minted = job.mint.map(({alg, key, kid}) =>
  jwt.sign(job.claims, key, {algorithm: alg, ...(kid && {keyid: kid})}));
const verified = job.verify.map(({alg, key, token}) => {
  try {
    return jwt.verify(token, key, {algorithms: [alg]}).sub;
  } catch (error) {
    return `${alg}: ${error}`;
  }
});
console.log(JSON.stringify({minted, verified}));
