// Bundles the styles and scripts into static/dist. Run by `python -m web.assets`.
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { compileAsync } from "sass";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "static", "dist");

const { css } = await compileAsync(join(here, "assets", "styles", "site.scss"), {
  loadPaths: [join(here, "node_modules")],
  quietDeps: true,
  silenceDeprecations: ["import"], // Bootstrap 5.3 is written with @import
});

await mkdir(dist, { recursive: true });
const common = { bundle: true, minify: true, logLevel: "warning", legalComments: "eof" };
await build({
  ...common,
  stdin: { contents: css, loader: "css", resolveDir: here },
  outfile: join(dist, "site.css"),
});
await build({
  ...common,
  entryPoints: [join(here, "assets", "scripts", "site.js")],
  format: "iife",
  target: "es2022",
  outfile: join(dist, "site.js"),
});
