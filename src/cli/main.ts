import { processIo } from "./io.ts"
import { run } from "./program.ts"

// Not process.exit: output that is still on its way has to arrive.
process.exitCode = await run(process.argv.slice(2), processIo())
