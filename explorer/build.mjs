// Builds the scripts and style sheets of the explorer and of hopgrad play into the package, and the interpreter for the
// tests. With --check nothing is written: the build fails if the files there are not what their source gives.
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { fileURLToPath } from "node:url";
import path from "node:path";
import * as esbuild from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const assets = path.join("..", "src", "hopgrad", "show", "assets");
const play = path.join("..", "src", "hopgrad", "play", "assets");
const LIMIT = 150_000; // bytes of gzipped script

const options = { bundle: true, minify: true, write: false, charset: "utf8", legalComments: "none", logLevel: "warning" };
const built = {
  [path.join(assets, "explorer.js")]: await esbuild.build({
    ...options,
    entryPoints: [path.join(here, "src", "main.ts")],
    format: "iife",
    target: "es2022",
  }),
  [path.join(assets, "explorer.css")]: await esbuild.build({
    ...options,
    entryPoints: [path.join(here, "src", "style.css")],
  }),
  [path.join(play, "play.js")]: await esbuild.build({
    ...options,
    entryPoints: [path.join(here, "play", "play.ts")],
    format: "iife",
    target: "es2022",
  }),
  [path.join(play, "play.css")]: await esbuild.build({
    ...options,
    entryPoints: [path.join(here, "play", "play.css")],
  }),
  [path.join("test", "evaluate.mjs")]: await esbuild.build({
    ...options,
    entryPoints: [path.join(here, "test", "evaluate.ts")],
    format: "esm",
    target: "es2022",
  }),
};

let stale = false;
for (const [name, result] of Object.entries(built)) {
  const text = result.outputFiles[0].text;
  const size = gzipSync(text).length;
  if (name.endsWith(".js") && size > LIMIT) throw new Error(`${name} has ${size} bytes gzipped, more than ${LIMIT}`);
  const file = path.join(here, name);
  if (process.argv.includes("--check")) {
    const found = await readFile(file, "utf8").catch(() => "");
    if (found !== text) {
      stale = true;
      console.error(`${name} is not what its source gives: say make explorer`);
    }
  } else {
    await writeFile(file, text);
  }
  console.log(`${name}: ${text.length} bytes, ${size} gzipped`);
}
process.exit(stale ? 1 : 0);
