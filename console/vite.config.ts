import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/**
 * The build has a name, which the page knows and `build.json` says: where they differ, the server was upgraded under the page. It is a hash
 * of what was built, so that the same sources have the same name on every server of a deployment.
 */
function buildName(): Plugin {
  return {
    name: "build-name",
    generateBundle(_options, bundle) {
      const hash = createHash("sha256");
      for (const name of Object.keys(bundle).toSorted()) hash.update(name);
      const source = JSON.stringify({ build: hash.digest("hex").slice(0, 16) });
      this.emitFile({ type: "asset", fileName: "build.json", source });
    },
  };
}

/** Beside each file of code or style its compressed forms, made once and as small as they get: no request pays for that. */
function compressed(): Plugin {
  return {
    name: "compressed",
    writeBundle({ dir = "" }) {
      for (const name of readdirSync(`${dir}/assets`)) {
        if (!/\.(js|css)$/.test(name)) continue;
        const path = `${dir}/assets/${name}`;
        const content = readFileSync(path);
        writeFileSync(`${path}.br`, brotliCompressSync(content));
        writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
      }
    },
  };
}

/** Has the page loaded beside the first script, and not after it: the script alone knows that it will be needed. */
function pagePreload(): Plugin {
  return {
    name: "page-preload",
    transformIndexHtml: {
      order: "post",
      handler(_html, { bundle = {} }) {
        const chunks = Object.values(bundle).filter((each) => each.type === "chunk");
        const page = chunks.find(({ facadeModuleId }) => facadeModuleId?.endsWith("/page.tsx"));
        const files = page ? [page.fileName, ...page.imports] : [];
        return files.map((file) => ({
          tag: "link",
          attrs: { rel: "modulepreload", href: `./${file}` },
          injectTo: "head" as const,
        }));
      },
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  // Relative: the page may be served below any path.
  base: "./",
  build: {
    outDir: "dist",
    target: "es2023",
    // These know light-dark(), which would otherwise be rewritten so that it follows the system alone.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // What every view needs: React, the widgets, the client. The budget of the first view is in test/console.
    chunkSizeWarningLimit: 700,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      // "use client" is for servers that render React, and means nothing here.
      onLog: (level, log, handle) => log.code === "MODULE_LEVEL_DIRECTIVE" || handle(level, log),
    },
  },
  plugins: [buildName(), compressed(), pagePreload()],
});
