import { expect, test } from "vitest"
import { parseAddress } from "../../net/address.ts"
import type { Matrix, Party } from "./matrix.ts"
import { foldLine, matrixText, painter } from "./text.ts"

const party = (name: string): Party => ({ name, netns: name, address: parseAddress("10.0.0.1"), identity: name })
const [a, b] = [party("x/a"), party("x/long-name")]

function matrix(expected: boolean, observed: boolean): Matrix {
  const cell = { from: a, to: b, port: 80, expected, observed }
  return {
    rows: [a, b],
    columns: [{ title: "web", port: 80, protocol: 6, parties: [b] }],
    cells: [[[cell]], [[]]],
    connections: 1,
    wrong: expected === observed ? [] : [cell],
  }
}

test("a matrix has a row for each who asks and says what was expected and what was seen", () => {
  expect(matrixText(matrix(true, true), painter(false))).toBe(
    ["               web", "               :80", "  x/a          ✓ ✓", "  x/long-name", ""].join("\n"),
  )
})

test("a connection that went otherwise than expected shows without colour too", () => {
  expect(matrixText(matrix(false, true), painter(false))).toContain("x/a          · ✓")
})

test("a long line is broken between words, with what follows set in", () => {
  expect(foldLine("one two three four", 9, 2)).toBe("one two\n  three\n  four")
  expect(foldLine("  short", 20, 2)).toBe("  short")
  expect(foldLine("one two  three four", 12, 2)).toBe("one two\n  three four")
  // Colour takes no columns, and a word that is too long stays whole.
  expect(foldLine("\x1b[32mone\x1b[39m two", 7, 0)).toBe("\x1b[32mone\x1b[39m two")
  expect(foldLine("abcdefghij k", 4, 1)).toBe("abcdefghij\n k")
})
