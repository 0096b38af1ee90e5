import { processIo } from "./io.ts"
import { run } from "./program.ts"

// The agent runs until it is told to end; every other command ends when its work is done and its output is written.
const code = await run(process.argv.slice(2), processIo())
process.exitCode = process.exitCode === undefined || process.exitCode === 0 ? code : process.exitCode
