// Runs conformance.py in MicroPython's WebAssembly build: node node.mjs DIRECTORY-OF-ITS-PACKAGE
// A heap as small as on the boards that it is meant for.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const HEAP_BYTES = 64 * 1024;
const { loadMicroPython } = await import(pathToFileURL(`${process.argv[2]}/micropython.mjs`));
const python = await loadMicroPython({ heapsize: HEAP_BYTES, linebuffer: true });
for (const file of ["sensor_frame.py", "conformance.py"]) {
  python.FS.writeFile(`/${file}`, readFileSync(new URL(file, import.meta.url)));
}
python.runPython("import sys; sys.path.append('/'); import conformance");
